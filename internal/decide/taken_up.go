package decide

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Asked for is not taken up: a rollout writes what it asks for beside what the pods are known to have, and only the
// status, or the pods themselves, make the one of the other.

const (
	// actionRollout is how a baseline names a rollout.
	actionRollout = string(Rollout)
	// hashPrefix is how much of a config hash a baseline keeps: enough to recognize it.
	hashPrefix = 12
	// heldAgain is when a workload is decided again whose pods have old content and are replaced by others.
	heldAgain = 10 * time.Minute
	// goneAtMost is how many records a baseline keeps of sources that are gone and that only a pattern names.
	goneAtMost = 20
)

// Pods is what one list of the pods of a workload says.
type Pods struct {
	// Unknown reports whether they could not be listed.
	Unknown bool
	// Starts are those of the pods that have not ended, with as many for a pod as it has containers.
	Starts []PodStart
}

// PodStart is when a pod was made, and when a container of it started; zero if none has.
type PodStart struct {
	Created, Running time.Time
	// Container is the name of that container.
	Container string
}

// youngerThan reports whether every pod was made after a time. The API server cuts times to seconds, so that one which
// is equal may be either.
func (p *Pods) youngerThan(t time.Time) bool {
	if p.Unknown || t.IsZero() {
		return false
	}
	return !slices.ContainsFunc(p.Starts, func(s PodStart) bool { return !s.Created.After(t) })
}

// startedAfter is the same, and true as well where a pod was made in that second and its containers started later: they
// have read what was there then.
func (p *Pods) startedAfter(t time.Time) bool {
	if p.Unknown || t.IsZero() {
		return false
	}
	return !slices.ContainsFunc(p.Starts, func(s PodStart) bool {
		return s.Created.Before(t) || !s.Created.After(t) && !s.Running.IsZero() && !s.Running.After(t)
	})
}

// olderThan reports whether a pod was certainly made before a time.
func (p *Pods) olderThan(t time.Time) bool {
	return slices.ContainsFunc(p.Starts, func(s PodStart) bool { return s.Created.Before(t) })
}

// haveRead reports whether a container that reads some usages has certainly started before a time, and so with what was
// there before. The API server and the kubelet both say so.
func (p *Pods) haveRead(usages source.SourceUsages, t time.Time) bool {
	return !p.Unknown && slices.ContainsFunc(p.Starts, func(s PodStart) bool {
		return s.Created.Before(t) && s.Running.Before(t) && !s.Running.Before(s.Created) && usages.StartedWith(s.Container)
	})
}

// startedWithin reports whether a container may have started in a span.
func (p *Pods) startedWithin(from, to time.Time) bool {
	return p.Unknown || slices.ContainsFunc(p.Starts, func(s PodStart) bool {
		return s.Running.IsZero() || !s.Running.Before(from) && (to.IsZero() || !s.Running.After(to.Add(time.Second)))
	})
}

// isCopy reports whether the baseline is that of another object: one that was exported, restored or promoted with it.
func (in Input) isCopy() bool {
	return in.HasBaseline && in.Baseline.UID != "" && in.Workload.UID != "" && in.Baseline.UID != string(in.Workload.UID)
}

// resolve returns a baseline in which what was asked for is what the pods have, where the status says so.
func (a *evaluation) resolve(b source.Baseline) source.Baseline {
	if b.Asked == nil || !a.takenUp(b.Asked) {
		return b
	}
	records := maps.Clone(b.Records)
	maps.Copy(records, b.Asked.Records)
	b.Records, b.Asked = records, nil
	return b
}

// takenUp reports whether the status says that no pod is from before what was asked for.
func (a *evaluation) takenUp(asked *source.Asked) bool {
	if a.Workload.ScaledToZero {
		return true
	}
	if a.putBack(asked) {
		return false
	}
	if a.Workload.Progress == workload.ProgressUnknown {
		return !a.Workload.Rolling && !a.Workload.Paused
	}
	return a.Workload.Progress == workload.Complete
}

// putBack reports whether the template has none of the config hashes that were asked for.
func (a *evaluation) putBack(asked *source.Asked) bool {
	return len(asked.Hashes) > 0 && !slices.ContainsFunc(asked.Hashes, a.templateHas)
}

// templateHas reports whether the template has a config hash with a beginning.
func (a *evaluation) templateHas(prefix string) bool {
	for _, value := range a.Workload.Variables {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return strings.Contains(a.Workload.TemplateAnnotations[annotation.LastReloadedFrom], `"`+prefix)
}

// tracks reports whether a status shows what becomes of a rollout.
func (a *evaluation) tracks() bool {
	return !a.Options.Webhook && a.Workload.Cron == nil && a.Workload.Job == nil && !a.Workload.Restart && !a.Workload.Stray
}

// complete returns a baseline as it is written. hashes are those of a rollout that is asked for with it, nil for none:
// what changed then is asked for, and what the pods have stays.
func (a *evaluation) complete(b source.Baseline, hashes []ConfigHash) source.Baseline {
	before := a.before
	b.UID, b.Template = string(a.Workload.UID), a.template
	b.References, b.Named = a.references, a.named
	b.Unknown, b.UnknownSources, b.Version = before.Unknown, before.UnknownSources, max(before.Version, 2)
	b.Records = maps.Clone(b.Records)
	asked := source.Asked{Action: actionRollout}
	if pending := before.Asked; pending != nil && !a.resolved {
		asked.Records = map[source.Ref]source.Record{}
		b.Template = before.Template // the one that it was asked with
		asked.Action, asked.Hashes, asked.Batch, asked.Unknown = pending.Action, pending.Hashes, pending.Batch, pending.Unknown
		for ref := range pending.Records {
			a.ask(&asked, b, ref)
		}
	}
	if hashes != nil && a.tracks() {
		if b.Template, asked.Action, asked.Hashes = a.template, actionRollout, nil; asked.Records == nil {
			asked.Records = map[source.Ref]source.Record{}
		}
		for _, hash := range hashes {
			asked.Hashes = append(asked.Hashes, hash.Hash[:hashPrefix])
		}
		slices.Sort(asked.Hashes)
		for _, cause := range a.changed {
			a.ask(&asked, b, cause.Ref)
		}
	}
	if len(asked.Records) > 0 {
		b.Asked = &asked
	}
	for ref, record := range b.Records {
		if old, has := before.Records[ref]; has && old.Equal(record) {
			b.Records[ref] = old // with what another version has written
		}
	}
	fit, err := a.Digester.Fit(b, a.scopes(), source.Budget)
	if err != nil {
		return b
	}
	return fit
}

// ask moves the record of a source to what was asked for, and puts back what the pods have.
func (a *evaluation) ask(asked *source.Asked, b source.Baseline, ref source.Ref) {
	record, has := b.Records[ref]
	if _, done := asked.Records[ref]; done || !has {
		return
	}
	asked.Records[ref] = record
	if old, has := a.before.Records[ref]; has {
		b.Records[ref] = old
		return
	}
	for _, u := range a.uses {
		if u.Usages.Ref == ref && u.recorded {
			b.Records[ref] = u.record
		}
	}
}

func (a *evaluation) scopes() []source.SourceUsages {
	scopes := make([]source.SourceUsages, 0, len(a.uses))
	for _, u := range a.uses {
		scopes = append(scopes, u.Usages)
	}
	return scopes
}

// isNew reports whether recording a baseline would change what is known. That what was asked for is taken up is known
// without. Without records there is none.
func (a *evaluation) isNew(b source.Baseline) bool {
	if len(b.Records) == 0 && !a.HasBaseline {
		return false
	}
	b, before := a.complete(b, nil), a.before
	a.compared = b
	return !a.HasBaseline || before.Version < b.Version || before.UID != b.UID || before.References != b.References ||
		before.Named != b.Named || before.Hides != b.Hides || before.Partial != b.Partial ||
		!maps.Equal(before.Seen, b.Seen) || !before.Asked.Equal(b.Asked) || !maps.EqualFunc(before.Records, b.Records, source.Record.Equal)
}

// dropGone drops records of sources that are gone and that only a pattern names, but the last ones: names that come and
// go would fill the baseline.
func (a *evaluation) dropGone(records map[source.Ref]source.Record) {
	var gone []source.Ref
	for _, u := range a.uses {
		ref := u.Usages.Ref
		_, has := records[ref]
		if has && u.Snapshot == nil && !u.Unseen && !u.referenced() && !slices.Contains(a.Policy.Literals(ref.Kind), ref.Name) {
			gone = append(gone, ref)
		}
	}
	if len(gone) <= goneAtMost {
		return
	}
	slices.SortFunc(gone, source.Ref.Compare)
	for _, ref := range gone[:len(gone)-goneAtMost] {
		delete(records, ref)
	}
}

// namedLists identifies the lists of the policy: what they name, and what they exclude.
func (a *evaluation) namedLists() source.KeyedDigest {
	lists := a.Policy.Lists()
	for kind, names := range a.Policy.Excluded() {
		lists[kind+" excluded"] = names
	}
	return a.Digester.NamedLists(lists)
}

// referencesOf identifies what the template references, key by key.
func (a *evaluation) referencesOf() source.KeyedDigest {
	var refs []source.Ref
	for _, u := range a.Workload.Usages {
		keys, ok := jsonOf(u.Keys)
		if !ok {
			continue // text always encodes
		}
		refs = append(refs, source.Ref{Kind: u.Ref.Kind, Name: u.Ref.Name + keys})
	}
	return a.Digester.References(refs)
}

// jsonOf is the JSON form of the keys of a source. Names of keys have nothing that is escaped, unless a template is wrong.
func jsonOf(keys []string) (string, bool) {
	if keys == nil {
		return "null", true
	}
	plain := func(c rune) bool {
		return c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
	}
	escaped := func(key string) bool { return strings.ContainsFunc(key, func(c rune) bool { return !plain(c) }) }
	if len(keys) > 0 && !slices.ContainsFunc(keys, escaped) {
		return `["` + strings.Join(keys, `","`) + `"]`, true
	}
	text, err := json.Marshal(keys)
	return string(text), err == nil
}

// lastChange is when the last of some sources changed; zero if that is not known of one of them.
func (a *evaluation) lastChange(refs []source.Ref) time.Time {
	var last time.Time
	for _, u := range a.uses {
		if !slices.Contains(refs, u.Usages.Ref) {
			continue
		}
		if u.Snapshot == nil || u.Snapshot.Changed.Time.IsZero() {
			return time.Time{}
		}
		if u.Snapshot.Changed.Time.After(last) {
			last = u.Snapshot.Changed.Time
		}
	}
	return last
}

// templatePutBack: somebody has put back a template of before a rollout that inpod has asked for. Where its pods still
// run, they have the old content, and inpod does not fight over the template. Where all pods are new, they have the
// current content, and the user did not get the content of before.
func templatePutBack(a *evaluation) (Decision, bool) {
	asked, refs := a.before.Asked, []source.Ref(nil)
	restored := false
	switch {
	case asked != nil && a.putBack(asked) && len(a.changed) == 0:
		refs = slices.SortedFunc(maps.Keys(asked.Records), source.Ref.Compare)
	case a.Workload.RestoredBy != "" && len(a.changed) > 0 && a.tracks() && !a.staysInPlace():
		restored = true
		for _, cause := range a.changed {
			refs = append(refs, cause.Ref)
		}
		switch has, owned := a.hashesOfChanged(); {
		case has: // the annotation alone was put back: the template has all that changed
			return none(BaselineRestored), true
		case owned, a.changedAfterUndo(refs):
			return Decision{}, false
		}
	default:
		return Decision{}, false
	}
	undo := restored || a.before.Template == a.template
	switch {
	case !undo && (a.Workload.Rolling || len(a.inTemplate) > 0):
		return Decision{}, false // another template is rolled out, and what it carries is recorded at once
	case a.Workload.Rolling:
		return none(TemplateRolling), true
	case a.Pods == nil:
		return Decision{Action: None, Reason: TemplateRolling, AskPods: true}, true
	}
	causes := a.undone(refs)
	since := a.lastChange(refs)
	if a.Pods.youngerThan(since) || !undo && !a.Pods.olderThan(since) {
		a.resolved = true
		decision := a.recording(CarriedByTemplate)
		decision.Causes = causes
		if undo {
			decision.Reason, decision.Message = UndoWithoutContent, undoWithoutContent(a.Workload.Revision, causes)
		}
		return decision, true
	}
	decision := a.holding(RolloutUndone, rolloutUndone(a.Workload.Revision, causes))
	decision.Causes, decision.After = causes, heldAgain
	if restored { // from now on the baseline says itself what was asked for
		decision.Baseline, a.claims = a.baseline, a.configHashes()
		decision.Record = true
	}
	return decision, true
}

// hashesOfChanged reports whether the template has the config hash of everything that changed, and whether inpod wrote
// what stands in its place last.
func (a *evaluation) hashesOfChanged() (has, owned bool) {
	has, owned = true, false
	for _, cause := range a.changed {
		variable := Variable(cause.Ref)
		has = has && (a.templateHas(a.Digester.ConfigHash(a.usesOf(variable), "")[:hashPrefix]) || a.annotationCovers(cause.Ref))
		owned = owned || slices.Contains(a.Workload.OwnHashes, variable) || slices.Contains(a.Workload.OwnHashes, annotation.LastReloadedFrom)
	}
	return has, owned
}

// annotationCovers reports whether a source had settled before the rollout that wrote the annotation of the strategy
// "annotations" last. The annotation names one source only, so that the config hashes of the others are not there.
func (a *evaluation) annotationCovers(ref source.Ref) bool {
	var last struct {
		ObservedAt int64 `json:"observedAt"`
	}
	text := a.Workload.TemplateAnnotations[annotation.LastReloadedFrom]
	if !slices.Contains(a.Workload.OwnHashes, annotation.LastReloadedFrom) || json.Unmarshal([]byte(text), &last) != nil {
		return false
	}
	changed := a.lastChange([]source.Ref{ref})
	return !changed.IsZero() && !changed.Add(a.Settle).After(time.Unix(last.ObservedAt, 0))
}

// changedAfterUndo reports whether a source changed after the baseline and the template were put back, as far as the
// object says when that was: then there is something new to be taken up, which nobody has undone. An undo that only
// removes something from the template leaves no time there.
func (a *evaluation) changedAfterUndo(refs []source.Ref) bool {
	undone := a.Workload.RestoredAt
	if a.Workload.TemplateTime.After(undone) {
		undone = a.Workload.TemplateTime
	}
	return !a.Workload.RestoredAt.IsZero() && slices.ContainsFunc(refs, func(ref source.Ref) bool {
		return a.lastChange([]source.Ref{ref}).After(undone)
	})
}

// undone returns how sources differ from what the pods had before it was asked for.
func (a *evaluation) undone(refs []source.Ref) []Cause {
	var causes []Cause
	for _, u := range a.uses {
		if !slices.Contains(refs, u.Usages.Ref) {
			continue
		}
		cause := Cause{Ref: u.Usages.Ref, Selection: u.selection}
		if record, has := a.before.Records[u.Usages.Ref]; has {
			cause.Diff = a.Digester.Diff(u.SourceState, record)
		}
		causes = append(causes, cause)
	}
	return causes
}

// mayCarry reports whether the template was edited since the baseline was written, and nobody has seen when: before the
// source, or after it. Another process may have, and decides the same, since the pods show it.
func (a *evaluation) mayCarry(u evaluated) bool {
	if !a.HasBaseline || a.Workload.TemplateChanged.Version != 0 || a.Workload.RestoredBy != "" || u.Snapshot == nil || !a.tracks() {
		return false
	}
	if a.before.Template == "" || a.before.Template == a.template {
		return false
	}
	return !u.Snapshot.Changed.Time.IsZero() && !u.Snapshot.Changed.Time.After(a.Workload.TemplateTime)
}

// templateUnknown: it is not known whether the template was edited after a source that changed. While its rollout is
// under way the pods cannot say.
func templateUnknown(a *evaluation) (Decision, bool) {
	return Decision{Action: None, Reason: TemplateRolling, AskPods: !a.Workload.Rolling || a.unread}, a.undecided || a.unread
}

// immutableRecreated: an immutable source was deleted and made again. A kubelet keeps the old content as long as a pod
// of its node uses it, also for new pods (kubernetes/kubernetes#119733), so that no action brings the content with
// certainty.
func immutableRecreated(a *evaluation) (Decision, bool) {
	if len(a.immutable) == 0 || len(a.changed)+len(a.inTemplate) > 0 {
		return Decision{}, false
	}
	decision := a.holding(ImmutableRecreated, immutableMessage(a.immutable))
	decision.Causes = a.immutable
	return decision, true
}

// noPods: a workload without pods takes up the content when it gets some.
func noPods(a *evaluation) (Decision, bool) {
	if !a.Workload.ScaledToZero || a.Workload.TemplateOwner.Name != "" {
		return Decision{}, false
	}
	decision := a.recording(NoPods)
	decision.Causes = a.changed
	return decision, true
}

// withCameBack returns the changes of a source, with those that pods may have taken up while a change was held back, and
// that are not there any more. Which keys that were is not known. Frozen ones make no difference beside frozen ones.
func (a *evaluation) withCameBack(u *evaluated) []source.Change {
	changes := u.diff.Changes
	if _, seen := a.before.Seen[u.Usages.Ref]; !seen || slices.ContainsFunc(changes, func(c source.Change) bool { return c.Frozen }) {
		return changes
	}
	switch whole := u.Usages.Whole(); {
	case len(changes) == 0 && a.cameBack(u):
		return whole
	case len(changes) > 0 && whole[0].Frozen && a.cameBack(u):
		return slices.Concat([]source.Change{{Frozen: true}}, changes)
	}
	return changes
}

// cameBack reports whether a source has had other content than it has while a change was held back, where pods may have
// started with it.
func (a *evaluation) cameBack(u *evaluated) bool {
	since, seen := a.before.Seen[u.Usages.Ref]
	if !seen || u.Snapshot == nil || a.Workload.ScaledToZero {
		return false
	}
	if a.Pods == nil {
		a.asks = true
		a.waiting.Seen[u.Usages.Ref], a.baseline.Seen[u.Usages.Ref] = since, since
		return false
	}
	return a.Pods.startedWithin(time.Unix(since, 0), u.Snapshot.Changed.Time)
}

// seeing notes contents that exist while changes are held back. Of several edits that have settled together the first
// one counts: pods may have started with it.
func (a *evaluation) seeing(held []Cause) {
	for _, cause := range held {
		if at := a.lastChange([]source.Ref{cause.Ref}); !a.Unsettled && !at.IsZero() {
			if _, has := a.waiting.Seen[cause.Ref]; !has {
				if first := a.EditedSince; !first.IsZero() && first.Before(at) {
					at = first
				}
				a.waiting.Seen[cause.Ref] = at.Unix()
			}
		}
	}
}
