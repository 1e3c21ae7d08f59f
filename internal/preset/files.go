package preset

import (
	"path"
	"strings"
)

// FileRule is what a reload does with one kind of file that a server takes. A file is of the kind that the first matching
// rule of a preset names; a file that none matches is of no known kind.
type FileRule struct {
	// Name is the kind as users call it, such as "certificate and key". The matrix of "make test-presets" uses the same.
	Name string
	// Globs match the end of a file's path, in whole segments and as path.Match does: "*.pem" the name, "templates/*.tpl" the
	// name and its folder, "/etc/x/*" the whole path.
	Globs []string
	// Options are options of the running process, such as "-C", whose value is the file, or a folder that holds it. They
	// must be known to the preset's Grammar.
	Options []string
	// Defaults are the files that are read without such an option.
	Defaults []string
	// Directives are words of the server's configuration that name such a file, or a folder or pattern of such files.
	Directives []string
	// With is an argument of the server without which the rule does not count, "" for a rule that always does.
	With string
	// Effect is what a reload does with it.
	Effect Effect
	// Reason says of AtStart, in words that follow "because", why a reload does not take it.
	Reason string
}

// Effect is what a reload does with a file.
type Effect string

// The effects.
const (
	// Reread: a reload reads it.
	Reread Effect = "re-read"
	// AtStart: only a start of the server, or of its container, reads it.
	AtStart Effect = "needs restart"
	// AtUse: the server reads it each time that it uses it, so that a change needs no reload at all.
	AtUse Effect = "read when used"
)

// RuleFor is the first rule whose Globs match a file. Options, Defaults and Directives need the running process.
func (p Preset) RuleFor(file string) (FileRule, bool) {
	for _, rule := range p.Files {
		for _, glob := range rule.Globs {
			if EndsLike(file, glob) {
				return rule, true
			}
		}
	}
	return FileRule{}, false
}

// EndsLike reports whether the last segments of a path match a pattern of FileRule.Globs.
func EndsLike(file, glob string) bool {
	if strings.HasPrefix(glob, "/") {
		ok, _ := path.Match(glob, file)
		return ok
	}
	segments := strings.Split(file, "/")
	n := strings.Count(glob, "/") + 1
	if n > len(segments) {
		return false
	}
	ok, _ := path.Match(glob, strings.Join(segments[len(segments)-n:], "/"))
	return ok
}

// Configuration is where the configuration of a server begins, and how it names further files.
type Configuration struct {
	// Options name the first files, or folders of files. Defaults are taken without them: the first that exists.
	Options, Defaults []string
	// Loose is Options for a server whose Grammar is not known: "--ini FILE", "--ini=FILE", and every argument that ends with
	// such a word (".ini").
	Loose []string
	// Bases are options, and directives, from whose values relative paths begin, besides the folder of the file that names
	// them, and the directory of the process.
	Bases []string
	// Includes are the directives that name further files of the configuration. What other directives name counts as read
	// by the server, but is not looked into.
	Includes []string
	// Comments are the characters that begin a comment.
	Comments string
	// Keys says that a file belongs to the last "key:" before it, also of an earlier line, or to the word before it (YAML,
	// NATS), instead of to the first word of its line. Directives and Includes are then in small letters.
	Keys bool
	// StartOnly are directives, in small letters, that a reload leaves as they were, while it takes the rest of the same file.
	StartOnly []string
	// Complete: by the time that the proof is seen, the server has opened every file that a reload makes it read.
	Complete bool
}
