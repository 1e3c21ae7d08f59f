package decide_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/window"
	"inpod.dev/inpod/internal/workload"
)

// arrival is a place at which content reaches a pod: a file, a variable, or a source that nothing references and its keys.
type arrival struct {
	obj.Seen

	Named source.Ref
}

// ofOthers begins the content of sources that the workload does not follow.
const ofOthers = "not followed: "

// story is a cluster whose pods are simulated: what they took up when they started, and since.
type story struct {
	*fakeCluster
	r    *rand.Rand
	seed uint64
	step int
	// pods is what the pods have.
	pods map[arrival]string
	// version counts the writes of everybody.
	version uint64
	// started is the version at which the pods started.
	started uint64
	// starting reports whether new pods wait for a source that is missing, and take up what there is once it is there.
	starting bool
	// late reports whether nobody can know what they started with: they waited, or it is not known when a source was
	// deleted.
	late bool
	// pacing is when the workload may be rolled, and paused that Reloader has paused it.
	pacing annotation.Pacing
	paused bool
	counts map[decide.Reason]int
	// held counts why changes waited beside a reload.
	held map[decide.Reason]int
}

// current is what pods that start now would have of the sources that the workload follows.
func (s *story) current() map[arrival]string {
	all := s.shown()
	maps.DeleteFunc(all, func(_ arrival, text string) bool { return strings.Contains(text, ofOthers) })
	return all
}

// shown is current with the content of all sources.
func (s *story) shown() map[arrival]string {
	return s.shownWith(func(source.Ref, map[string]obj.Value) {})
}

// shownWith is the same with other content.
func (s *story) shownWith(edit func(source.Ref, map[string]obj.Value)) map[arrival]string {
	in := s.gather()
	all := map[arrival]string{}
	contents := map[source.Ref]map[string]obj.Value{}
	for _, use := range in.Uses {
		if use.Snapshot == nil {
			continue
		}
		follows := in.Policy.Select(use.Usages.Ref, use.Snapshot.Ignore, use.Snapshot.Match, referenced(use), false).Follows()
		if named := slices.IndexFunc(use.Usages.Usages, func(u source.Usage) bool { return u.Via == source.ViaNamed }); follows && named >= 0 {
			all[arrival{Named: use.Usages.Ref}] = "" // that it exists
			for key, entry := range use.Snapshot.Keys {
				if slices.Contains(use.Usages.Usages[named].Except, key) {
					continue
				}
				all[arrival{obj.Seen{Name: key}, use.Usages.Ref}] = string(entry.Digest[:])
			}
		}
		values := map[string]obj.Value{}
		for key, entry := range use.Snapshot.Keys {
			text := string(entry.Digest[:])
			if !follows {
				text = ofOthers + text
			}
			values[key] = obj.Value{Text: text, Binary: entry.Binary}
		}
		edit(use.Usages.Ref, values)
		contents[use.Usages.Ref] = values
	}
	spec := &s.deployment.Spec.Template.Spec
	for at, text := range obj.Kubelet(spec, func(_ bool, name string) map[string]obj.Value { return contents[cmRef(name)] }) {
		if !strings.HasPrefix(at.Name, workload.VariablePrefix) {
			all[arrival{Seen: at}] = text
		}
	}
	return all
}

// reloaded gives running containers what they see, but for what depends on keys whose changes wait: nobody has looked
// whether they have those.
func (s *story) reloaded(d decide.Decision) {
	var texts []map[arrival]string
	for _, text := range []string{"", "1 of nobody", "2 of nobody"} {
		texts = append(texts, s.shownWith(func(ref source.Ref, values map[string]obj.Value) {
			for _, cause := range d.Held.Causes {
				if ref != cause.Ref {
					continue
				}
				for _, key := range heldKeys(cause, values) {
					values[key] = obj.Value{Text: text}
				}
			}
		}))
	}
	depends := func(a arrival) bool { return texts[1][a] != texts[2][a] }
	maps.DeleteFunc(s.pods, func(a arrival, _ string) bool { return a.Live && !depends(a) })
	for a, text := range s.current() {
		if a.Live && !depends(a) {
			s.pods[a] = text
		}
	}
}

// heldKeys are the keys of a source whose change waits.
func heldKeys(cause decide.Cause, values map[string]obj.Value) []string {
	var keys []string
	for _, change := range cause.Diff.Changes {
		if change.Key == "" {
			return slices.Concat(slices.Collect(maps.Keys(values)), obj.RandomKeys())
		}
		keys = append(keys, change.Key)
	}
	return keys
}

// wantHeld fails if a decision forgets what it leaves for later.
func (s *story) wantHeld(in decide.Input, d decide.Decision) {
	s.Helper()
	later := s.gather()
	later.Policy.Pacing, later.Options.NotifyOnly, later.NotBefore, later.InPlace = annotation.Pacing{}, false, time.Time{}, decide.InPlace{}
	rolls := decide.Decide(later)
	for _, held := range d.Held.Causes {
		at := slices.IndexFunc(rolls.Causes, func(c decide.Cause) bool { return c.Ref == held.Ref })
		if rolls.Action != decide.Rollout || at < 0 {
			s.Fatalf("%s: %s is forgotten: %s (%s)", s.at(d), held, rolls.Action, rolls.Reason)
		}
		for _, change := range held.Diff.Changes {
			// What containers see of it may be what has just been reloaded, where another source hid it or does.
			if !slices.ContainsFunc(rolls.Causes[at].Diff.Changes, func(c source.Change) bool { return c.Key == change.Key && c.Frozen }) {
				s.Fatalf("%s: key %q of %s is forgotten: %+v", s.at(d), change.Key, held, rolls.Causes[at].Diff.Changes)
			}
			before, after := in.Baseline.Known()[held.Ref].Keys[change.Key], d.Baseline.Known()[held.Ref].Keys[change.Key]
			if d.Record && before != after {
				s.Fatalf("%s: key %q of %s is recorded as what the pods have", s.at(d), change.Key, held)
			}
		}
	}
	for _, reloads := range d.Causes {
		at := slices.IndexFunc(rolls.Causes, func(c decide.Cause) bool { return c.Ref == reloads.Ref })
		if d.Reason != decide.ReloadConfirmed || at < 0 {
			continue
		}
		for _, change := range reloads.Diff.Changes {
			if slices.Contains(rolls.Causes[at].Diff.Changes, change) {
				s.Fatalf("%s: key %q of %s is taken up and changes again", s.at(d), change.Key, reloads)
			}
		}
	}
}

// coarse reports whether it is not known of each key by itself whether it changed, where sources may hide each other.
func (s *story) coarse() bool {
	in := s.gather()
	meets := slices.ContainsFunc(in.Workload.Usages, func(u source.Usage) bool { return u.Place != nil })
	for _, record := range in.Baseline.Known() {
		if meets && (record.Fold != "" || record.All && record.Binary && len(record.Keys) == 0) {
			return true
		}
	}
	return false
}

func referenced(use source.SourceState) bool {
	return slices.ContainsFunc(use.Usages.Usages, func(u source.Usage) bool { return u.Via != source.ViaNamed })
}

// canStart reports whether new pods find all that they need.
func (s *story) canStart() bool {
	for _, use := range s.gather().Uses {
		if use.Snapshot == nil && use.Usages.Required() {
			return false
		}
		if use.Snapshot != nil && len(use.Usages.MissingKeys(use.Snapshot, source.Record{})) > 0 {
			return false
		}
	}
	return true
}

// restart replaces the pods.
func (s *story) restart() {
	s.starting, s.late = !s.canStart(), false
	s.pods, s.started = s.current(), s.version
}

// timeOf returns the time of a version.
func timeOf(version uint64) time.Time {
	return now.Add(time.Duration(version)*time.Second - 24*time.Hour)
}

// startAtLast starts pods that have waited.
func (s *story) startAtLast() {
	if s.starting && s.canStart() {
		s.restart()
		s.late = true
	}
}

// edits changes something in the cluster. It returns whether that was the template: what changes after it and before a
// decision cannot be distinguished from what its pods started with.
func (s *story) edits() (template bool) {
	name := []string{"a", "b", "c1"}[s.r.IntN(3)]
	old := s.sources[cmRef(name)]
	s.version++
	switch {
	case s.r.IntN(12) == 0:
		s.edit(s.parts()...)
		s.input.Workload.TemplateChanged.Version = s.version
		s.restart()
		return true
	case old == nil || s.r.IntN(10) == 0:
		s.set(withConfigHash(obj.RandomConfigMap(s.r, name)))
	case s.r.IntN(15) == 0:
		s.remove(cmRef(name))
	default:
		edited := source.Snapshot{Ref: old.Ref, Match: old.Match, Keys: maps.Clone(old.Keys)}
		key := obj.RandomKeys()[s.r.IntN(len(obj.RandomKeys()))]
		edited.Keys[key] = source.Entry{Digest: source.DigestOf([]byte{byte(s.r.IntN(3))}), Binary: s.r.IntN(6) == 0}
		if s.r.IntN(6) == 0 {
			delete(edited.Keys, key)
		}
		s.sources[cmRef(name)] = &edited
	}
	if now := s.sources[cmRef(name)]; now != nil {
		now.Changed = source.Moment{Version: s.version, Time: timeOf(s.version)}
	}
	s.startAtLast()
	return false
}

// withConfigHash gives the ConfigMap "b" the match annotation.
func withConfigHash(c *corev1.ConfigMap) *corev1.ConfigMap {
	if c.Name == "b" {
		return obj.Annotated(c, match, "true")
	}
	return c
}

// parts are a template whose annotations say the same throughout the story.
func (s *story) parts() []obj.Part {
	said := [][]obj.Part{
		{obj.Annotation(auto, "true")},
		{obj.Annotation(search, "true"), obj.Annotation(namedCM, "a")},
		{obj.Annotation(auto, "true"), obj.Annotation(excludeCM, "b"), obj.Annotation(namedCM, "c.*")},
		{obj.TemplateAnnotation(inject, "enabled")},
		{obj.Annotation(auto, "true"), obj.TemplateAnnotation(inject, "enabled"), obj.Annotation(onFailure, "none")},
	}[s.seed%5]
	parts := append(slices.Clone(said), obj.RandomParts(s.r, obj.CM("a"), obj.CM("b"), obj.CM("c1"))...)
	if s.r.IntN(2) == 0 {
		parts = append(parts, obj.RandomMeeting(s.r, obj.CM("a"), obj.CM("b"), obj.CM("c1")))
	}
	return parts
}

// paces makes up when the workload may be rolled.
func (s *story) paces() {
	only := s.r.IntN(8) == 0
	s.pacing = annotation.Pacing{NotifyOnly: &only, PausePeriod: new(time.Hour), PausedAt: now.Add(time.Duration(s.r.IntN(12)-11) * 10 * time.Minute)}
	if s.r.IntN(3) > 0 {
		s.pacing.PausePeriod = nil
	}
	if s.r.IntN(12) == 0 {
		never := window.Closed()
		s.pacing.Windows = &never
	}
	s.paused = s.r.IntN(10) == 0
	s.pacing.PausedByReloader = s.paused && s.r.IntN(2) == 0
}

// holds makes up that the workload is hardly ever rolled, and that what its containers see is reloaded.
func (s *story) holds() {
	s.input.InPlace = decide.InPlace{Sidecar: true, Verdict: []decide.Verdict{decide.Unknown, decide.Confirmed}[s.r.IntN(2)], Proven: true}
	s.paused, s.pacing = false, annotation.Pacing{}
	switch s.r.IntN(9) {
	case 0, 1:
		s.pacing.NotifyOnly = new(true)
	case 2, 3:
		never := window.Closed()
		s.pacing.Windows = &never
	case 4, 5:
		s.pacing.PausePeriod, s.pacing.PausedAt = new(time.Hour), now.Add(-time.Minute)
	case 6, 7:
		s.input.NotBefore = now.Add(time.Minute)
	}
}

// happens decides, checks what holds for each decision, and does what it says.
func (s *story) happens() decide.Decision {
	s.Helper()
	s.step++
	was := maps.Equal(s.pods, s.current()) && !s.starting && !s.late
	in := s.gather()
	unmodified := cmp.Transformer("", func(d decide.Input) any {
		text, err := d.Digester.Encode(d.Baseline)
		if err != nil {
			s.Fatal(err)
		}
		return fmt.Sprintf("%s %+v %+v", text, d.Uses, d.Workload)
	})
	before := s.gather()
	d := decide.Decide(in)
	if diff := cmp.Diff(before, in, unmodified); diff != "" {
		s.Fatalf("%s: the input was modified:\n%s", s.at(d), diff)
	}
	if again := decide.Decide(s.gather()); !cmp.Equal(d, again) {
		s.Fatalf("%s: decided twice:\n%s", s.at(d), cmp.Diff(d, again))
	}
	deleted := slices.ContainsFunc(d.Causes, func(c decide.Cause) bool { return c.Diff.Deleted }) // nobody knows when
	s.late = s.late || deleted
	if was && d.Action != decide.None && d.Action != decide.Resume && !deleted && !s.coarse() {
		s.Fatalf("%s: although the pods have everything: %s\n%s", s.at(d), d.Message, s.baseline)
	}
	if d.Warning != (d.Action == decide.None && d.Message != "" && d.Reason != decide.ReloadConfirmed && !d.Reason.Deferred()) || (d.Action != decide.None && d.Message == "") {
		s.Fatalf("%s: warning %t, message %q", s.at(d), d.Warning, d.Message)
	}
	nobodyKnows := in.InPlace.Verdict == decide.Unreachable || in.InPlace.Verdict == decide.NotUnderstood
	if nobodyKnows && !in.Options.RollUnreachable && (d.Reason == decide.ReloadFailed || d.Reason == decide.ReloadConfirmed) {
		s.Fatalf("%s: although nobody knows", s.at(d))
	}
	if (d.Reason == decide.SidecarUnreachable || d.Reason == decide.SidecarNotUnderstood || d.Reason == decide.ReloadRejected) && d.Record {
		s.wantKept(in, d)
	}
	s.apply(d)
	if d.Held.Reason != "" {
		s.wantHeld(in, d)
		s.held[d.Held.Reason]++
	}
	switch {
	case d.Action == decide.Rollout:
		if s.gather().Workload.Template == in.Workload.Template {
			s.Fatalf("%s: the template stays as it is, so that nothing rolls", s.at(d))
		}
		s.version++
		s.input.Workload.TemplateChanged.Version = s.version
		s.restart()
		s.wantNothingLeft()
	case d.Action == decide.Resume:
		s.paused = false
		if again := s.decide(); again.Action == decide.Resume {
			s.Fatalf("%s: resumed, and decided again", s.at(d))
		}
		s.happens() // the write brings the workload back
	case d.Reason == decide.ReloadConfirmed, d.Reason == decide.NothingToReload: // pods that start later read what is there
		s.reloaded(d)
		if again := s.decide(); again.Reason == decide.CarriedByTemplate {
			s.apply(again) // a rollout of before is settled as well
		}
		s.wantNothingLeft()
	default:
		if again := s.decide(); again.Reason == decide.CarriedByTemplate && again.Record {
			s.apply(again) // a rollout of before is settled as well
		}
		if again := s.decide(); again.Action != d.Action || again.Record {
			s.Fatalf("%s: applied, and decided again: %s (%s), record %t (-recorded +again):\n%s",
				s.at(d), again.Action, again.Reason, again.Record, cmp.Diff(d.Baseline, again.Baseline))
		}
	}
	s.counts[d.Reason]++
	return d
}

// wantKept fails if a decision records of what has changed that the pods have it.
func (s *story) wantKept(in decide.Input, d decide.Decision) {
	s.Helper()
	for _, cause := range d.Causes {
		before, recorded := in.Baseline.Known()[cause.Ref]
		if recorded && !d.Baseline.Known()[cause.Ref].Equal(before) {
			s.Fatalf("%s: %s is recorded as what the pods have", s.at(d), cause)
		}
	}
}

func (s *story) at(d decide.Decision) string {
	return fmt.Sprintf("seed %d, step %d, %s (%s)", s.seed, s.step, d.Action, d.Reason)
}

// Stories of random edits, in which every decision is carried out. Whatever happened, in the end the pods have the
// content of all sources that they follow, and nothing was done that was not needed for it.
func TestPropertyPodsGetWhatChanged(t *testing.T) {
	t.Parallel()
	counts, held := map[decide.Reason]int{}, map[decide.Reason]int{}
	for seed := range uint64(400) {
		s := &story{fakeCluster: newFakeCluster(t, nil), r: rand.New(rand.NewPCG(seed, 5)), seed: seed, counts: counts, held: held}
		s.input.Options = decide.Options{OnCreate: true, OnDelete: true}
		s.inputs = func(in *decide.Input) {
			in.Policy.Pacing, in.Workload.Paused = s.pacing, s.paused
			in.Workload.Rolling, in.Workload.Progress = seed%3 == 0, workload.Complete
			if seed%3 > 0 { // what was asked for stays so
				in.Workload.Progress = workload.NoneUpdated
			}
			in.Pods = &decide.Pods{Starts: []decide.PodStart{{Created: timeOf(s.started), Running: timeOf(s.started)}}}
		}
		s.edit(s.parts()...)
		s.restart()
		s.happens()
		for range 25 {
			s.input.EditedSince = timeOf(s.version + 1)
			for range 1 + s.r.IntN(2) {
				if s.edits() {
					break
				}
			}
			s.input.NotBefore = now.Add(time.Duration(s.r.IntN(5)-3) * time.Minute)
			s.input.InPlace = decide.InPlace{Sidecar: s.r.IntN(3) > 0, Pod: "web-1", Message: "no"}
			verdicts := append(decide.Verdicts(), decide.Unknown, decide.NeedsRestart) // twice: more is in its way
			s.input.InPlace.Verdict, s.input.InPlace.Proven = verdicts[s.r.IntN(len(verdicts))], s.r.IntN(2) == 0
			s.input.InPlace.Nothing = s.input.InPlace.Verdict == decide.Confirmed && !s.input.InPlace.Proven
			s.input.Options.RollUnreachable = s.r.IntN(4) == 0
			s.paces()
			if seed%4 == 1 {
				s.holds()
			}
			s.happens()
		}
		// In the end everything is there, and nothing stands in the way.
		for _, name := range []string{"a", "b", "c1"} {
			s.set(withConfigHash(cm(name, "a", "1", "b", "1", "c", "1", "d", "1")))
		}
		s.startAtLast()
		s.pacing, s.paused = annotation.Pacing{}, false
		s.input.NotBefore, s.input.InPlace = time.Time{}, decide.InPlace{}
		if d := s.happens(); d.Reason == decide.SourceMissing {
			continue // a projected volume of something else
		}
		for at, text := range s.shown() {
			if strings.Contains(text, ofOthers) {
				delete(s.pods, at) // a source that is not followed hid it meanwhile
			}
		}
		if diff := cmp.Diff(s.current(), s.pods); diff != "" && s.follows() {
			t.Fatalf("seed %d: the pods do not have everything (-current +pods):\n%s", seed, diff)
		}
	}
	untold := []decide.Reason{
		decide.Deleting, decide.NoTemplate, decide.CreateIgnored, decide.DeleteIgnored, decide.CarriedByTemplate, decide.Suspended, decide.ConcurrencyForbidden,
		decide.RecreatingJob, decide.Finished, decide.OwnedJob, decide.NoPods, decide.ImmutableRecreated,
		decide.RolloutUndone, decide.UndoWithoutContent, decide.TemplateRolling, decide.BaselineRestored,
	}
	for _, reason := range decide.Reasons() {
		if n := counts[reason]; n < 10 && !slices.Contains(untold, reason) {
			t.Errorf("%s was decided %d times: the stories are not varied", reason, n)
		}
	}
	for _, reason := range []decide.Reason{decide.NotifyOnly, decide.PausePeriod, decide.WindowClosed, decide.BackOff} {
		if held[reason] < 10 {
			t.Errorf("%s held something beside a reload %d times: the stories are not varied", reason, held[reason])
		}
	}
}

func (s *story) follows() bool { return s.decide().Reason != decide.NotFollowed }
