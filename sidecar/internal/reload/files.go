package reload

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
)

// changedFiles judges a reload by the files that changed: sent is not applied where the server reads none of them.
type changedFiles struct {
	reloader *Reloader
	target   *process.Process // nil where none is to be seen, and a URL reaches it
	change   agent.Change
	named    *mentions // nil where the preset does not know how the server's configuration begins
	opened   *opens    // nil where that cannot be seen
	scans    int64     // how many scans there had been when the files began to be seen
}

// filesOf is nil where nothing is to be judged: no process, or nothing is known of the server's files. Where nobody knows
// what changed, all watched files may have.
func (r *Reloader) filesOf(target *process.Process, change agent.Change) *changedFiles {
	row := r.Plan.Row
	if change.FilesUnknown {
		change.Files = watchedFiles(change.State)
	}
	if len(change.Files) == 0 || row.Name == "" {
		return nil
	}
	c := &changedFiles{reloader: r, target: target, change: change}
	switch {
	case row.Configuration == nil:
	case r.Plan.URL != nil && r.Plan.URL.BodyFile != "":
		c.named = r.mentionsFrom(change.Files, r.Plan.URL.BodyFile)
	case target != nil:
		c.named = r.mentionsOf(*target, change.Files)
	case row.Proof.OfReload():
		c.named = r.mentionsFrom(change.Files, r.unseen(watchedFiles(change.State))...)
	}
	return c
}

// watchedFiles are the files of a state, by their absolute paths.
func watchedFiles(state digest.State) []string {
	var files []string
	for _, v := range state.Volumes {
		for name := range v.Entries {
			path := v.Path
			if v.Kind != digest.KindFile {
				path = filepath.Join(v.Path, name)
			}
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files
}

// before says which changes a reload does not take. Then nothing is sent, also where others would be taken: what needs a
// restart gets everything by it, and until then the application keeps one state and not a part of two.
func (c *changedFiles) before() (out agent.Outcome, done bool) {
	if c == nil || c.change.FilesUnknown {
		return agent.Outcome{}, false
	}
	if why := c.needingRestart(); why != "" {
		return agent.Outcome{Result: agent.NeedsRestart, Message: why + "; nothing was sent", Final: true}, true
	}
	return agent.Outcome{}, false
}

// needingRestart names the files that a reload does not take, "" for none.
func (c *changedFiles) needingRestart() string {
	var why []string
	for _, file := range c.change.Files {
		if rule, ok := c.rule(file); ok && rule.Effect == preset.AtStart {
			why = append(why, fmt.Sprintf("%s (%s) needs a restart, because %s", file, rule.Name, rule.Reason))
		}
	}
	return listed(why)
}

func and(message, more string) string { return strings.TrimPrefix(message+"; "+more, "; ") }

// listed joins sentences; a few are enough.
func listed(all []string) string {
	const most = 3
	if len(all) > most {
		return fmt.Sprintf("%s; and %d more", strings.Join(all[:most], "; "), len(all)-most)
	}
	return strings.Join(all, "; ")
}

// rule is the kind of a file: as the running process and its configuration name it, else as it is called.
func (c *changedFiles) rule(file string) (preset.FileRule, bool) {
	var rules []preset.FileRule
	for _, rule := range c.reloader.Plan.Row.Files {
		if rule.With == "" || c.target != nil && slices.Contains(c.target.Words(), rule.With) {
			rules = append(rules, rule)
		}
	}
	if c.named != nil {
		for _, rule := range rules {
			if slices.ContainsFunc(c.named.by[file], func(by string) bool { return slices.Contains(rule.Directives, by) }) {
				return rule, true
			}
		}
	}
	return preset.Preset{Files: rules}.RuleFor(file)
}

// who names the server in messages.
func (c *changedFiles) who() string {
	if c.target == nil {
		return c.reloader.Plan.Row.Name
	}
	return c.target.String()
}

// watch begins to see who opens the files.
func (c *changedFiles) watch() {
	if c != nil {
		c.scans = c.countScans()
		c.opened = watchOpens(c.change.Files)
	}
}

func (c *changedFiles) countScans() int64 {
	if c.reloader.Scans == nil {
		return 0
	}
	return c.reloader.Scans()
}

// disturbed reports whether the sidecar itself may have opened files since.
func (c *changedFiles) disturbed() bool { return c.scans%2 != 0 || c.countScans() != c.scans }

func (c *changedFiles) close() {
	if c != nil && c.opened != nil {
		c.opened.close()
		c.opened = nil
	}
}

// after judges what was applied: with no changed file among what the server reads, nothing of the change is.
func (c *changedFiles) after(out agent.Outcome) agent.Outcome {
	if c == nil || out.Result != agent.Applied {
		return out
	}
	switch {
	case c.reloader.Plan.Row.Proof.OfReload():
		return c.afterReload(out)
	case c.change.FilesUnknown:
		return c.startOnly(c.afterAny(out))
	case c.named == nil:
		return out // the proof of such a server is all that is known
	}
	return c.startOnly(c.afterKnown(out))
}

// afterKnown judges a server whose configuration names the files that it reads.
func (c *changedFiles) afterKnown(out agent.Outcome) agent.Outcome {
	var unread, gone []string
	sure, there := true, 0
	for _, file := range c.change.Files {
		_, err := os.Stat(file)
		switch {
		case c.read(file):
			there++
		case err != nil: // no process can open it
			gone = append(gone, file)
		default:
			there++
			unread = append(unread, file)
			sure = sure && c.opened != nil && c.opened.sees(file) && !c.opened.seen(file)
		}
	}
	configuration := c.reloader.Plan.Row.Configuration
	switch {
	case len(unread) == 0 && len(gone) == 0:
		return out
	case len(unread) == 0:
		out.Proven = false
		out.Message = and(out.Message, "not proven for "+listed(gone)+": it is gone, and the configuration does not name it")
		return out
	case len(unread) < there, c.named.why != nil, !sure, !configuration.Complete:
		out.Proven = false
		why := "the server was not seen to read it"
		if c.named.why != nil {
			why += ", and " + c.named.why.Error()
		}
		out.Message = and(out.Message, "not proven for "+listed(unread)+": "+why)
		return out
	}
	return agent.Outcome{
		Result: agent.NeedsRestart, Trigger: out.Trigger, Proof: "not read", Final: true, Triggered: out.Triggered,
		Message: fmt.Sprintf("%s reloaded, and read none of what changed (%s), nor does its configuration name it: "+
			"it is used when the container starts, if at all", c.who(), listed(unread)),
	}
}

// startOnly judges files that the server reads, but not all of what is in them: whether that differs from what it had is
// not known, since the old content is not kept.
func (c *changedFiles) startOnly(out agent.Outcome) agent.Outcome {
	if c.named == nil {
		return out
	}
	var sets []string
	for _, file := range c.change.Files {
		if directive := c.named.startOnly[file]; directive != "" {
			sets = append(sets, file+" sets "+directive)
		}
	}
	if out.Result != agent.Applied || len(sets) == 0 {
		return out
	}
	out.Proven = false
	out.Message = and(out.Message, "not proven: "+listed(sets)+", which only a start reads")
	return out
}

// afterReload judges by a proof that is the server's word that a reload went well: of what it reads otherwise, such as at
// each use, that says nothing.
func (c *changedFiles) afterReload(out agent.Outcome) agent.Outcome {
	if !out.Proven || c.reloader.provesContent() {
		return out
	}
	beyond := slices.DeleteFunc(slices.Clone(c.change.Files), c.checked)
	if len(beyond) == 0 {
		return out
	}
	out.Proven = false
	why := "the proof (" + out.Proof + ") is of what a reload reads: " + c.checkedKinds()
	if c.named != nil && c.named.why != nil {
		why += ", and " + c.named.why.Error()
	}
	if c.change.FilesUnknown {
		why += ", and it is unknown whether that changed"
	}
	out.Message = and(out.Message, "not proven for "+listed(beyond)+": "+why)
	return out
}

// checked reports whether a reload reads a file, and fails when it is bad.
func (c *changedFiles) checked(file string) bool {
	if c.named == nil || c.opened != nil && c.opened.sees(file) && !c.opened.seen(file) {
		return false
	}
	rule, ok := c.rule(file)
	return c.named.seen[file] || ok && rule.Effect == preset.Reread
}

// checkedKinds are the directives that lead to what a reload reads.
func (c *changedFiles) checkedKinds() string {
	kinds := []string{"its configuration"}
	for _, rule := range c.reloader.Plan.Row.Files {
		if rule.Effect == preset.Reread {
			kinds = append(kinds, rule.Directives...)
		}
	}
	return strings.Join(kinds, ", ")
}

// afterAny judges where it is unknown what the application had before: any watched file may have changed. A proof is
// one for those files only that the server is known to read.
func (c *changedFiles) afterAny(out agent.Outcome) agent.Outcome {
	why := c.needingRestart()
	switch {
	case why != "":
	case c.named == nil && c.reloader.provesContent():
		return out
	case c.named == nil:
		why = "the proof is of a reload, and says nothing of the files that the server reads"
	case c.named.why != nil:
		why = c.named.why.Error()
	default:
		unread := slices.DeleteFunc(slices.Clone(c.change.Files), c.read)
		if len(unread) == 0 {
			return out
		}
		why = "the server was not seen to read " + listed(unread)
	}
	out.Proven = false
	out.Message = and(out.Message, "not proven: "+why+", and it is unknown whether that changed")
	return out
}

// provesContent reports whether a proof is about the content of the files, and not only about a reload: the server was
// asked about each of them, or the user's own URL answers.
func (r *Reloader) provesContent() bool {
	if r.Plan.VerifyURL != nil {
		return true
	}
	switch r.Plan.Row.Proof.Kind {
	case preset.ProofPostgres, preset.ProofPgbouncer:
		return true
	default:
		return false
	}
}

// read reports whether the server reads a file: it was seen to, or its configuration names it.
func (c *changedFiles) read(file string) bool {
	if c.opened != nil && c.opened.seen(file) && !c.disturbed() {
		return true
	}
	if len(c.named.by[file]) > 0 {
		return true
	}
	rule, ok := c.rule(file)
	return ok && rule.Effect != preset.AtStart && len(rule.Globs) > 0
}
