package inplace_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

var web = workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}

const deadline = 2 * time.Minute

// ward is a cluster as the reloader sees it: one Deployment whose pods have what the test says.
type ward struct {
	reloader *inplace.Reloader
	early    *inplace.NudgeQueue

	mu       sync.Mutex
	size     int // what the Deployment's status says
	pods     map[string]*patient
	notified int
	nudges   []string
	asked    int
	reads    int           // how often the pods of a workload were read
	takes    time.Duration // how long each question takes
	asking   int           // questions under way
	mostAsks int           // and the most that there were
	brings   time.Duration // how long a kubelet takes from a nudge to the new content
	took     time.Duration // how long applications take from new content to the reload; zero for ones that do not say
	several  bool          // there are several workloads, each with the pods that name it
	at       []time.Time   // when each of the nudges was
	text     func() string // of early nudges; nil for the usual one
}

func (w *ward) textOf(_ workload.Key, ref source.Ref) (text string, follows bool) {
	if w.text != nil {
		return w.text(), true
	}
	return "early for " + ref.Name, true
}

func (w *ward) countText(text string) (n int) {
	for _, nudge := range w.nudges {
		if strings.HasSuffix(nudge, " "+text) {
			n++
		}
	}
	return n
}

// patient is a pod with its sidecar.
type patient struct {
	pod    observe.Pod
	result sidecarapi.Result
	has    string // the content of its file
	takes  int    // nudges until its kubelet has the new content
	fails  error  // what asking it comes to
	panics int    // how often asking it is a fault of this program
	closed bool   // nothing is heard of its sidecar
	later  bool   // its sidecar is of a version that says what nobody knows
	// unproven, trigger and proof are what it says of a reload.
	unproven       bool
	assumed        bool
	trigger, proof string
	// seen is when it saw its mounts change last, zero for a sidecar that does not say.
	seen time.Time
}

const newContent = "new"

// use is a source that changed when the clock of a test begins.
func use() source.SourceState {
	ref := source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "conf"}
	return source.SourceState{Usages: source.SourceUsages{Ref: ref}, Snapshot: &source.Snapshot{
		Ref: ref, ContentAt: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), Keys: map[string]source.Entry{"f": {Digest: source.DigestOf([]byte(newContent))}},
	}}
}

func changes() []decide.Cause {
	return []decide.Cause{{Ref: use().Usages.Ref, Diff: source.Diff{Changes: []source.Change{{Key: "f", Live: true}}}}}
}

// newWard has so many pods, which take up the content with the first nudge.
func newWard(n int) *ward { return newWardAt(n, 1000, 0) }

// newWardAt is the same with a nudge rate and a settle time.
func newWardAt(n int, rate float64, settle time.Duration) *ward {
	w := &ward{size: n, pods: map[string]*patient{}}
	for i := range n {
		w.admit(fmt.Sprintf("web-%d", i))
	}
	w.early = inplace.NewNudgeQueue()
	w.reloader = inplace.New(inplace.Options{
		Nudges: w.early, NudgeText: w.textOf,
		Cache: w, Ask: w.ask, Nudge: w.nudge, Enqueue: func(workload.Key) { w.change(func() { w.notified++ }) },
		Deadline: deadline, NudgeRate: rate, Settle: settle, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	return w
}

func (w *ward) admit(name string) *patient {
	p := &patient{
		pod: observe.Pod{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Workload: web, Address: "10.0.0.1", Running: true, Ready: true, Created: time.Now(),
			Mounts: []observe.Mount{{Ref: use().Usages.Ref, Path: "/etc/conf"}},
		},
		result: sidecarapi.Applied, has: "old", takes: 1,
	}
	w.pods[name] = p
	return p
}

func (w *ward) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *ward) Workload(key workload.Key) (observe.Workload, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return observe.Workload{View: workload.View{Key: key, Pods: w.size}}, true
}

func (w *ward) Pods(key workload.Key) []observe.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	var pods []observe.Pod
	for _, p := range w.pods {
		if !w.several || p.pod.Workload == key {
			pods = append(pods, p.pod)
		}
	}
	return pods
}

func (w *ward) Source(ref source.Ref) *source.Snapshot {
	if ref != use().Usages.Ref {
		return nil
	}
	return use().Snapshot
}

func (w *ward) ask(ctx context.Context, pod observe.Pod, want inplace.Question) (sidecarapi.Response, error) {
	w.change(func() { w.asking++; w.mostAsks = max(w.mostAsks, w.asking) })
	time.Sleep(w.takes)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asking--
	p := w.pods[pod.Name]
	w.asked++
	if ctx.Err() != nil {
		return sidecarapi.Response{}, ctx.Err()
	}
	if p != nil && p.panics > 0 {
		p.panics--
		panic("a fault")
	}
	if p != nil && p.closed {
		return sidecarapi.Response{}, &inplace.UnreachableError{Place: "at " + pod.Address, Why: "no answer in time", Advice: "Open it."}
	}
	if p != nil && p.later {
		return sidecarapi.Response{}, &inplace.NotUnderstoodError{Place: "at " + pod.Address, Why: "it has the unknown result", Version: "v9", Advice: "Upgrade."}
	}
	if p == nil || p.fails != nil {
		return sidecarapi.Response{}, errors.New("the sidecar does not answer")
	}
	reply := sidecarapi.Response{Result: p.result, Proven: !p.unproven, Assumed: p.assumed, Trigger: p.trigger, Proof: p.proof, Message: "said by " + pod.Name, Files: map[string]string{}, At: time.Now(), Changed: time.Now()}
	if w.took > 0 {
		reply.AttemptAt = reply.Changed.Add(w.took)
	}
	for _, mount := range want.Mounts {
		if !p.seen.IsZero() {
			reply.Mounts = map[string]time.Time{mount: p.seen}
		}
	}
	for file := range want.Files {
		reply.Files[file] = sidecarapi.Digest(source.DigestOf([]byte(p.has)))
	}
	return reply, nil
}

func (w *ward) nudge(_ context.Context, pod observe.Pod, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nudges, w.at = append(w.nudges, pod.Name+" "+text), append(w.at, time.Now())
	p := w.pods[pod.Name]
	if p.takes--; p.takes == 0 && w.brings > 0 {
		time.AfterFunc(w.brings, func() { w.change(func() { p.has = newContent }) })
	} else if p.takes == 0 {
		p.has = newContent
	}
	return nil
}

func (w *ward) state(target string) decide.InPlace {
	return w.reloader.State(workload.View{Key: web}, true, target)
}

// pursue lets the reloader lead and pursue a target for as long as the test lasts, and waits.
func (w *ward) pursue(t *testing.T, target string) {
	t.Helper()
	w.lead(t)
	w.reloader.StartReload(web, target, []source.SourceState{use()}, changes(), time.Now())
	synctest.Wait()
}

func (w *ward) lead(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var leading sync.WaitGroup
	leading.Go(func() { w.reloader.Lead(ctx, func(ctx context.Context) { <-ctx.Done() }) })
	synctest.Wait()
	stop = func() { cancel(); leading.Wait() }
	t.Cleanup(stop)
	return stop
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// states checks what is known of a target.
func (w *ward) states(t *testing.T, target string, want decide.InPlace) {
	t.Helper()
	got := w.state(target)
	if got.Verdict == decide.Confirmed && got.Proven {
		got.Pod = "" // any of them
	}
	if want.Failing == 0 { // most tests are about the verdict alone
		got.Failed, got.Failing, got.Replaced, got.Unavailable, got.Undated = nil, 0, 0, 0, false
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state after %d nudges (-want +got):\n%s", len(w.nudges), diff)
	}
}

func TestEveryPodConfirms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(20)
		w.pods["web-7"].takes = 2 // its kubelet had not heard of the change when it was nudged
		w.pursue(t, "t1")
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		after(10 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		if w.notified != 1 || len(w.nudges) != 21 {
			t.Errorf("%d notifications and %d nudges, want 1 and 21", w.notified, len(w.nudges))
		}
		seen := map[string]bool{}
		for _, nudge := range w.nudges {
			if seen[nudge] || !strings.Contains(nudge, " t1.") {
				t.Errorf("nudge %q: the annotation has to change, and to name the content", nudge)
			}
			seen[nudge] = true
		}
		after(time.Hour)
		if len(w.nudges) != 21 {
			t.Errorf("%d nudges: it goes on after all have confirmed", len(w.nudges))
		}
	})
}

func TestARejectionIsReportedAndItsEndToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(3)
		w.pods["web-1"].result = sidecarapi.Rejected
		w.pursue(t, "t1")
		after(5 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Rejected, Pod: "web-1", Message: "said by web-1"})
		w.change(func() { w.pods["web-1"].result = sidecarapi.Applied }) // another file of it was corrected
		after(31 * time.Second)
		w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		if w.notified != 2 {
			t.Errorf("%d notifications, want 2", w.notified)
		}
	})
}

func TestAFailureHasTimeToMend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mends    time.Duration // 0: never; negative: when it is ready, and does not mend
		result   sidecarapi.Result
		starting bool
		want     decide.InPlace
	}{
		"it mends":         {10 * time.Second, sidecarapi.Died, false, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true}},
		"it does not mend": {0, sidecarapi.Died, false, decide.InPlace{Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "said by web-0"}},
		"its application starts for longer": {
			29 * time.Second, sidecarapi.Failed, true, decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true},
		},
		"its application still starts":                     {0, sidecarapi.Failed, true, decide.InPlace{Sidecar: true}},
		"its application has come up, and its time begins": {-25 * time.Second, sidecarapi.Failed, true, decide.InPlace{Sidecar: true}},
		"its application has come up, and its time is over": {
			-10 * time.Second, sidecarapi.Failed, true, decide.InPlace{Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "said by web-0"},
		},
		"its application has died while it started": {
			0, sidecarapi.Died, true, decide.InPlace{Sidecar: true, Verdict: decide.Failed, Pod: "web-0", Message: "said by web-0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(2)
				w.pods["web-0"].result, w.pods["web-0"].pod.Starting = c.result, c.starting
				w.pursue(t, "t1")
				after(8 * time.Second)
				w.states(t, "t1", decide.InPlace{Sidecar: true})
				if c.mends > 0 {
					after(c.mends - 8*time.Second)
					w.change(func() { w.pods["web-0"].result = sidecarapi.None })
				}
				left := 30 * time.Second
				if c.mends < 0 {
					after(-c.mends - 8*time.Second)
					w.change(func() { w.pods["web-0"].pod.Starting = false })
					left += 8*time.Second + c.mends
				}
				after(left)
				w.states(t, "t1", c.want)
			})
		})
	}
}

func TestAPodThatNeverConfirmsIsOverdue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*patient)
		message string
	}{
		"its sidecar does not answer":  {func(p *patient) { p.fails = errors.New("refused") }, "the sidecar does not answer"},
		"its kubelet brings nothing":   {func(p *patient) { p.takes = 1000 }, "its kubelet has not brought the new content"},
		"its sidecar never gets to it": {func(p *patient) { p.result = sidecarapi.Pending }, "said by web-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(2)
				c.change(w.pods["web-1"])
				w.pursue(t, "t1")
				after(deadline - 10*time.Second)
				w.states(t, "t1", decide.InPlace{Sidecar: true})
				after(20 * time.Second)
				w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Overdue, Pod: "web-1", Message: c.message})
				if n := len(w.nudges); n > 12 {
					t.Errorf("%d nudges in two minutes", n)
				}
			})
		})
	}
}

// Pods are many, and a question may take long. Whoever has been asked once, early in a round that takes longer than a pod may, has
// had no second chance to answer.
func TestASlowRoundLeavesNoPodLateOrFailed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pods   int
		change func(*ward)
		mends  time.Duration // when web-0 takes the content up
	}{
		"the round takes longer than the deadline": {700, func(*ward) {}, 0},
		"the round takes longer than a failure may": {200, func(w *ward) {
			w.pods["web-0"].has, w.pods["web-0"].result = newContent, sidecarapi.Died
		}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(c.pods)
				w.takes = 3 * time.Second
				c.change(w)
				w.pursue(t, "t1")
				after(c.mends)
				w.change(func() { w.pods["web-0"].result = sidecarapi.Applied })
				for range 600 {
					after(time.Second)
					if w.state("t1").Verdict != decide.Unknown {
						break
					}
				}
				w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
			})
		})
	}
}

// A verdict is about what the pods have now. In a long round the first answers are minutes old.
func TestAPodIsAskedAgainBeforeItCounts(t *testing.T) {
	t.Parallel()
	const round = 132 * time.Second // of 700 questions, sixteen at a time
	for name, c := range map[string]struct {
		before, after sidecarapi.Result
		brought       time.Duration // when the kubelets bring the content
		mended        time.Duration // when the result changes
	}{
		"its kubelet brings it after the question":   {sidecarapi.Applied, sidecarapi.Applied, round + 4*time.Second, 0},
		"it confirms after it was late":              {sidecarapi.Late, sidecarapi.Applied, 0, round + 4*time.Second},
		"its application reloads after all":          {sidecarapi.Failed, sidecarapi.Applied, 0, round + 4*time.Second},
		"it was restarted by somebody, as it needed": {sidecarapi.NeedsRestart, sidecarapi.Applied, 0, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWard(700)
				w.takes = 3 * time.Second
				for _, p := range w.pods {
					p.takes, p.result = -1, c.before // nudges bring nothing
				}
				w.lead(t)
				time.AfterFunc(c.brought, func() {
					w.change(func() {
						for _, p := range w.pods {
							p.has = newContent
						}
					})
				})
				time.AfterFunc(c.mended, func() {
					w.change(func() {
						for _, p := range w.pods {
							p.result = c.after
						}
					})
				})
				w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
				for range 900 {
					after(time.Second)
					if w.state("t1").Verdict != decide.Unknown {
						break
					}
				}
				w.states(t, "t1", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
			})
		})
	}
}

func TestNewContentReplacesTheReloadTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(1)
		w.pods["web-0"].result = sidecarapi.Rejected
		w.pursue(t, "t1")
		after(5 * time.Second)
		w.change(func() { w.pods["web-0"].result = sidecarapi.Applied })
		w.states(t, "t2", decide.InPlace{Sidecar: true}) // nothing is known of it
		w.reloader.StartReload(web, "t2", []source.SourceState{use()}, changes(), time.Now())
		w.reloader.StartReload(web, "t2", []source.SourceState{use()}, changes(), time.Now()) // again, which changes nothing
		after(5 * time.Second)
		w.states(t, "t2", decide.InPlace{Sidecar: true, Verdict: decide.Confirmed, Proven: true})
		w.states(t, "t1", decide.InPlace{Sidecar: true})
		w.reloader.CancelReload(web)
		w.states(t, "t2", decide.InPlace{Sidecar: true})
	})
}

func TestNothingGoesOnWithoutLeadership(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(1)
		w.early.Add(web, use().Usages.Ref)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(time.Minute)
		if len(w.nudges) != 0 {
			t.Errorf("a follower nudges: %v", w.nudges)
		}
		w.pods["web-0"].takes = 1000
		stop := w.lead(t)
		w.reloader.StartReload(web, "t1", []source.SourceState{use()}, changes(), time.Now())
		after(10 * time.Second)
		before := len(w.nudges)
		if before == 0 {
			t.Error("a leader does not nudge")
		}
		stop()
		after(time.Hour)
		if len(w.nudges) != before {
			t.Errorf("%d nudges after the end of the term", len(w.nudges)-before)
		}
	})
}

func TestNudgeQueueNudgesPodsThatMountTheSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(3)
		w.pods["web-1"].pod.Mounts = nil
		w.pods["web-2"].pod.Over = true
		w.lead(t)
		w.early.Add(web, use().Usages.Ref)
		synctest.Wait()
		if diff := cmp.Diff([]string{"web-0 early for conf"}, w.nudges); diff != "" {
			t.Errorf("nudges (-want +got):\n%s", diff)
		}
	})
}

// A bundle may be in the pods of the whole cluster: each kubelet brings it within 90 s by itself, and an edit of something else
// does not wait behind ten thousand nudges.
func TestNudgesForWhatIsInNoNamespaceTakeHalfThePaceAndWaitForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWard(1000) // of a pace of 1000 in a second
		roots := source.ClusterTrustBundle.Ref("", "roots")
		for name, p := range w.pods {
			p.pod.Mounts = append(p.pod.Mounts, observe.Mount{Ref: roots, Path: "/etc/tls"})
			if name == "web-7" {
				p.pod.Mounts = append(p.pod.Mounts, observe.Mount{Ref: source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "own"}, Path: "/etc/own"})
			}
		}
		w.lead(t)
		w.early.Add(web, roots)
		synctest.Wait()
		if len(w.nudges) != 500 {
			t.Errorf("%d nudges at once, want half of the pace", len(w.nudges))
		}
		w.nudges = nil
		w.early.Add(web, source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "own"})
		synctest.Wait()
		if diff := cmp.Diff([]string{"web-7 early for own"}, w.nudges); diff != "" {
			t.Errorf("nudges for another source (-want +got):\n%s", diff)
		}
	})
}
