package reload

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// dnsmasq knows which files dnsmasq reads when: its configuration only at the start, and the lists that the configuration
// and the arguments name at each SIGHUP.
type dnsmasq struct {
	server
	workDir string
	// atStart, reread and others are files and folders; when the others are read is not known, and some are at each use.
	atStart, reread, others []string
	unknown                 bool
}

// The options that name files. Each may stand among the arguments and, without dashes, in the configuration.
func dnsmasqAtStart() []string { return []string{"conf-file", "conf-dir"} }

func dnsmasqReread() []string {
	return []string{"addn-hosts", "hostsdir", "dhcp-hostsfile", "dhcp-optsfile", "dhcp-hostsdir", "dhcp-optsdir", "servers-file", "resolv-file"}
}

// dnsmasqShort is the long name of a short option that names a file, "" for any other.
func dnsmasqShort(letter string) string {
	return map[string]string{"C": "conf-file", "7": "conf-dir", "H": "addn-hosts", "r": "resolv-file"}[letter]
}

// dnsmasqFlags are the short options without a value.
const dnsmasqFlags = "951yZDNLERKzowefnbvhdkq3"

func (d *dnsmasq) before(context.Context) (agent.Outcome, bool) {
	d.reread = []string{"/etc/hosts", "/etc/ethers", "/etc/resolv.conf"}
	d.arguments(d.Words())
	if len(d.atStart) == 0 {
		d.note("conf-file", "/etc/dnsmasq.conf", 0)
	}
	for _, file := range d.change.Files {
		if d.names(d.atStart, file) && !d.names(d.reread, file) {
			return needsRestart(preset.ProofDnsmasq, "dnsmasq reads its configuration, here "+theirs(file)+", only when it starts"), true
		}
	}
	return agent.Outcome{}, false
}

// arguments takes the options that name files.
func (d *dnsmasq) arguments(words []string) {
	for i := 0; i < len(words); i++ {
		following := ""
		if i+1 < len(words) {
			following = words[i+1]
		}
		word := words[i]
		name, long := strings.CutPrefix(word, "--")
		switch {
		case long:
			name, value, joined := strings.Cut(name, "=")
			if !joined && (slices.Contains(dnsmasqAtStart(), name) || slices.Contains(dnsmasqReread(), name)) {
				value = following
				i++
			}
			d.note(name, value, 0)
		case len(word) > 1 && word[0] == '-':
			rest := strings.TrimLeft(word[1:], dnsmasqFlags)
			if rest == "" {
				continue
			}
			value := rest[1:]
			if value == "" {
				value = following
				i++
			}
			d.note(dnsmasqShort(rest[:1]), value, 0)
		default:
			d.note("", word, 0) // the value of a long option
		}
	}
}

// note takes one option, from the arguments or a file.
func (d *dnsmasq) note(name, value string, depth int) {
	const deepest = 10
	if value == "" || depth > deepest {
		return
	}
	for part := range strings.SplitSeq(value, ",") {
		if path := d.absolute(part); part != "" && path != "/" { // "folder,interface"
			d.others = append(d.others, path)
		}
	}
	if name == "conf-dir" || name == "hostsdir" { // "folder,pattern"
		value, _, _ = strings.Cut(value, ",")
	}
	value = d.absolute(value)
	switch {
	case slices.Contains(dnsmasqReread(), name):
		d.reread = append(d.reread, value)
	case name == "conf-file":
		d.atStart = append(d.atStart, value)
		d.file(value, depth)
	case name == "conf-dir":
		d.atStart = append(d.atStart, value)
		found, _ := filepath.Glob(filepath.Join(d.see(value), "*"))
		for _, file := range found {
			if info, err := os.Stat(file); strings.HasPrefix(filepath.Base(file), ".") || err == nil && info.IsDir() {
				continue // which dnsmasq passes over, such as the folders of the kubelet
			}
			d.file(filepath.Join(value, filepath.Base(file)), depth)
		}
	}
}

func (d *dnsmasq) absolute(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.workDir, path)
	}
	return filepath.Clean(path)
}

// file takes the options of a configuration file.
func (d *dnsmasq) file(path string, depth int) {
	if path == os.DevNull {
		return
	}
	text, err := d.read(path)
	d.unknown = d.unknown || err != nil
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			value, _, _ = strings.Cut(value, " #")
			d.note(strings.TrimSpace(name), strings.TrimSpace(value), depth+1)
		}
	}
}

// names reports whether a file, or a folder above it, is among these.
func (d *dnsmasq) names(list []string, file string) bool {
	return slices.ContainsFunc(list, func(path string) bool {
		return file == path || strings.HasPrefix(file, strings.TrimSuffix(path, "/")+"/")
	})
}

func (d *dnsmasq) after(context.Context) finding {
	proof := string(preset.ProofAlive)
	if d.change.FilesUnknown && slices.ContainsFunc(d.atStart, d.isWatched) {
		return unproven(proof, "it is unknown what changed, and dnsmasq reads its configuration only when it starts")
	}
	for _, file := range d.change.Files {
		switch {
		case d.names(d.reread, file):
		case d.unknown:
			return unproven(proof, "a part of dnsmasq's configuration cannot be seen here, so it is unknown whether it reads "+theirs(file))
		case d.names(d.others, file):
			return unproven(proof, "an option of dnsmasq leads to "+theirs(file)+", and nobody knows when it is read")
		default:
			return finding{
				verdict: no, result: agent.NeedsRestart, proof: string(preset.ProofDnsmasq),
				message: "no option of dnsmasq names " + theirs(file) + ", so it is used when the container starts, if at all",
			}
		}
	}
	return unproven(proof, "dnsmasq reads its lists again, skips lines that it does not understand, and says so in its log only")
}
