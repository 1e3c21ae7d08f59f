package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// count is how many events have a reason.
func (w *fakeCluster) count(reason string) int {
	n := 0
	for _, event := range w.reported() {
		if strings.Contains(event, " "+reason+" ") {
			n++
		}
	}
	return n
}

func TestAChangeCostsOneWriteAndNoList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := withBaseline(t, "web")
		w.set(func() { w.rolls = map[string]time.Duration{"web": time.Minute} })
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Hour)
		if got := w.done(); len(got) != 1 || w.lists != 0 || len(w.reported()) != 1 {
			t.Errorf("writes %v, %d lists, events %v", got, w.lists, w.reported())
		}
	})
}

// Whoever puts the template back, and wherever the process was replaced: it is reported, held, and not fought over.
func TestATemplateThatIsPutBackIsHeld(t *testing.T) {
	t.Parallel()
	for name, undo := range map[string]func(w *fakeCluster, before workload.View){
		"an operator": func(*fakeCluster, workload.View) {},
		"kubectl rollout undo": func(w *fakeCluster, before workload.View) {
			w.touch(deployment("web"), func(v *workload.View) {
				v.Annotations, v.RestoredBy = maps.Clone(before.Annotations), "kubectl-rollout"
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
				stop := w.lead()
				time.Sleep(time.Hour)
				before, _ := w.Workload(deployment("web"))
				old := w.started[deployment("web")]
				w.set(func() { w.rolls = map[string]time.Duration{"web": time.Hour} })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(5 * time.Second)
				stop() // the process is replaced in the middle of it
				w.apply(auto("web", "a"))
				undo(w, before.View)
				w.set(func() { w.started[deployment("web")] = old })
				w.restart()
				w.lead()
				time.Sleep(24 * time.Hour)
				if n := len(w.rolled("web")); n != 1 || w.count("RolloutUndone") != 1 {
					t.Errorf("%d rollouts, events %q", n, w.reported())
				}
				w.set(func() {
					if w.lists > 6*24+3 {
						t.Errorf("%d lists, want one in ten minutes", w.lists)
					}
				})
				w.apply(objtest.ConfigMap("a", "k", "2"))
				time.Sleep(time.Minute)
				if n := len(w.rolled("web")); n != 2 {
					t.Errorf("%d rollouts after the next change, want 2", n)
				}
			})
		})
	}
}

// The template begins to use a source, and the source is edited, while no process is there.
func TestWhatIsUsedAndEditedWhileNobodyIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after time.Duration // from the edit of the template to that of the source, and from there to the start of inpod
		first         bool          // inpod has never been there
		want          int
	}{
		"the source after its pods started":        {time.Minute, time.Hour, false, 1},
		"in the same second":                       {0, time.Hour, false, 0},
		"the source first":                         {-time.Minute, time.Hour, false, 0},
		"the source after them, and inpod is new":  {time.Minute, time.Hour, true, 0},
		"the source after them, right before that": {time.Minute, time.Second, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.cut = true
				w.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"), auto("web", "a"))
				if !c.first {
					stop := w.lead()
					time.Sleep(time.Hour)
					stop()
				}
				time.Sleep(time.Hour)
				edit := func() { w.apply(objtest.ConfigMap("b", "k", "1")) }
				if c.before < 0 {
					edit()
				}
				time.Sleep(max(-c.before, 0))
				w.apply(auto("web", "a", "b"))
				w.set(func() { w.started[deployment("web")] = time.Now() })
				time.Sleep(max(c.before, 0))
				if c.before >= 0 {
					edit()
				}
				w.touch(deployment("web"), func(v *workload.View) { v.TemplateChanged = source.Moment{} })
				w.set(func() { w.sources[configMap("b")].Edited = false })
				time.Sleep(c.after)
				for range 2 { // and what was done is not done again
					w.restart()
					stop := w.lead()
					time.Sleep(time.Hour)
					stop()
				}
				if n := len(w.rolled("web")); n != c.want || w.lists > 1 {
					t.Errorf("%d rollouts with %d lists of pods, want %d: %v", n, w.lists, c.want, w.reported())
				}
			})
		})
	}
}

// The process that has rolled it sees the undo. An undo is no tool that puts the baseline back again and again.
func TestAnUndoRightAfterTheRollout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		time.Sleep(time.Hour)
		before, _ := w.Workload(deployment("web"))
		old := w.started[deployment("web")]
		undo := func() {
			w.apply(auto("web", "a"))
			w.touch(deployment("web"), func(v *workload.View) {
				v.Annotations, v.RestoredBy = maps.Clone(before.View.Annotations), "kubectl-rollout"
			})
			w.set(func() { w.started[deployment("web")] = old })
			time.Sleep(5 * time.Minute)
		}
		for i := range 2 {
			w.apply(objtest.ConfigMap("a", "k", strconv.Itoa(i+1)))
			time.Sleep(time.Minute)
			undo()
			now, _ := w.Workload(deployment("web"))
			if n := len(w.rolled("web")); n != i+1 || w.count("RolloutUndone") != i+1 || now.View.RestoredBy != "" {
				t.Errorf("undo %d: %d rollouts, baseline by %q, events %q", i+1, n, now.View.RestoredBy, w.reported())
			}
		}
		undo() // without a rollout in between
		now, _ := w.Workload(deployment("web"))
		if w.count("BaselinePutBack") != 1 || now.View.RestoredBy == "" {
			t.Errorf("it was put back again: baseline by %q, events %q", now.View.RestoredBy, w.reported())
		}
	})
}

// Each time a HorizontalPodAutoscaler adds pods a rollout is under way for a moment.
func TestAnUndoIsReportedOnceHoweverOftenItIsScaled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		time.Sleep(time.Hour)
		old := w.started[deployment("web")]
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		w.apply(auto("web", "a"))
		w.set(func() { w.started[deployment("web")] = old })
		for range 20 {
			time.Sleep(3 * time.Minute)
			w.touch(deployment("web"), func(v *workload.View) { v.Rolling, v.Progress = true, workload.PartlyUpdated })
			time.Sleep(10 * time.Second)
			w.touch(deployment("web"), func(v *workload.View) { v.Rolling, v.Progress = false, workload.Complete })
		}
		if n := w.count("RolloutUndone"); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// Where nobody can say what the pods have, and never will, a change is not held for that.
func TestPodsThatCannotBeListed(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	for name, c := range map[string]struct {
		err    error
		rolled int
	}{
		"no selector":    {fmt.Errorf("web: %w", observe.ErrNoSelector), 1},
		"not allowed":    {fmt.Errorf("listing: %w", forbidden), 1},
		"another reason": {errors.New("away"), 0}, // it is tried again
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFakeCluster(t)
				w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
				stop := w.lead()
				time.Sleep(time.Hour)
				stop()
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(time.Second)
				w.apply(objtest.Deployment("web", objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.EnvFrom(objtest.CM("a")), objtest.Var("V", "2")))
				w.restart(func(o *reconcile.Options) {
					o.Pods = func(context.Context, workload.View) ([]decide.PodStart, error) { return nil, c.err }
				})
				w.touch(deployment("web"), func(v *workload.View) { v.TemplateChanged = source.Moment{} })
				stop = w.lead()
				time.Sleep(time.Hour)
				stop()
				if n := len(w.rolled("web")); n != c.rolled {
					t.Errorf("%d rollouts", n)
				}
				if n := strings.Count(w.log.String(), "pods cannot be listed"); n != 1 {
					t.Errorf("logged %d times", n)
				}
			})
		})
	}
}

// The annotation is in Git, and a tool puts it back every five seconds.
func TestABaselineThatIsPutBackAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		stop := w.lead()
		time.Sleep(time.Hour)
		exported, _ := w.Workload(deployment("web"))
		w.apply(objtest.ConfigMap("a", "k", "1"))
		time.Sleep(time.Minute)
		before := len(w.wrote())
		putBack := func() {
			now, _ := w.Workload(deployment("web"))
			if text := exported.View.Annotations[annotation.Baseline]; now.View.Annotations[annotation.Baseline] != text {
				w.touch(deployment("web"), func(v *workload.View) {
					v.Annotations = with(v.Annotations, annotation.Baseline, text)
					v.RestoredBy, v.OwnHashes = "argocd", []string{"STAKATER_A_CONFIGMAP"}
				})
			}
		}
		for range 12 * 60 * 6 {
			time.Sleep(5 * time.Second)
			putBack()
		}
		const restarts = 3
		for range restarts {
			stop()
			w.restart()
			w.touch(deployment("web"), func(v *workload.View) { v.TemplateChanged = source.Moment{} })
			stop = w.lead()
			time.Sleep(time.Hour)
		}
		// Each process reports it once, as a state: the event is written once.
		if got := w.wrote()[before:]; len(got) > 0 || w.count("BaselinePutBack") != 1+restarts {
			t.Errorf("writes %v, events %q", got, w.reported())
		}
		w.apply(objtest.ConfigMap("a", "k", "2"))
		time.Sleep(time.Minute)
		if n := len(w.rolled("web")); n != 2 {
			t.Errorf("%d rollouts, want another one for the next change", n)
		}
	})
}

// A manifest was exported with the annotation and promoted, and a tool puts that back every five seconds.
func TestABaselineOfAnotherObjectThatIsPutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t)
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.touch(deployment("web"), func(v *workload.View) { v.UID = "web-1" })
		w.lead()
		time.Sleep(time.Hour)
		own, _ := w.Workload(deployment("web"))
		foreign := strings.ReplaceAll(own.View.Annotations[annotation.Baseline], `"web-1"`, `"web-0"`)
		putBack := func(d time.Duration) {
			for range d / (5 * time.Second) {
				w.touch(deployment("web"), func(v *workload.View) {
					v.Annotations, v.RestoredBy = with(v.Annotations, annotation.Baseline, foreign), "argocd"
				})
				time.Sleep(5 * time.Second)
			}
		}
		before := len(w.wrote())
		putBack(6 * time.Hour)
		if got := w.wrote()[before:]; len(got) > 6 || foreign == own.View.Annotations[annotation.Baseline] {
			t.Errorf("%d writes: %v", len(got), got)
		}
		for i := range 3 {
			w.apply(objtest.ConfigMap("a", "k", strconv.Itoa(i+1)))
			putBack(time.Minute)
			if n := len(w.rolled("web")); n != i+1 {
				t.Errorf("%d rollouts after %d changes", n, i+1)
			}
		}
	})
}

// history is a random course of events. Its pods start when their template is written, unless that is put back.
type history struct {
	*fakeCluster

	r        *rand.Rand
	replaces bool // processes are replaced
	stop     func()
	step     int
	uids     int
}

// A history through one process, and the same through processes that are replaced at random points: same actions, same
// number.
func TestRestartsMakeNoDifference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			var actions [2][]string
			for i := range actions {
				synctest.Test(t, func(t *testing.T) { actions[i] = actionsOf(t, seed, i == 1) })
			}
			if diff := cmp.Diff(actions[0], actions[1]); diff != "" {
				t.Errorf("(-one process +several):\n%s", diff)
			}
		})
	}
}

// actionsOf lets a history happen and returns the actions.
func actionsOf(t *testing.T, seed uint64, replaces bool) []string {
	t.Helper()
	h := &history{fakeCluster: newFakeCluster(t), r: rand.New(rand.NewPCG(seed, 7)), replaces: replaces}
	h.apply(objtest.ConfigMap("a", "k", "0"), objtest.ConfigMap("b", "k", "0"))
	h.template("auto")
	h.stop = h.lead()
	time.Sleep(time.Hour)
	for h.step = range 25 {
		h.happens()
	}
	h.stop()
	var actions []string
	for _, one := range h.wrote() {
		if one.rollout {
			actions = append(actions, fmt.Sprint(one.reason))
		}
	}
	for _, reason := range []string{"RolloutUndone", "UndoWithoutContent"} {
		if h.count(reason) > 0 {
			actions = append(actions, reason)
		}
	}
	return actions
}

func (h *history) template(policy string, more ...string) {
	parts := []objtest.Part{objtest.EnvFrom(objtest.CM("a")), objtest.EnvFrom(objtest.CM("b")), objtest.Var("V", strings.Join(more, " "))}
	switch policy {
	case "auto":
		parts = append(parts, objtest.Annotation("reloader.stakater.com/auto", "true"))
	case "list":
		parts = append(parts, objtest.Annotation("configmap.reloader.stakater.com/reload", "a"))
	}
	d := objtest.Deployment("web", parts...)
	if h.uids > 0 {
		d.UID = types.UID("copy-" + strconv.Itoa(h.uids))
	}
	h.apply(d)
}

// happens is one event, and in between a process may be replaced.
func (h *history) happens() {
	key := deployment("web")
	before, _ := h.Workload(key)
	policy := "auto"
	if before.View.Annotations["reloader.stakater.com/auto"] == "" {
		policy = "list"
	}
	old := h.started[key]
	edit := func() {
		h.apply(objtest.ConfigMap([]string{"a", "b"}[h.r.IntN(2)], "k", strconv.Itoa(h.step*10+h.r.IntN(10))))
	}
	switch h.r.IntN(6) {
	case 0, 1:
		edit()
	case 2: // both in one go
		edit()
		h.pause(time.Duration(h.r.IntN(1500)+1) * time.Millisecond)
		h.template(policy, strconv.Itoa(h.step))
	case 3: // an operator puts back its template: the old pods stay, or all of them are new
		edit()
		h.pause(10 * time.Second)
		stays := h.r.IntN(2) == 0
		h.put(stays, old)
	case 4: // another policy
		policy = map[string]string{"auto": "list", "list": "auto"}[policy]
		h.policy(policy)
	case 5: // a copy
		h.uids++
		h.touch(key, func(v *workload.View) { v.UID = types.UID("copy-" + strconv.Itoa(h.uids)) })
	}
	h.pause(20 * time.Minute)
}

// policy edits the annotations and leaves the template alone.
func (h *history) policy(policy string) {
	h.touch(deployment("web"), func(v *workload.View) {
		v.Annotations = with(with(v.Annotations, "reloader.stakater.com/auto", ""), "configmap.reloader.stakater.com/reload", "")
		if policy == "auto" {
			v.Annotations = with(v.Annotations, "reloader.stakater.com/auto", "true")
			return
		}
		v.Annotations = with(v.Annotations, "configmap.reloader.stakater.com/reload", "a")
	})
}

// put puts a template back.
func (h *history) put(stays bool, old time.Time) {
	h.touch(deployment("web"), func(v *workload.View) {
		v.Variables = nil
		v.Template[0]++
		v.TemplateChanged, v.TemplateTime = source.Moment{Version: v.Version, Time: time.Now()}, time.Now()
	})
	h.set(func() {
		h.started[deployment("web")] = time.Now()
		if stays {
			h.started[deployment("web")] = old
		}
	})
}

// pause lets time pass. A process that is replaced has seen nothing of what was before.
func (h *history) pause(d time.Duration) {
	replaced := h.r.IntN(3) == 0
	if replaced && h.replaces {
		h.stop()
		h.set(func() {
			for key, w := range h.workloads {
				w.View.TemplateChanged = source.Moment{}
				h.workloads[key] = w
			}
			for ref, s := range h.sources {
				next := *s
				next.Edited = false
				h.sources[ref] = &next
			}
		})
		h.restart()
		h.stop = h.lead()
	}
	time.Sleep(d)
}

// An edit while a first one settles: a pod that started in between has the first.
func TestAPodThatStartedWhileAnEditSettled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t, func(o *reconcile.Options) { o.Rules.NotifyOnly = true })
		w.set(func() { w.cut = true })
		w.apply(objtest.ConfigMap("a", "k", "good"), auto("web", "a"))
		w.lead()
		time.Sleep(time.Hour)
		w.apply(objtest.ConfigMap("a", "k", "bad"))
		time.Sleep(500 * time.Millisecond)
		w.set(func() { w.started[deployment("web")] = time.Now() })
		time.Sleep(time.Second)
		w.apply(objtest.ConfigMap("a", "k", "worse"))
		time.Sleep(time.Hour)
		w.apply(objtest.ConfigMap("a", "k", "good"))
		time.Sleep(time.Hour)
		if n := w.count(string(decide.NotifyOnly)); n != 2 { // the edit, and that pods may still have it
			t.Errorf("%d events: %q", n, w.reported())
		}
	})
}
