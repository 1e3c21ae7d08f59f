package reload

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// broker looks at what the broker of the preset does not survive well before it is sent a signal: a certificate without its key ends
// TLS, a bad password file shuts everybody out, and without its access list everybody may do everything. It says nothing
// about any of it but in its log.
type broker struct {
	server
	workDir string
	pairs   [][2]string
	lists   map[string]string
	ports   []string
}

func (m *broker) before(context.Context) (agent.Outcome, bool) {
	file := "/etc/mosquitto/mosquitto.conf"
	words, given := m.Words(), false
	for i, word := range words {
		if (word == "-c" || word == "--config-file") && i+1 < len(words) {
			file, given = words[i+1], true
		}
	}
	m.lists = map[string]string{}
	if err := m.conf(m.absolute(file), 0); err != nil && given && m.isWatched(m.absolute(file)) {
		return refuse(preset.ProofBroker, theirs(err.Error())), true
	}
	if port, missing := m.notOpen(); missing {
		return needsRestart(preset.ProofBroker, "the broker opens a new listener, here "+theirs(port)+
			", only when it starts, and refuses the whole file before"), true
	}
	for _, pair := range m.pairs {
		if pair[0] == "" || pair[1] == "" || !m.changed(pair[0]) && !m.changed(pair[1]) {
			continue
		}
		if err := m.pairFault(pair[0], pair[1]); err != nil {
			return refuse("certificate and key", theirs(err.Error())), true
		}
	}
	for file, name := range m.lists {
		if m.changed(file) {
			if err := m.listFault(name, file); err != nil {
				return refuse(preset.ProofBroker, theirs(err.Error())), true
			}
		}
	}
	return agent.Outcome{}, false
}

// notOpen is a port of the configuration at which no process listens.
func (m *broker) notOpen() (port string, missing bool) {
	const listening = "0A" // TCP_LISTEN
	open := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(m.dir, "net", table)) //nolint:gosec // below /proc
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			// "0: 0100007F:1F90 00000000:0000 0A …": the local address, the other one, and the state.
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != listening {
				continue
			}
			_, hex, _ := strings.Cut(fields[1], ":")
			if number, err := strconv.ParseUint(hex, 16, 16); err == nil {
				open[strconv.FormatUint(number, 10)] = true
			}
		}
	}
	for _, port := range m.ports {
		if number, err := strconv.ParseUint(port, 10, 16); err == nil && number > 0 && len(open) > 0 && !open[port] {
			return port, true
		}
	}
	return "", false
}

func (m *broker) absolute(file string) string {
	if !filepath.IsAbs(file) {
		file = filepath.Join(m.workDir, file)
	}
	return filepath.Clean(file)
}

// conf notes the files that a configuration names.
func (m *broker) conf(file string, depth int) error {
	const deepest = 10
	text, err := m.read(file)
	if err != nil || depth > deepest {
		return err
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		value = strings.TrimSpace(value)
		if !ok && name != "listener" || value == "" {
			continue
		}
		switch name {
		case "listener":
			m.pairs = append(m.pairs, [2]string{})
			port, _, _ := strings.Cut(value, " ")
			m.ports = append(m.ports, port)
		case "certfile", "keyfile":
			if len(m.pairs) == 0 {
				m.pairs = append(m.pairs, [2]string{})
			}
			m.pairs[len(m.pairs)-1][map[string]int{"certfile": 0, "keyfile": 1}[name]] = m.absolute(value)
		case "password_file", "acl_file":
			m.lists[m.absolute(value)] = name
		case "include_dir":
			found, _ := filepath.Glob(filepath.Join(m.see(m.absolute(value)), "*.conf"))
			slices.Sort(found)
			for _, each := range found {
				if err := m.conf(filepath.Join(m.absolute(value), filepath.Base(each)), depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// listFault finds what is no entry: "name:hash" of a password file; topic, pattern and user of an access
// list.
func (m *broker) listFault(name, file string) error {
	text, err := m.read(file)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word, _, _ := strings.Cut(line, " ")
		rule := slices.Contains([]string{"topic", "pattern", "user"}, word)
		if name == "password_file" && !strings.Contains(line, ":") || name == "acl_file" && !rule {
			return fmt.Errorf("%s line %d is not what the broker reads there", file, n)
		}
	}
	return nil
}

func (m *broker) after(context.Context) finding {
	return unproven(string(preset.ProofAlive), "the broker refuses a bad file with a line in its log only, and does not re-read listeners, "+
		"bridges and persistence")
}
