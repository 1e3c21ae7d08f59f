package reload

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Limits of what is read to clean a message, in bytes.
const (
	maxSecretFile = 1 << 20
	minSecretWord = 4
)

// tmpfsMagic is the type of a tmpfs in statfs(2). The kubelet keeps Secret and projected volumes on one, and ConfigMap
// volumes on disk.
const tmpfsMagic = 0x01021994

// scrub takes out of a message every word that stands in a watched Secret. Servers quote what they do not understand,
// and a message goes into logs and events.
func (r *Reloader) scrub(message string) string {
	if message == "" {
		return message
	}
	var words []string
	for _, dir := range r.Secrets {
		words = append(words, secretWords(dir, message)...)
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, word := range words {
		message = strings.ReplaceAll(message, word, "[redacted]")
	}
	return message
}

// secretWords are the words of the files below dir that occur in message, if dir is on a tmpfs.
func secretWords(dir, message string) []string {
	var fsInfo syscall.Statfs_t
	if err := syscall.Statfs(dir, &fsInfo); err != nil || fsInfo.Type != tmpfsMagic {
		return nil
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	return wordsIn(dir, message)
}

func wordsIn(dir, message string) []string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	var found []string
	_ = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // what cannot be read cannot be quoted either
		}
		f, err := root.Open(name)
		if err != nil {
			return nil
		}
		defer func() { _ = f.Close() }()
		text, _ := io.ReadAll(io.LimitReader(f, maxSecretFile))
		found = append(found, wordsOf(string(text), message)...)
		return nil
	})
	return found
}

func wordsOf(text, message string) []string {
	var found []string
	separators := func(r rune) bool { return r <= ' ' || strings.ContainsRune(`"'=:;,{}()[]<>`, r) }
	for word := range strings.FieldsFuncSeq(text, separators) {
		if len(word) >= minSecretWord && strings.Contains(message, word) {
			found = append(found, word)
		}
	}
	return found
}
