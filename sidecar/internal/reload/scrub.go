package reload

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Servers quote what they do not understand, and a message goes into logs and events. So what a server said is marked
// as such, and scrub takes the content of Secrets out of it.
//
// The marks are control characters, of which clip leaves none in what it is given.
const (
	beginQuote = "\x02"
	endQuote   = "\x03"
)

// quote marks the words of the application, cut to a fit length.
func quote(text string) string {
	if text = clip(text); text == "" {
		return ""
	}
	return beginQuote + text + endQuote
}

const (
	redacted = "[redacted]"
	withheld = "[withheld: it may quote a Secret, which this sidecar may not read and so cannot take out; the application's own log has it]"
)

// scrub takes the marks out of a message, and out of what they mark every value that stands in a Secret.
func (r *Reloader) scrub(message string) string {
	if !strings.Contains(message, beginQuote) {
		return message
	}
	found, all := r.secrets()
	var clean strings.Builder
	for message != "" {
		own, rest, _ := strings.Cut(message, beginQuote)
		said, after, _ := strings.Cut(rest, endQuote)
		clean.WriteString(own)
		switch {
		case said == "":
		case !all:
			clean.WriteString(withheld)
		default:
			clean.WriteString(found.takenOutOf(said))
		}
		message = after
	}
	return clean.String()
}

// values are what must not be shown: anywhere, or where it stands alone when it is too short for that.
type values map[string]bool

const minValue = 4

func (v values) takenOutOf(text string) string {
	hidden := make([]bool, len(text))
	for value := range v {
		for from := 0; ; {
			i := strings.Index(text[from:], value)
			if i < 0 {
				break
			}
			begin, end := from+i, from+i+len(value)
			if len(value) >= minValue || alone(text, begin, end) {
				for j := begin; j < end; j++ {
					hidden[j] = true
				}
			}
			from = begin + 1
		}
	}
	var clean strings.Builder
	for i := range text {
		switch {
		case !hidden[i]:
			_, size := utf8.DecodeRuneInString(text[i:])
			clean.WriteString(text[i : i+size])
		case i == 0 || !hidden[i-1]:
			clean.WriteString(redacted)
		}
	}
	return clean.String()
}

// alone says whether a part of text is no part of a longer word.
func alone(text string, begin, end int) bool {
	partOfWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	before, _ := utf8.DecodeLastRuneInString(text[:begin])
	after, _ := utf8.DecodeRuneInString(text[end:])
	return !partOfWord(before) && !partOfWord(after)
}

// add takes up what may be quoted of a file: the whole of it, its lines, what lines set, and their words.
func (v values) add(text string) {
	put := func(value string, least int) {
		if value = strings.Trim(value, " \t\r\n\"'"); len(value) >= least {
			v[value] = true
		}
	}
	put(text, 1)
	separator := func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'=:;,{}()[]<>`, r) }
	for line := range strings.Lines(text) {
		put(line, minValue)
		if i := strings.IndexAny(line, "=:"); i >= 0 {
			put(line[i+1:], 2)
		}
		for word := range strings.FieldsFuncSeq(line, separator) {
			put(word, minValue)
		}
	}
}

// secrets are the values of all watched Secrets and of the files that headers are made of. all is false when one of them
// may not be read.
func (r *Reloader) secrets() (found values, all bool) {
	found, all = values{}, true
	for _, path := range r.Secrets {
		if onTmpfs(path) {
			all = found.addDirectory(path) && all
		}
	}
	if r.Plan.URL != nil {
		for _, file := range r.Plan.URL.HeaderFiles {
			text, err := os.ReadFile(file) //nolint:gosec // the user names the file
			if err == nil {
				found.add(string(text))
			}
		}
	}
	return found, all
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

// addDirectory takes up all files below a directory, or beside a watched file. all is false when one may not be read.
func (v values) addDirectory(dir string) (all bool) {
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
			all = v.addFile(root, name) && all
		}
		return nil
	})
	return all
}

func (v values) addFile(root *os.Root, name string) (whole bool) {
	f, err := root.Open(name)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) // replaced by the kubelet meanwhile
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil || len(text) > maxSecret {
		return false
	}
	v.add(string(text))
	return true
}
