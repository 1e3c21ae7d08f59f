package notice_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/notice"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
	"inpod.dev/inpod/internal/workload"
)

// cluster is what is known, and what was written.
type cluster struct {
	mu        sync.Mutex
	workloads map[workload.Key]types.UID
	pods      map[observe.Subject][]observe.Skipped
	carriers  []observe.Pod
	refused   time.Time
	injected  bool
	events    []string
	matters   []string // of the events
}

func (c *cluster) Pods(workload.Key) []observe.Pod { return c.carriers }

func (c *cluster) Workload(key workload.Key) (observe.Workload, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid, ok := c.workloads[key]
	return observe.Workload{View: workload.View{Key: key, UID: uid, Refused: c.refused}, Policy: annotation.Policy{Injected: c.injected}}, ok
}

func (c *cluster) SkippedPods(subject observe.Subject) []observe.Skipped {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.pods[subject])
}

func (c *cluster) SkippedSubjects() []observe.Subject {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []observe.Subject
	for subject := range c.pods {
		all = append(all, subject)
	}
	return all
}

func (c *cluster) event(about *corev1.ObjectReference, kind, reason, matter, message string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.matters = append(c.matters, matter)
	c.events = append(c.events, strings.Join([]string{about.Kind, about.Namespace, about.Name, string(about.UID), kind, reason, message}, "|"))
}

// heard returns what was written since the last call, once nobody is at work.
func (c *cluster) heard() []string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	events := c.events
	c.events = nil
	return events
}

func key(namespace, name string) workload.Key {
	return workload.Key{Kind: "Deployment", Namespace: namespace, Name: name}
}

// add has a pod appear.
func (c *cluster) add(subject observe.Subject, skip injection.Skip, changes ...func(*observe.Skipped)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.pods[subject])
	pod := observe.Skipped{Namespace: "shop", Name: fmt.Sprintf("web-%d", n), UID: types.UID(fmt.Sprintf("pod-%d", n)), Owner: "owner", Skip: skip}
	for _, change := range changes {
		change(&pod)
	}
	if c.pods == nil {
		c.pods = map[observe.Subject][]observe.Skipped{}
	}
	c.pods[subject] = append(c.pods[subject], pod)
}

// lead runs a reporter until the test ends.
func lead(t *testing.T, c *cluster) *notice.Queue {
	t.Helper()
	queue := notice.NewQueue()
	r := notice.New(notice.Options{Cluster: c, Queue: queue, Kinds: workload.Kinds(), Event: c.event, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
	return queue
}

func TestWhatPodsWithoutSidecarReport(t *testing.T) {
	t.Parallel()
	web := observe.Subject{Workload: key("shop", "web")}
	alone := observe.Subject{Workload: workload.Key{Namespace: "shop"}, Owner: "owner"}
	noTrigger, frozen := injection.Skip{Reason: injection.NoTrigger}, injection.Skip{Reason: injection.OnlyFrozenUsages}
	direct := func(p *observe.Skipped) { p.IsDirect = true }
	const (
		aboutWeb = "Deployment|shop|web|uid|Warning|InjectionSkipped|NoTrigger: no annotation says how"
		frozenOf = "Deployment|shop|web|uid|Normal|InjectionSkipped|OnlyFrozenUsages: "
	)
	for name, tc := range map[string]struct {
		pods func(*cluster)
		want []string // how each event begins
	}{
		"a mistake is a warning on the workload, with its UID": {func(c *cluster) { c.add(web, noTrigger) }, []string{aboutWeb}},
		"what is as it should be is none":                      {func(c *cluster) { c.add(web, frozen) }, []string{frozenOf}},
		"a thousand pods of a workload are one event": {func(c *cluster) {
			for range 1000 {
				c.add(web, noTrigger)
			}
		}, []string{aboutWeb}},
		"each reason is one event": {func(c *cluster) {
			for range 3 {
				c.add(web, noTrigger)
				c.add(web, frozen)
			}
		}, []string{aboutWeb, frozenOf}},
		"the newest pod names the keys": {func(c *cluster) {
			c.add(web, injection.Skip{Reason: injection.InvalidAnnotation, Keys: "inpod.dev/settle"})
			c.add(web, injection.Skip{Reason: injection.InvalidAnnotation, Keys: "inpod.dev/preset"})
		}, []string{"Deployment|shop|web|uid|Warning|InjectionSkipped|InvalidAnnotation: an annotation of the pod or of its namespace is invalid; check inpod.dev/preset. "}},
		"a thousand pods of an unknown owner are one event on one of them": {func(c *cluster) {
			for range 1000 {
				c.add(alone, noTrigger)
			}
		}, []string{"Pod|shop|web-0|pod-0|Warning|InjectionSkipped|NoTrigger: "}},
		"a workload that is not there gets none":                   {func(c *cluster) { c.add(observe.Subject{Workload: key("shop", "other")}, noTrigger) }, nil},
		"a pod of a workload of the same name before it gets none": {func(c *cluster) { c.add(web, noTrigger, direct) }, nil},
		"a pod of the workload itself": {func(c *cluster) {
			c.add(web, noTrigger, direct, func(p *observe.Skipped) { p.Owner = "uid" })
		}, []string{aboutWeb}},
	} {
		for when, late := range map[string]bool{"at the start of a leader": false, "while it leads": true} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := &cluster{workloads: map[workload.Key]types.UID{web.Workload: "uid"}}
					if !late {
						tc.pods(c)
					}
					queue := lead(t, c)
					if late {
						tc.pods(c)
						for _, subject := range c.SkippedSubjects() {
							queue.Add(subject)
						}
					}
					events := c.heard()
					for _, subject := range c.SkippedSubjects() { // repeats are harmless
						queue.Add(subject)
					}
					time.Sleep(time.Hour)
					events = append(events, c.heard()...)
					if len(events) != len(tc.want) {
						t.Fatalf("events %q, want %q", events, tc.want)
					}
					for i, event := range events {
						if !strings.HasPrefix(event, tc.want[i]) || !strings.Contains(event, "of pod web-") {
							t.Errorf("event %q, want %q", event, tc.want[i])
						}
					}
				})
			})
		}
	}
}

// A key on the template that is none of inpod's is reported as that, and what comes of it with it.
func TestAnUnknownKeyIsOneEvent(t *testing.T) {
	t.Parallel()
	unknown := annotation.Problem{Key: "inpod.dev/setle", OnTemplate: true, Unknown: true}
	for name, tc := range map[string]struct {
		problems []annotation.Problem
		skip     injection.Skip
		want     int
	}{
		"it is on the template":        {[]annotation.Problem{unknown}, injection.Skip{Reason: injection.InvalidAnnotation, HasUnknownKey: true}, 0},
		"it is on the pods alone":      {nil, injection.Skip{Reason: injection.InvalidAnnotation, HasUnknownKey: true}, 1},
		"it is on the workload itself": {[]annotation.Problem{{Key: "inpod.dev/setle", Unknown: true}}, injection.Skip{Reason: injection.InvalidAnnotation, HasUnknownKey: true}, 1},
		"another one has a bad value":  {[]annotation.Problem{unknown}, injection.Skip{Reason: injection.InvalidAnnotation, HasUnknownKey: true, Keys: "inpod.dev/preset"}, 1},
		"there is another reason":      {[]annotation.Problem{unknown}, injection.Skip{Reason: injection.NoTrigger}, 1},
	} {
		facts := notice.Facts{
			Workload: &observe.Workload{View: workload.View{Key: key("shop", "web"), UID: "uid"}, Problems: tc.problems},
			Skipped:  []observe.Skipped{{Namespace: "shop", Name: "web-1", Owner: "owner", Skip: tc.skip}},
		}
		if got := notice.About(facts); len(got) != tc.want {
			t.Errorf("%s: %v, want %d", name, got, tc.want)
		}
	}
}

func TestANoticeIsWrittenAgainWhenItIsTrueAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := observe.Subject{Workload: key("shop", "web")}
		c := &cluster{workloads: map[workload.Key]types.UID{web.Workload: "uid"}}
		queue := lead(t, c)
		steps := []struct {
			name string
			do   func()
			want int
		}{
			{"a pod", func() { c.add(web, injection.Skip{Reason: injection.NoTrigger}) }, 1},
			{"another one", func() { c.add(web, injection.Skip{Reason: injection.NoTrigger}) }, 0},
			{"all are gone", func() { delete(c.pods, web) }, 0},
			{"they are back", func() { c.add(web, injection.Skip{Reason: injection.NoTrigger}) }, 1},
			{"the workload is recreated", func() { c.workloads[web.Workload] = "other" }, 1},
		}
		for _, step := range steps {
			step.do()
			queue.Add(web)
			if got := c.heard(); len(got) != step.want {
				t.Errorf("%s: %q, want %d events", step.name, got, step.want)
			}
		}
	})
}

// Whoever may make pods in a namespace can have events written there, and neither many nor at the cost of other namespaces.
func TestANamespaceHasAShareOfEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{workloads: map[workload.Key]types.UID{}}
		const workloads = 100
		for i := range workloads {
			for _, namespace := range []string{"loud", "shop"} {
				if namespace == "shop" && i > 0 {
					continue
				}
				subject := observe.Subject{Workload: key(namespace, fmt.Sprint("web-", i))}
				c.workloads[subject.Workload] = types.UID(subject.Workload.String())
				c.add(subject, injection.Skip{Reason: injection.NoTrigger})
			}
		}
		lead(t, c)
		count := func() map[string]int {
			counts := map[string]int{}
			for _, event := range c.heard() {
				counts[strings.Split(event, "|")[1]]++
			}
			return counts
		}
		if diff := cmp.Diff(map[string]int{"loud": 20, "shop": 1}, count()); diff != "" {
			t.Errorf("at once (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		inAMinute := count()["loud"]
		if inAMinute < 5 || inAMinute > 7 {
			t.Errorf("in the next minute: %d", inAMinute)
		}
		time.Sleep(time.Hour)
		if diff := cmp.Diff(workloads, 20+inAMinute+count()["loud"]); diff != "" {
			t.Errorf("in the end (-want +got): %s", diff)
		}
	})
}

// The injector makes pods without the sidecar a few seconds after they are refused, so that what is over by then is not said.
func TestARefusalIsSaidOnceItLasts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lasts time.Duration
		want  int
	}{
		"it lasts":            {time.Hour, 1},
		"it is over at once":  {5 * time.Second, 0},
		"it has always been":  {0, 0},
		"it lasts for a half": {40 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				web := observe.Subject{Workload: key("shop", "web")}
				c := &cluster{workloads: map[workload.Key]types.UID{web.Workload: "uid"}, injected: true}
				queue := lead(t, c)
				c.set(time.Now())
				if tc.lasts == 0 {
					c.set(time.Time{})
				}
				queue.Add(web)
				time.Sleep(tc.lasts)
				c.set(time.Time{})
				queue.Add(web)
				time.Sleep(time.Minute)
				if got := c.heard(); len(got) != tc.want || tc.want > 0 && !strings.Contains(got[0], "Deployment|shop|web|uid|Warning|PodsRefused|") {
					t.Errorf("%q, want %d events", got, tc.want)
				}
			})
		})
	}
}

func (c *cluster) set(refused time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = refused
}

// A container that crashes runs between two crashes, and a new leader sees it for the first time.
func TestACrashIsOneNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		web := observe.Subject{Workload: key("shop", "web")}
		c := &cluster{workloads: map[workload.Key]types.UID{web.Workload: "uid"}, injected: true}
		queue := lead(t, c)
		said := func(what string, want int, pods ...observe.Pod) {
			t.Helper()
			c.carriers = pods
			queue.Add(web)
			time.Sleep(time.Minute)
			if got := c.heard(); len(got) != want {
				t.Errorf("%s: %q, want %d events", what, got, want)
			}
		}
		pod := func(name string, ends int32, started time.Time) observe.Pod {
			return observe.Pod{Name: name, Container: "web", Started: started, Crash: observe.Crash{Ends: ends, Shared: ends > 0}}
		}
		said("it crashes", 1, pod("web-1", 3, time.Time{}))
		said("it runs again", 0, pod("web-1", 3, time.Now()))
		said("it crashes again", 0, pod("web-1", 4, time.Time{}))
		said("another pod starts", 0, pod("web-1", 4, time.Time{}), pod("web-2", 0, time.Now()))
		said("it crashes as well", 0, pod("web-1", 4, time.Time{}), pod("web-2", 9, time.Time{}))
		said("it stays up", 0, pod("web-1", 4, time.Now().Add(-time.Hour)), pod("web-2", 9, time.Time{}))
		said("it crashes again", 1, pod("web-3", 3, time.Time{}))
		if diff := cmp.Diff([]string{c.matters[0], c.matters[0]}, c.matters); diff != "" {
			t.Errorf("it is another matter (-want +got):\n%s", diff)
		}
	})
}
