package reload

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/process"
)

// mentions finds out which files a server's configuration names, in whatever syntax: every word that may be a path is
// compared with the files that changed. A word that only looks like a path makes a file count as read, which is what was
// taken for granted before; a file that no word leads to is not read.
type mentions struct {
	configuration preset.Configuration
	// root is where the process's file system is to be seen, "" for the sidecar's own.
	root string
	// bases are where relative paths begin.
	bases []string
	files []string
	// by are the directives that name each file: the first words of lines, or keys.
	by map[string][]string
	// key is the last "key:", startOnly are the directives that only a start reads, by the files that set them.
	key       string
	startOnly map[string]string
	// why says why there may be more, nil when all was read.
	why  error
	seen map[string]bool
}

// Bounds of what is read of a configuration.
const (
	maxConfigFile  = 1 << 20
	maxConfigFiles = 500
)

func (r *Reloader) newMentions(files []string) *mentions {
	return &mentions{
		configuration: *r.Plan.Row.Configuration, files: files,
		by: map[string][]string{}, seen: map[string]bool{}, startOnly: map[string]string{},
	}
}

// unseen is where the configuration of a server begins whose process is not to be seen: the watched file that is one of the defaults.
// One of the same name somewhere else may be anybody's, and of two that are, nobody knows which it reads.
func (r *Reloader) unseen(watched []string) []string {
	first := slices.DeleteFunc(slices.Clone(watched), func(file string) bool {
		return !slices.Contains(r.Plan.Row.Configuration.Defaults, file)
	})
	if len(first) != 1 {
		return nil
	}
	return first
}

// mentionsFrom reads a configuration that begins with files that the sidecar sees as the server does.
func (r *Reloader) mentionsFrom(files []string, first ...string) *mentions {
	m := r.newMentions(files)
	for _, file := range first {
		m.begin(file, "")
	}
	if len(first) == 0 {
		m.begin("", "")
	}
	return m
}

// mentionsOf reads the configuration of a running process.
func (r *Reloader) mentionsOf(target process.Process, files []string) *mentions {
	m := r.newMentions(files)
	m.root = filepath.Join(r.Table.Root, strconv.Itoa(target.PID), "root")
	if _, err := os.ReadDir(m.root); err != nil {
		m.root = ""
		defer m.doubt(r)
	}
	parsed, err := preset.Parsed{}, error(nil)
	switch {
	case r.Plan.Row.Grammar != nil && target.Titled() && r.Plan.Row.Grammar.Title == "":
		if file := target.InTitle(); file != "" {
			m.begin(file, "")
		}
	case r.Plan.Row.Grammar != nil:
		parsed, err = r.arguments(target)
	}
	if err != nil {
		m.why = err
		return m
	}
	m.bases = append(m.bases, r.directory(&target))
	m.bases = append(m.bases, parsed.Values(m.configuration.Bases...)...)
	first := append(parsed.Values(m.configuration.Options...), m.loose(target.Words())...)
	for _, file := range first {
		m.begin(file, strings.Join(m.configuration.Options, " "))
	}
	if len(m.seen) == 0 {
		m.begin(m.usual(), "")
	}
	return m
}

// doubt says that the files were those of the sidecar's own root, which may be others than the application's, unless all of
// them are watched.
func (m *mentions) doubt(r *Reloader) {
	for file := range m.seen {
		if !r.watches(file) && m.why == nil {
			m.unsure("the application's own files cannot be read")
		}
	}
}

// loose are the files that the arguments of a server name whose grammar is not known.
func (m *mentions) loose(words []string) []string {
	var files []string
	for _, name := range m.configuration.Loose {
		files = append(files, valuesOf(words, name)...)
		for _, word := range words {
			if strings.HasSuffix(word, "."+strings.TrimLeft(name, "-")) && !strings.HasPrefix(word, "-") {
				files = append(files, word)
			}
		}
	}
	return files
}

// usual is the first default that exists.
func (m *mentions) usual() string {
	for _, file := range m.configuration.Defaults {
		if _, err := os.Stat(m.at(file)); err == nil {
			return file
		}
	}
	return ""
}

func (m *mentions) at(file string) string { return filepath.Join(m.root, file) }

// begin takes a file, or a folder of files, that the server begins with.
func (m *mentions) begin(file, by string) {
	if file == "" {
		m.unsure("its configuration is not to be seen here")
		return
	}
	for _, path := range m.absolute(file, "") {
		m.note(path, by) // also when it is gone
		info, err := os.Stat(m.at(path))
		if err != nil {
			continue
		}
		m.bases = append(m.bases, filepath.Dir(path))
		if info.IsDir() {
			m.folder(path)
			return
		}
		m.read(path)
		return
	}
	m.unsure("its configuration " + theirs(file) + " is not to be seen here")
}

// absolute are the paths that a word may stand for.
func (m *mentions) absolute(word, from string) []string {
	if filepath.IsAbs(word) {
		return []string{filepath.Clean(word)}
	}
	var all []string
	for _, base := range append([]string{from}, m.bases...) {
		if base != "" {
			all = append(all, filepath.Join(base, word))
		}
	}
	return all
}

// note notes which of the changed files a path stands for: itself, a folder above, or a pattern.
func (m *mentions) note(path, by string) {
	for _, file := range m.files {
		matched, _ := filepath.Match(path, file)
		if (file == path || matched || strings.HasPrefix(file, strings.TrimSuffix(path, "/")+"/")) && path != "/" {
			m.by[file] = append(m.by[file], by)
		}
	}
}

// unsure notes why the server may read more than what is named.
func (m *mentions) unsure(why sentence) { m.why = errors.New(string(why)) }

func (m *mentions) folder(path string) {
	entries, err := os.ReadDir(m.at(path))
	if err != nil {
		m.unsure(theirs(err.Error()))
		return
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") && !entry.IsDir() {
			m.read(filepath.Join(path, entry.Name()))
		}
	}
}

// read looks at the words of one file of the configuration.
func (m *mentions) read(path string) {
	if m.seen[path] {
		return
	}
	m.seen[path] = true
	info, err := os.Stat(m.at(path))
	switch {
	case err != nil:
		m.unsure(theirs(err.Error()))
		return
	case info.IsDir():
		m.folder(path)
		return
	case len(m.seen) > maxConfigFiles || info.Size() > maxConfigFile || !info.Mode().IsRegular():
		m.unsure("its configuration is too large to be read here")
		return
	}
	text, err := os.ReadFile(m.at(path))
	if err != nil {
		m.unsure(theirs(err.Error()))
		return
	}
	m.key = ""
	for line := range bytes.Lines(text) {
		words := m.words(string(line))
		if len(words) == 0 {
			continue
		}
		if only := strings.ToLower(words[0]); slices.Contains(m.configuration.StartOnly, only) {
			m.startOnly[path] = words[0]
		}
		m.line(words, filepath.Dir(path))
	}
}

func (m *mentions) line(words []string, from string) {
	for i, word := range words {
		by := words[0]
		switch {
		case m.configuration.Keys:
			if by = m.keyOf(words, i); by == "" {
				continue
			}
		case i > 0 && slices.Contains(m.configuration.Includes, words[i-1]):
			by = words[i-1] // "map $a $b { include FILE; }"
		}
		if i > 0 && slices.Contains(m.configuration.Bases, words[i-1]) && filepath.IsAbs(word) {
			m.bases = append(m.bases, word)
		}
		for _, path := range m.absolute(word, from) {
			if word != "*" || slices.Contains(m.configuration.Includes, by) { // which is any host or path elsewhere
				m.note(path, by)
			}
		}
		if i := strings.IndexByte(word, '/'); i > 0 {
			m.note(filepath.Clean(word[i:]), by) // "txt:/etc/a.map", "@/etc/a"
		}
		m.variable(word, by)
		m.lazy(words, i)
		if i > 0 && slices.Contains(m.configuration.Includes, by) {
			m.include(word, from)
		}
	}
}

// keyOf is the key that a word belongs to, "" for a word that is a key itself: the word before it where that may be one,
// else the last "key:".
func (m *mentions) keyOf(words []string, i int) string {
	before := ""
	if i > 0 {
		before = strings.ToLower(words[i-1])
	}
	name, isKey := strings.CutSuffix(strings.ToLower(words[i]), ":")
	switch {
	case isKey && name == "": // of "key" :
		m.key = before
	case isKey:
		m.key = name
	case keyword.MatchString(before):
		return before
	default:
		return m.key
	}
	return ""
}

// keyword is a word that may be a key, and is no path.
var keyword = regexp.MustCompile(`^@?[a-z_]+$`)

// variable notes files whose path may be a word with a variable whose value is not known here: those that end like it.
func (m *mentions) variable(word, by string) {
	_, end, ok := strings.Cut(word, "$")
	if i := strings.IndexByte(end, '/'); ok && i >= 0 && len(end) > i+1 {
		for _, file := range m.files {
			if strings.HasSuffix(file, end[i:]) {
				m.by[file] = append(m.by[file], by)
			}
		}
	}
}

// lazy notes what makes a server open files that no word names, and at a request only: interpreters within it, and a
// variable in the path of a file.
func (m *mentions) lazy(words []string, i int) {
	if !m.configuration.Complete || m.why != nil {
		return
	}
	word, directive, before := strings.ToLower(words[i]), strings.ToLower(words[0]), ""
	if i > 0 {
		before = strings.ToLower(words[i-1])
	}
	switch {
	case embeds(word),
		before == "loadmodule" && embedded.MatchString(word),
		slices.Contains([]string{"sethandler", "addhandler", "addtype"}, directive) && strings.Contains(word, "php") && !strings.HasPrefix(word, "proxy:"),
		strings.Contains(word, "$") && (takesFile(before) || takesFile(directive)):
		m.unsure("because of " + theirs(words[i]) + " it may read files that it does not name")
	}
}

var embedded = regexp.MustCompile(`^(php\d*|wsgi|perl|lua|python|cgid?)_module$`)

// embeds reports whether a directive of nginx is one of an interpreter.
func embeds(word string) bool {
	for _, prefix := range []string{"lua_package_", "js_", "perl_", "mruby_", "passenger_"} {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return strings.Contains(word, "_by_lua")
}

// takesFile reports whether the value of a directive, in small letters, is a file to be read or a folder of such.
func takesFile(directive string) bool {
	named := slices.Contains([]string{"root", "alias", "documentroot", "aliasmatch", "scriptalias", "virtualdocumentroot"}, directive)
	return named || strings.Contains(directive, "certificate") || strings.HasSuffix(directive, "file") && directive != "pidfile"
}

// words splits a line at what separates words in the syntax of any server, without its comment.
func (m *mentions) words(line string) []string {
	separator := func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("\"'`;{}()=,|<>", r) }
	var words []string
	line = strings.TrimSpace(line)
	if m.configuration.Keys {
		line = strings.NewReplacer("[", " ", "]", " ").Replace(line)
	}
	if line == "" || strings.ContainsRune(m.configuration.Comments, rune(line[0])) {
		return nil
	}
	for word := range strings.FieldsFuncSeq(line, separator) {
		if strings.ContainsRune(m.configuration.Comments, rune(word[0])) && word[0] == '#' {
			break
		}
		words = append(words, word)
	}
	return words
}

// include reads the files that an include names. A pattern may match nothing.
func (m *mentions) include(word, from string) {
	found := false
	for _, path := range m.absolute(word, from) {
		matches, _ := filepath.Glob(m.at(path))
		for _, match := range matches {
			found = true
			m.read(strings.TrimPrefix(match, m.root))
		}
	}
	if !found && !strings.ContainsAny(word, "*?[") {
		m.unsure(theirs(word) + " is not to be seen here")
	}
}
