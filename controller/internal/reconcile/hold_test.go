package reconcile_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// The keys of a ConfigMap by how they are used: in a volume, in the environment, and in both.
var (
	liveKeys   = []string{"l"}
	frozenKeys = []string{"f", "both"}
)

// using is a Deployment with a sidecar that uses ConfigMaps in both ways.
func using(name string, annotations map[string]string, version int, configMaps ...string) metav1.Object {
	parts := []objtest.Part{
		objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.TemplateAnnotation("inpod.dev/inject", "enabled"), objtest.Var("N", strconv.Itoa(version)),
	}
	for key, value := range annotations {
		parts = append(parts, objtest.Annotation(key, value))
	}
	for _, configMap := range configMaps {
		cm := objtest.CM(configMap)
		parts = append(parts, objtest.Mount(cm.Items("l", "both")), objtest.EnvNamed("F_"+configMap, cm, "f"), objtest.EnvNamed("B_"+configMap, cm, "both"))
	}
	return objtest.Deployment(name, parts...)
}

// reloadingPods are pods with a sidecar, which reloads some time after it was asked for, and says so.
type reloadingPods struct {
	mu      sync.Mutex
	targets map[workload.Key]*podsTarget
	begun   int
	// after is how long a reload takes, and reloaded is called when it is done.
	after    func() time.Duration
	reloaded func(workload.Key, []source.SourceState, []decide.Cause) bool
	enqueue  func(workload.Key)
}

type podsTarget struct {
	name string
	done bool
}

func (p *reloadingPods) State(view workload.View, _ bool, target string) decide.InPlace {
	p.mu.Lock()
	defer p.mu.Unlock()
	state := decide.InPlace{Sidecar: true}
	if t := p.targets[view.Key]; t != nil && t.name == target && t.done {
		state.Verdict, state.Proven = decide.Confirmed, true
	}
	return state
}

func (p *reloadingPods) StartReload(key workload.Key, target string, uses []source.SourceState, causes []decide.Cause, _ time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.targets[key]; t != nil && t.name == target {
		return
	}
	t := &podsTarget{name: target}
	p.targets[key] = t
	p.begun++
	time.AfterFunc(p.after(), func() {
		p.mu.Lock()
		current := p.targets[key] == t
		p.mu.Unlock()
		if !current || !p.reloaded(key, uses, causes) {
			return // the files are those of another content
		}
		p.mu.Lock()
		t.done = true
		p.mu.Unlock()
		p.enqueue(key)
	})
}

func (p *reloadingPods) CancelReload(key workload.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.targets, key)
}

func (p *reloadingPods) Evicted(workload.Key, types.UID) {}

func (p *reloadingPods) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun
}

// withReloadingPods is a cluster whose pods reload after a second.
func withReloadingPods(t *testing.T, change ...func(*reconcile.Options)) (*fakeCluster, *reloadingPods) {
	t.Helper()
	pods := &reloadingPods{
		targets:  map[workload.Key]*podsTarget{},
		after:    func() time.Duration { return time.Second },
		reloaded: func(workload.Key, []source.SourceState, []decide.Cause) bool { return true },
	}
	w := newFakeCluster(t, append(change, func(o *reconcile.Options) { o.InPlace = pods })...)
	pods.enqueue = func(key workload.Key) { w.wake(key, observe.WorkloadChanged) }
	return w, pods
}

func keysOf(name, l, f, both string) metav1.Object {
	return objtest.ConfigMap(name, "l", l, "f", f, "both", both)
}

// What is live is reloaded at once, each part is reported once, and what waits is rolled once when it may.
func TestAReloadDoesNotWaitForWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	const reloaded = "Normal ReloadedInPlace web: Reloaded in place: ConfigMap a changed (l)"
	const rolled = "Normal Reloaded web: Rolling update started: ConfigMap a changed (both, f)"
	for name, c := range map[string]struct {
		annotations map[string]string
		held        string        // the event
		at          time.Duration // when it is rolled; 0 for not before the annotation is removed
	}{
		"window": {
			map[string]string{"inpod.dev/window": "02:00-03:00"},
			"Normal WindowClosed web: Rollout delayed until 2000-01-01 02:00 UTC, when the maintenance window opens: ConfigMap a changed (both, f)", 2 * time.Hour,
		},
		"pause-period": {
			map[string]string{pauseKey: "1h", pausedKey: "2000-01-01T00:30:00.000Z"},
			"Normal PausePeriod web: Rollout delayed until 2000-01-01 01:30:00 UTC (pause-period: 1h0m0s): ConfigMap a changed (both, f)", 90 * time.Minute,
		},
		"notify-only": {
			map[string]string{notifyKey: "true"},
			"Normal NotifyOnly web: Notify-only: would start a rollout: ConfigMap a changed (both, f)", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var alerts []string
				w, pods := withReloadingPods(t, func(o *reconcile.Options) {
					o.Alert = func(m alert.Message) { alerts = append(alerts, m.Action+": "+m.Text) }
				})
				w.apply(keysOf("a", "0", "0", "0"), using("web", c.annotations, 0, "a"))
				w.lead()
				time.Sleep(time.Hour)
				w.set(func() { w.writes, w.events = nil, nil })
				w.apply(keysOf("a", "1", "1", "1"))
				time.Sleep(time.Minute)
				if diff := cmp.Diff([]string{c.held, reloaded}, w.reported()); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
				for i := range 3 {
					w.apply(keysOf("a", fmt.Sprint("again ", i), "1", "1"))
					time.Sleep(time.Minute)
				}
				if diff := cmp.Diff([]string{c.held, reloaded, reloaded, reloaded, reloaded}, w.reported()); diff != "" {
					t.Errorf("events after more edits of the live key (-want +got):\n%s", diff)
				}
				if n := pods.count(); n != 4 {
					t.Errorf("%d reloads for 4 edits", n)
				}
				if n := strings.Count(strings.Join(alerts, "\n"), "not rolled: "); n != strings.Count(c.held, "NotifyOnly ") {
					t.Errorf("alerts %q", alerts)
				}
				if got := w.rolled("web"); len(got) > 0 {
					t.Errorf("rolled at %v", got)
				}
				if c.at == 0 {
					w.touch(deployment("web"), func(v *workload.View) { v.Annotations = with(v.Annotations, notifyKey, "") })
				}
				time.Sleep(4 * time.Hour)
				got := w.rolled("web")
				if len(got) != 1 || c.at > 0 && got[0] != c.at {
					t.Errorf("rolled at %v, want once at %s", got, c.at)
				}
				if events := w.reported(); events[len(events)-1] != rolled {
					t.Errorf("the last event is %q", events[len(events)-1])
				}
				if n := pods.count(); n != 4 {
					t.Errorf("%d reloads in the end", n)
				}
				if n := w.metric("inpod_baselines_pending"); n != 0 {
					t.Errorf("%v baselines are pending", n)
				}
			})
		})
	}
}

// A workload that is rolled again and again still has its live keys reloaded.
func TestABackOffHoldsUpNoReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, pods := withReloadingPods(t)
		w.apply(keysOf("a", "0", "0", "0"), using("web", nil, 0, "a"))
		w.lead()
		time.Sleep(time.Minute)
		for i := range 10 {
			w.apply(keysOf("a", "0", fmt.Sprint("edit ", i), "0"))
			time.Sleep(3 * time.Second)
		}
		rolled := len(w.rolled("web"))
		w.set(func() { w.events = nil })
		w.apply(keysOf("a", "1", "1", "0"))
		time.Sleep(10 * time.Second)
		w.apply(keysOf("a", "2", "1", "0"))
		time.Sleep(10 * time.Second)
		events := w.reported()
		if len(events) != 3 || !strings.HasPrefix(events[0], "Warning BackOff web: Rollout delayed until ") || !strings.Contains(events[0], "(ConfigMap a changed (f))") {
			t.Errorf("events %q, want one that it is held back and two reloads", events)
		}
		if n := pods.count(); n != 2 || len(w.rolled("web")) != rolled {
			t.Errorf("%d reloads and %d more rollouts, want 2 and 0", n, len(w.rolled("web"))-rolled)
		}
		time.Sleep(time.Hour)
		if n := len(w.rolled("web")); n != rolled+1 {
			t.Errorf("%d rollouts in the end, want one more than %d", n, rolled)
		}
	})
}

// What was reloaded is recorded, and what waits is not: a leader that takes over goes on with both.
func TestWhatIsHeldBackBesideAReloadOutlivesARestart(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprintf("reloaded before it %t", done), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, pods := withReloadingPods(t)
				change := func(o *reconcile.Options) { o.InPlace = pods }
				w.apply(keysOf("a", "0", "0", "0"), using("web", map[string]string{"inpod.dev/window": "02:00-03:00"}, 0, "a"))
				stop := w.lead()
				time.Sleep(time.Hour)
				if !done {
					pods.after = func() time.Duration { return 20 * time.Second }
				}
				w.apply(keysOf("a", "1", "1", "0"))
				time.Sleep(10 * time.Second)
				stop()
				pods.CancelReload(deployment("web"))
				w.restart(change).lead()
				time.Sleep(time.Minute)
				if n, want := pods.count(), map[bool]int{false: 2, true: 1}[done]; n != want {
					t.Errorf("%d reloads, want %d", n, want)
				}
				if n := strings.Count(strings.Join(w.reported(), "\n"), "ReloadedInPlace web: Reloaded in place: ConfigMap a changed (l)"); n != 1 {
					t.Errorf("%d events about the reload: %q", n, w.reported())
				}
				time.Sleep(4 * time.Hour)
				if diff := cmp.Diff([]time.Duration{2 * time.Hour}, w.rolled("web")); diff != "" {
					t.Errorf("rolled at (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// heldStory is a random course of events with workloads that use keys in all ways, and mostly may not be rolled. Of each
// pod it is known what it has by which way.
type heldStory struct {
	*fakeCluster

	pods    *reloadingPods
	r       *rand.Rand
	content map[string]map[string]string // by ConfigMap and key
	uses    map[string][]string          // by workload
	holds   map[string]map[string]string // annotations, by workload
	has     map[string]map[string]string // by workload and way, as "live a/l"
	version int
	// startedAt is when the pods of a workload started, and unclear are those that an edit followed within the second.
	startedAt map[string]time.Time
	unclear   map[string]bool
	// before is what the pods had before reloads that are not recorded yet.
	before map[string]map[string]string
	stop   func()
}

// Whatever is held back: what running containers see is reloaded without delay, what they do not see is rolled when it
// may be and not before, nothing is lost, and nothing is done twice.
func TestEveryStoryOfHoldsEndsWell(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { holdsEndWell(t, seed) })
		})
	}
}

func holdsEndWell(t *testing.T, seed uint64) {
	t.Helper()
	w, pods := withReloadingPods(t)
	s := &heldStory{
		fakeCluster: w, pods: pods, r: rand.New(rand.NewPCG(seed, 1)), content: map[string]map[string]string{}, uses: map[string][]string{},
		holds: map[string]map[string]string{}, has: map[string]map[string]string{}, startedAt: map[string]time.Time{}, unclear: map[string]bool{}, before: map[string]map[string]string{},
	}
	pods.after = func() time.Duration { return time.Duration(seed%7) * time.Second }
	pods.reloaded = s.reloaded
	w.onCommit = s.committed
	for _, cm := range []string{"a", "b"} {
		s.edit(cm)
	}
	for i, annotations := range []map[string]string{{"inpod.dev/window": "02:00-03:00"}, {pauseKey: "1h"}, {notifyKey: "true"}, {}} {
		name := fmt.Sprintf("web-%d", i)
		s.uses[name], s.holds[name] = []string{"a", "b"}[:1+s.r.IntN(2)], annotations
		s.template(name)
	}
	s.stop = s.lead()
	time.Sleep(5 * time.Minute)
	for range 30 {
		s.step()
		time.Sleep(time.Duration(s.r.IntN([]int{500, 20000}[s.r.IntN(2)])) * time.Millisecond)
	}
	time.Sleep(time.Minute)
	s.wantAll("while it is held back", liveKeys)
	s.wantNothingDone("while it is held back")
	for name := range s.uses {
		s.touch(deployment(name), func(v *workload.View) { v.Annotations = with(v.Annotations, notifyKey, "") })
	}
	time.Sleep(4 * time.Hour)
	s.wantAll("in the end", slices.Concat(liveKeys, frozenKeys))
	s.restartLoop()
	time.Sleep(time.Minute)
	s.wantNothingDone("in the end")
}

func (s *heldStory) step() {
	name := fmt.Sprintf("web-%d", s.r.IntN(4))
	switch s.r.IntN(9) {
	case 0:
		s.template(name)
	case 1:
		if s.metric("inpod_baselines_pending") == 0 {
			s.restartLoop()
		}
	default:
		s.edit([]string{"a", "b"}[s.r.IntN(2)])
	}
}

func (s *heldStory) restartLoop() {
	s.stop()
	time.Sleep(3 * time.Second)
	for name := range s.uses {
		s.pods.CancelReload(deployment(name))
	}
	s.fakeCluster.restart(func(o *reconcile.Options) { o.InPlace = s.pods })
	s.stop = s.lead()
}

// edit gives some keys of a ConfigMap other values, or those of before.
func (s *heldStory) edit(cm string) {
	s.set(func() {
		defer s.takenBack()
		for name, at := range s.startedAt {
			s.unclear[name] = s.unclear[name] || time.Since(at) < time.Second
		}
		before := s.content[cm]
		s.content[cm] = map[string]string{}
		for _, key := range slices.Concat(liveKeys, frozenKeys) {
			s.content[cm][key] = before[key]
			if before == nil || s.r.IntN(2) == 0 {
				s.content[cm][key] = strconv.Itoa(s.r.IntN(3))
			}
		}
	})
	s.apply(keysOf(cm, s.content[cm]["l"], s.content[cm]["f"], s.content[cm]["both"]))
}

// takenBack has sidecars reload once more where an edit is taken back that they have taken up and that is not recorded:
// nobody asks them to. The cluster's mutex is held.
func (s *heldStory) takenBack() {
	for name, ways := range s.before {
		for way, value := range ways {
			if s.current(name)[way] == value {
				s.has[name][way] = value
			}
		}
	}
}

// template edits the template of a workload, whose pods start again.
func (s *heldStory) template(name string) {
	s.version++
	s.set(func() { s.start(name) })
	s.apply(using(name, s.holds[name], s.version, s.uses[name]...))
}

// start gives the pods of a workload what is there now; the cluster's mutex is held.
func (s *heldStory) start(name string) {
	s.has[name], s.startedAt[name], s.unclear[name] = s.current(name), time.Now(), false
}

// current is what pods that start now have; the cluster's mutex is held.
func (s *heldStory) current(name string) map[string]string {
	all := map[string]string{}
	for _, cm := range s.uses[name] {
		for key, ways := range map[string][]string{"l": {"live"}, "f": {"frozen"}, "both": {"live", "frozen"}} {
			for _, way := range ways {
				all[way+" "+cm+"/"+key] = s.content[cm][key]
			}
		}
	}
	return all
}

// reloaded gives the pods what a reload was about, if that is still what is there.
func (s *heldStory) reloaded(key workload.Key, uses []source.SourceState, causes []decide.Cause) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, use := range uses {
		if !maps.Equal(use.Snapshot.Keys, s.sources[use.Usages.Ref].Keys) {
			return false
		}
	}
	for _, cause := range causes {
		for _, change := range cause.Diff.Changes {
			way := "live " + cause.Ref.Name + "/" + change.Key
			if _, has := s.before[key.Name][way]; !has {
				s.before[key.Name] = with(s.before[key.Name], way, s.has[key.Name][way])
			}
			s.has[key.Name][way] = s.content[cause.Ref.Name][change.Key]
		}
	}
	return true
}

// committed checks a rollout; the cluster's mutex is held.
func (s *heldStory) committed(key workload.Key, done written) {
	delete(s.before, key.Name)
	if !done.rollout {
		return
	}
	needed := s.unclear[key.Name] // whether they started with another value is not known
	for way, value := range s.current(key.Name) {
		needed = needed || strings.HasPrefix(way, "frozen ") && s.has[key.Name][way] != value
	}
	if !needed {
		s.t.Errorf("%s was rolled at %s, and its pods had everything that a rollout brings", key.Name, time.Since(s.fakeCluster.start))
	}
	if at := time.Now().UTC(); key.Name == "web-0" && at.Hour() != 2 {
		s.t.Errorf("%s was rolled at %s", key.Name, at)
	}
	s.start(key.Name)
}

// wantAll fails unless the pods have the current values of some keys.
func (s *heldStory) wantAll(when string, keys []string) {
	s.t.Helper()
	s.set(func() {
		for name := range s.uses {
			for way, value := range s.current(name) {
				if _, key, _ := strings.Cut(way, "/"); slices.Contains(keys, key) && s.has[name][way] != value {
					s.t.Errorf("%s the pods of %s have %q of %s, which is %q", when, name, s.has[name][way], way, value)
				}
			}
		}
	})
}

// wantNothingDone fails if anything is written or reloaded although nothing happens.
func (s *heldStory) wantNothingDone(when string) {
	s.t.Helper()
	writes, reloads := len(s.done()), s.pods.count()
	time.Sleep(20 * time.Minute)
	if more := s.done()[writes:]; len(more) > 0 || s.pods.count() != reloads {
		s.t.Errorf("%s, although nothing happens: writes %v, and %d reloads", when, more, s.pods.count()-reloads)
	}
}
