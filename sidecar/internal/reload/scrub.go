package reload

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"inpod.dev/inpod/sidecar/internal/redact"
)

// Servers quote what they do not understand, and a message goes into logs and events. So what a server said is marked
// as such, and scrub takes the content of Secrets out of it.
//
// The marks are control characters, of which clip leaves none in what it is given.
const (
	beginQuote = "\x02"
	endQuote   = "\x03"
)

// quote marks the words of somebody else. They are cut to a fit length after values have been taken out of them, since a
// part of a value is harder to know than the whole.
func quote(text string) string {
	if strings.TrimFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }) == "" {
		return ""
	}
	return beginQuote + strings.NewReplacer(beginQuote, "\n", endQuote, "\n").Replace(text) + endQuote
}

const withheld = "[withheld: it may quote a Secret, which this sidecar may not read and so cannot take out; the application's own log has it]"

// scrub takes the marks out of a message, and out of what they mark every value that stands in a Secret.
func (r *Reloader) scrub(message string) string {
	var own, said []string // own[0] said[0] own[1] said[1] ...
	for {
		before, rest, found := strings.Cut(message, beginQuote)
		own = append(own, before)
		if !found {
			break
		}
		text, after, _ := strings.Cut(rest, endQuote)
		said, message = append(said, text), after
	}
	r.redact(said)
	for i, text := range said {
		said[i] = clip(text)
	}
	r.redact(said) // again, since clip joins lines, and says ? for what is no text
	var clean strings.Builder
	for i, text := range own {
		clean.WriteString(text)
		if i < len(said) {
			clean.WriteString(said[i])
		}
	}
	return clean.String()
}

// redact takes known values out of texts, or withholds the texts where a value cannot be known.
func (r *Reloader) redact(texts []string) {
	if len(texts) == 0 {
		return
	}
	legible := redact.Legible{Paths: r.paths(texts), Names: r.names()}
	redactors := make([]*redact.Redactor, len(texts))
	for i, text := range texts {
		redactors[i] = redact.New(text, legible)
	}
	all := r.secrets(func(content string) {
		for _, each := range redactors {
			each.Hide(content)
		}
	})
	for i := range texts {
		if texts[i] = withheld; all {
			texts[i] = redactors[i].String()
		}
	}
}

// names are those of the watched files, beside which a server says which line is wrong.
func (r *Reloader) names() []string {
	names := []string{r.Plan.Row.Name}
	for _, path := range r.Secrets {
		names = append(names, filepath.Base(path))
		dir, err := os.Open(path) //nolint:gosec // the user names the directory
		if err != nil {
			continue
		}
		const most = 256
		below, _ := dir.Readdirnames(most)
		names = append(names, below...)
		_ = dir.Close()
	}
	return names
}

// paths are those in texts that are there. A value may look like a path, but not like one of these.
func (r *Reloader) paths(texts []string) []string {
	const most = 64
	paths := slices.Clone(r.Secrets)
	outside := func(c rune) bool { return c <= ' ' || strings.ContainsRune(`"'`+"`"+`:;,=()[]{}<>`, c) }
	for _, text := range texts {
		for word := range strings.FieldsFuncSeq(text, outside) {
			if path := strings.TrimRight(word, "."); len(paths) < most && filepath.IsAbs(path) && exists(path) {
				paths = append(paths, path)
			}
		}
	}
	return paths
}

func exists(path string) bool {
	const longest = 1024
	if len(path) > longest {
		return false
	}
	_, err := os.Lstat(path)
	return err == nil
}

// secrets gives the content of all watched Secrets and of the files that headers are made of. all is false when one of
// them may not be read.
func (r *Reloader) secrets(each func(content string)) (all bool) {
	all = true
	for _, path := range r.Secrets {
		if onTmpfs(path) {
			all = eachFile(path, each) && all
		}
	}
	if r.Plan.URL != nil {
		for _, file := range r.Plan.URL.HeaderFiles {
			text, err := os.ReadFile(file) //nolint:gosec // the user names the file
			if err == nil {
				each(string(text))
			}
		}
	}
	return all
}

// tmpfsMagic is the type of a tmpfs in statfs(2). The kubelet keeps Secret and projected volumes on one, and ConfigMap
// volumes on disk.
const tmpfsMagic = 0x01021994

func onTmpfs(path string) bool {
	var info syscall.Statfs_t
	return syscall.Statfs(path, &info) == nil && info.Type == tmpfsMagic
}

// maxSecret bounds what is read of one file, in bytes; a Secret has no more.
const maxSecret = 1 << 20

// eachFile gives all files below a directory, or beside a watched file. all is false when one may not be read.
func eachFile(dir string, each func(content string)) (all bool) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer func() { _ = root.Close() }()
	all = true
	_ = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			all = false
		case entry.Type().IsRegular():
			all = oneFile(root, name, each) && all
		}
		return nil
	})
	return all
}

func oneFile(root *os.Root, name string, each func(content string)) (whole bool) {
	f, err := root.Open(name)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // replaced by the kubelet meanwhile
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil || len(text) > maxSecret {
		return false
	}
	each(string(text))
	return true
}
