package docs_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// retired is a word that this project does not use any more, in whatever form, with what is written in its place.
type retired struct {
	word string
	// names are the forms in names of Go: whole words of a name, in lower case. nil stands for the word alone.
	names []string
	// text finds the word in comments, strings, pages and all other files. A space stands for any white space, with the sign that begins
	// a line of a comment.
	text string
	// write is what to write.
	write string
}

// retiredWords lists the retired words, where "x (for y)" retires x in one meaning only.
func retiredWords() []retired {
	return []retired{
		{"picture", []string{"picture", "pictures"}, `pictur\w*`, "cache"},
		{"world", []string{"world", "worlds"}, `worlds?`, "cache, or cluster"},
		{
			"look (for reconcile)",
			[]string{"look", "looks", "looked", "looking"},
			`(?:a|one|each|every|another|this|that|first|next|last|two|no|single|few|fresh) looks?|looks? again|look(?:s|ed|ing)? at (?:a |the |its |every |all |each )?workloads?|(?:is|are|was|were|be|been|not) looked at`,
			"reconcile, check, read, scan",
		},
		{
			"turn (for a rollout slot)",
			[]string{"turn", "turns"},
			`(?:a|its|their|no|his|own|whose|the|one's) turns?|turns to roll|turns of (?:rollouts|workloads)`,
			"slot, rollout limit",
		},
		{"lender", []string{"lend", "lends", "lender", "lenders", "lending", "lent"}, `lend(?:s|ers?|ing)?|lent`, "template owner"},
		{"borrower", []string{"borrow", "borrows", "borrower", "borrowers", "borrowing", "borrowed"}, `borrow(?:s|ers?|ing|ed)?`, "template user"},
		{"maker, made", []string{"maker", "makers", "made"}, `makers?`, "owner, owned; created"},
		{"seal (for digest)", []string{"seal", "seals", "sealed", "sealer", "sealing"}, `seal(?:s|ers?|ed|ing)?`, "keyed digest; encrypt"},
		{"mark", []string{"mark", "marks", "marked", "marking"}, `mark(?:s|ed|ing)?`, "config hash; annotation of a source"},
		{"stand-in", []string{"standin", "standins"}, `stand[s-]?-?ins?|stand(?:s|ing)? in for`, "placeholder"},
		{"adopt", []string{"adopt", "adopts", "adopted", "adopting", "adoption", "adoptions"}, `adopt\w*`, "baseline created, recorded"},
		{"campaign", []string{"campaign", "campaigns"}, `campaigns?`, "reload task"},
		{"muster", []string{"muster"}, `muster(?:s|ed|ing)?`, "refresh pods"},
		{"town", []string{"town", "towns"}, `towns?`, "fake cluster"},
		{"tell, told (for report)", []string{"tell", "tells", "telling", "told"}, `tell(?:s|ing)?|told`, "report, say, log, emit; distinguish"},
		{"put off", []string{"putoff"}, `put(?:s|ting)? (?:it |that |them )?off`, "defer, delay"},
		{"anew", []string{"anew"}, `anew`, "again"},
		{"heed", []string{"heed", "heeds", "heeded"}, `heed(?:s|ed|ing)?`, "watch, read, follow"},
		{"of which", nil, `of which`, "a clause of its own, or whose"},
		{"what is none", nil, `what is none`, "one that is not a …"},
	}
}

// allowed are the exceptions: a file (or a folder that ends in /), what stands there, and why.
func allowed() []exception {
	return []exception{
		{"docs/vocabulary_test.go", `.*`, "it is the list"},
		{"LICENSE", `.*`, "a text of others"},
		{"", `(?i)markdown|benchmark\w*|bookmark\w*|markup|watermark`, "other words"},
		{"", `(?i)(?:quotation|question|byte order|exclamation) marks?`, "signs of a text"},
		{"", `(?i)sealed-?secrets?`, "the project of that name"},
		{"", `(?i)\b(?:each|none|one|all|any|some|most|rest|both|half) of which`, "a part of something, as everybody says it"},
		{"sidecar/internal/redact/words.go", `world`, "a list of common English words"},
	}
}

type exception struct{ file, text, why string }

// Reading text of others, and bytes.
func isForeign(path string) bool {
	for _, part := range []string{"go.sum", "go.mod", ".png", ".gz", ".tar"} {
		if strings.HasSuffix(path, part) {
			return true
		}
	}
	return slices.ContainsFunc([]string{".git", ".tools", ".cluster", "dist", "bin"}, func(dir string) bool {
		return path == dir || strings.HasPrefix(path, dir+"/")
	})
}

type finding struct {
	file string
	line int
	text string
	word retired
	in   string
}

func (f finding) String() string {
	return fmt.Sprintf("%s:%d: %s %q: the word %q is retired; write: %s", f.file, f.line, f.in, f.text, f.word.word, f.word.write)
}

// vocabulary finds the retired words.
type vocabulary struct {
	words  []retired
	text   *regexp.Regexp
	names  map[string]retired
	except []struct {
		file string
		text *regexp.Regexp
	}
}

func newVocabulary() *vocabulary {
	v := &vocabulary{words: retiredWords(), names: map[string]retired{}}
	space := `(?:\s|//|#)+`
	var all []string
	for _, w := range v.words {
		all = append(all, "("+strings.ReplaceAll(w.text, " ", space)+")")
		for _, name := range w.names {
			v.names[name] = w
		}
	}
	v.text = regexp.MustCompile(`(?i)\b(?:` + strings.Join(all, "|") + `)\b`)
	for _, e := range allowed() {
		v.except = append(v.except, struct {
			file string
			text *regexp.Regexp
		}{e.file, regexp.MustCompile(e.text)})
	}
	return v
}

// isAllowed reports whether an exception covers what stands at a place of a file.
func (v *vocabulary) isAllowed(file string, src []byte, from, to int) bool {
	for _, e := range v.except {
		inFolder := strings.HasSuffix(e.file, "/") && strings.HasPrefix(file, e.file)
		if e.file != "" && e.file != file && !inFolder {
			continue
		}
		start := bytes.LastIndexByte(src[:from], '\n') + 1
		end := len(src)
		if i := bytes.IndexByte(src[to:], '\n'); i >= 0 {
			end = to + i
		}
		for _, at := range e.text.FindAllIndex(src[start:end], -1) {
			if start+at[0] <= from && to <= start+at[1] {
				return true
			}
		}
	}
	return false
}

// inText finds retired words in a text. Bytes that are 0 are none of it.
func (v *vocabulary) inText(file string, src, visible []byte, in string) []finding {
	var found []finding
	for _, at := range v.text.FindAllSubmatchIndex(visible, -1) {
		if v.isAllowed(file, src, at[0], at[1]) {
			continue
		}
		for i, word := range v.words {
			if at[2+2*i] >= 0 {
				line := 1 + bytes.Count(src[:at[0]], []byte("\n"))
				found = append(found, finding{file, line, string(src[at[0]:at[1]]), word, in})
			}
		}
	}
	return found
}

// inGo finds retired words in the names that a file of Go declares, in its comments and in its strings.
func (v *vocabulary) inGo(file string, src []byte) []finding {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil // the compiler reports it
	}
	var found []finding
	visible := make([]byte, len(src))
	show := func(n ast.Node) {
		from, to := set.Position(n.Pos()).Offset, set.Position(n.End()).Offset
		copy(visible[from:to], src[from:to])
	}
	name := func(id *ast.Ident) {
		for _, word := range wordsOf(id.Name) {
			if w, is := v.names[word]; is {
				at := set.Position(id.Pos())
				if !v.isAllowed(file, src, at.Offset, at.Offset+len(id.Name)) {
					found = append(found, finding{file, at.Line, id.Name, w, "name"})
				}
			}
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			name(n.Name)
		case *ast.TypeSpec:
			name(n.Name)
		case *ast.ValueSpec:
			for _, id := range n.Names {
				name(id)
			}
		case *ast.Field:
			for _, id := range n.Names {
				name(id)
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					if id, is := left.(*ast.Ident); is {
						name(id)
					}
				}
			}
		case *ast.RangeStmt:
			for _, left := range []ast.Expr{n.Key, n.Value} {
				if id, is := left.(*ast.Ident); is && n.Tok == token.DEFINE {
					name(id)
				}
			}
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				show(n)
			}
		}
		return true
	})
	for _, group := range parsed.Comments {
		from, to := set.Position(group.Pos()).Offset, set.Position(group.End()).Offset
		copy(visible[from:to], src[from:to])
	}
	return append(found, v.inText(file, src, visible, "text")...)
}

// inFileName finds retired words in the name of a file.
func (v *vocabulary) inFileName(file string) []finding {
	var found []finding
	base := filepath.Base(file)
	for _, word := range wordsOf(strings.NewReplacer(".", "_", "-", "_").Replace(base)) {
		if w, is := v.names[word]; is && !v.isAllowed(file, []byte(base), 0, len(base)) {
			found = append(found, finding{file, 1, base, w, "file name"})
		}
	}
	return found
}

// wordsOf are the words of a name, in lower case, and pairs of them that make a retired word.
func wordsOf(name string) []string {
	var words []string
	runes := []rune(name)
	start := 0
	for i := 1; i <= len(runes); i++ {
		if i == len(runes) || runes[i] == '_' || unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) ||
			unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsUpper(runes[i]) && unicode.IsLower(runes[i+1]) {
			words = append(words, strings.ToLower(strings.Trim(string(runes[start:i]), "_")))
			start = i
		}
	}
	for i := range len(words) - 1 {
		if pair := words[i] + words[i+1]; pair == "standin" || pair == "standins" || pair == "putoff" {
			words = append(words, pair)
		}
	}
	return words
}

// The words of the field go before our own: a retired word is in no name, comment, event, log message, value or page.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	v := newVocabulary()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file := filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator)))
		switch {
		case path == "..":
			return nil
		case isForeign(file):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular():
			return nil
		}
		for _, f := range v.inFileName(file) {
			t.Error(f)
		}
		src, err := os.ReadFile(path)
		if err != nil || bytes.IndexByte(src, 0) >= 0 {
			return err
		}
		find := func() []finding { return v.inText(file, src, src, "text") }
		if strings.HasSuffix(file, ".go") {
			find = func() []finding { return v.inGo(file, src) }
		}
		for _, f := range find() {
			t.Error(f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The name of a file is a name like those in it.
func TestVocabularyFindsFileNames(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]int{"a/world_internal_test.go": 1, "a/0011-turns.md": 1, "a/stand-in.yaml": 1, "a/cache_test.go": 0} {
		if found := newVocabulary().inFileName(file); len(found) != want {
			t.Errorf("%s: %v, want %d", file, found, want)
		}
	}
}

// The test itself finds each kind of word in each kind of place.
func TestVocabularyFindsRetiredWords(t *testing.T) {
	t.Parallel()
	v := newVocabulary()
	for name, tc := range map[string]struct {
		file, text string
		want       []string
	}{
		"a name":                        {"a.go", "package a\n\nfunc borrowedTemplate() {}\n", []string{"a.go:3 borrowedTemplate"}},
		"a local":                       {"a.go", "package a\n\nfunc f() { standIn := 1; _ = standIn }\n", []string{"a.go:3 standIn"}},
		"an event":                      {"a.go", "package a\n\nconst message = \"Rollout put off until %s\"\n", []string{"a.go:3 put off"}},
		"a comment of the chart":        {"values.yaml", "a: 1\n# Heed these namespaces.\nb: 2\n", []string{"values.yaml:2 Heed"}},
		"a page":                        {"a.md", "A workload is adopted when it is seen.\n", []string{"a.md:1 adopted"}},
		"a word that is two":            {"a.go", "package a\n\n// a stands in for b.\nvar a int\n", []string{"a.go:3 stands in for"}},
		"two words at the end of lines": {"a.go", "package a\n\n// It is one of\n// which nothing is known.\nvar a int\n", []string{"a.go:3 of\n// which"}},
		"a word in one meaning only":    {"a.md", "Turn it off and look into the log. It waits for its turn.\n", []string{"a.md:1 its turn"}},
		"nothing":                       {"a.go", "package a\n\n// a is a benchmark of Markdown.\nvar a = exec.LookPath\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			find := func() []finding { return v.inText(tc.file, []byte(tc.text), []byte(tc.text), "text") }
			if strings.HasSuffix(tc.file, ".go") {
				find = func() []finding { return v.inGo(tc.file, []byte(tc.text)) }
			}
			var got []string
			for _, f := range find() {
				got = append(got, fmt.Sprintf("%s:%d %s", f.file, f.line, f.text))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("found %q, want %q", got, tc.want)
			}
		})
	}
}
