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
