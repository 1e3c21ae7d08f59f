package reload

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/redact"
)

// Servers quote what they do not understand, and a message goes into logs and events. So what a server said is enclosed
// as such, and scrub takes the content of Secrets out of it.
//
// The delimiters are control characters; clip leaves none in what it is given.
const (
	beginQuote = "\x02"
	endQuote   = "\x03"
)

// quote encloses the text of another program. They are cut to a fit length after values have been taken out of them,
// since a part of a value is harder to know than the whole.
func quote(text string) string {
	if strings.TrimFunc(text, func(c rune) bool { return c <= ' ' || c == 0x7f }) == "" {
		return ""
	}
	return beginQuote + strings.NewReplacer(beginQuote, "\n", endQuote, "\n").Replace(text) + endQuote
}

// sentence is what this package says in words of its own: constants become one by themselves, and all else by theirs,
// so that nothing of a file or an answer gets into it without the delimiters.
type sentence string

// theirs encloses the text of another program or of a file within a sentence.
func theirs(text string) sentence { return sentence(quote(text)) }

const withheld = "[withheld: it may quote a Secret, which this sidecar may not read and so cannot take out; the application's own log has it]"

// scrub takes the delimiters out of a message, and out of what they enclose every value that stands in a Secret.
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
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			continue
		}
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

// shown makes an attempt and takes out of what it says what must not be shown.
func (r *Reloader) shown(attempt func() agent.Outcome) agent.Outcome {
	r.hold() // what the attempt begins with
	out := r.asRequired(attempt())
	for _, text := range []*string{&out.Message, &out.Proof, &out.Trigger} {
		*text = r.scrub(*text)
	}
	if out.Result == agent.Applied && r.held.secret {
		r.held.close()
		r.hold()
	}
	return out
}

// Hold keeps the present content of the watched Secrets within reach, as open files. After a change it is what the
// application still has, and may quote. It is for the start; attempts do so by themselves.
func (r *Reloader) Hold() { r.hold() }

func (r *Reloader) hold() {
	now := r.present()
	r.held.merge(&now)
}

// secrets gives what must not be shown: the content of the watched Secrets, as it was since the application took it up and
// as it is now, since a message may quote either; and what the settings hold. all is false when a part of it may not be
// read.
func (r *Reloader) secrets(do func(content string)) (all bool) {
	r.hold()
	all = r.held.each(do)
	r.settings(do)
	return all
}
