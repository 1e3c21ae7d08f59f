package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
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
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// evictStory is a workload some of whose pods cannot reload. Its controller is replaced at random points. Reloader
// and loop are the real ones.
type evictStory struct {
	*fakeCluster

	reloader *inplace.Reloader
	stop     func()
	says     string // on-failure
	most     int    // how many pods may be unavailable

	mu      sync.Mutex
	pods    map[string]*storyPod
	bad     map[string]bool // the places whose pods fail, by number
	again   map[string]bool // and those whose next pods fail as well
	refused bool            // the budget allows no eviction
	content string
	edited  time.Time
	evicted []string
	rolls   int
}

// storyPod is a pod in one of the places of the workload.
type storyPod struct {
	observe.Pod

	place string
	fails bool
}

func (s *evictStory) admit(place string, fails, ready bool) *storyPod {
	generation := 0
	for name := range s.pods {
		if strings.HasPrefix(name, "web-"+place+"-") {
			generation++
		}
	}
	name := fmt.Sprintf("web-%s-%d", place, generation)
	p := &storyPod{place: place, fails: fails, Pod: observe.Pod{
		Namespace: objtest.Namespace, Name: name, UID: types.UID("uid-" + name), Workload: deployment("web"), Address: "10.0.0.1",
		Running: ready, Ready: ready, Created: time.Now().Truncate(time.Second),
		Mounts: []observe.Mount{{Ref: configMap("a"), Path: "/etc/a"}},
	}}
	s.pods[name] = p
	return p
}

// Pods implements [inplace.Cache], as does Workload.
func (s *evictStory) Pods(workload.Key) []observe.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pods []observe.Pod
	for _, p := range s.pods {
		if p.place != "" {
			pods = append(pods, p.Pod)
		}
	}
	return pods
}

func (s *evictStory) Workload(key workload.Key) (observe.Workload, bool) {
	w, ok := s.fakeCluster.Workload(key)
	w.View.Pods = places
	return w, ok
}

// places is how many pods the workload has.
const places = 8

func (s *evictStory) ask(_ context.Context, pod observe.Pod, want inplace.Question) (sidecarapi.Response, error) {
	time.Sleep(50 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := sidecarapi.Response{Result: sidecarapi.Applied, Proven: true, Files: map[string]string{}, At: time.Now(), Changed: time.Now()}
	if p := s.pods[pod.Name]; p.fails {
		reply.Result, reply.Message = sidecarapi.Died, "it died"
	}
	for file := range want.Files {
		reply.Files[file] = sidecarapi.Digest(source.DigestOf([]byte(s.content)))
	}
	return reply, nil
}

// Evict implements [reconcile.Evictor]: the pod ends, and another one takes its place.
func (s *evictStory) Evict(_ context.Context, _ workload.View, pod decide.FailedPod) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused {
		return apierrors.NewTooManyRequests("it would violate the budget", 0)
	}
	p := s.pods[pod.Name]
	if p.Over {
		return nil
	}
	if p.Created.After(s.edited.Truncate(time.Second)) {
		s.t.Errorf("%s was evicted, and is younger than the content", pod.Name)
	}
	s.evicted = append(s.evicted, pod.Name)
	p.Over, p.Ready = true, false
	next := s.admit(p.place, s.again[p.place], false)
	unavailable := 0
	for _, other := range s.pods {
		if !other.Over && !other.Ready {
			unavailable++
		}
	}
	if unavailable > max(1, s.most) {
		s.t.Errorf("%d pods are unavailable when %s is evicted, and %d may be", unavailable, pod.Name, s.most)
	}
	time.AfterFunc(time.Duration(3+len(s.evicted)%7)*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		next.Running, next.Ready = true, true
	})
	time.AfterFunc(time.Duration(len(s.evicted)%5)*10*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		p.place = "" // it is gone
	})
	return nil
}

// begin has a new process lead.
func (s *evictStory) begin() {
	nudges := inplace.NewNudgeQueue()
	s.reloader = inplace.New(inplace.Options{
		Cache: s, Ask: s.ask, Nudge: func(context.Context, observe.Pod, string) error { return nil }, Nudges: nudges,
		NudgeText: func(workload.Key, source.Ref) (string, bool) { return "", false },
		Enqueue:   func(key workload.Key) { s.wake(key, observe.WorkloadChanged) },
		Deadline:  2 * time.Minute, NudgeRate: 1000, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	s.restart(func(o *reconcile.Options) { o.Writer, o.InPlace, o.Rules.Evict = s, s.reloader, true })
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	reloader, loop := s.reloader, s.loop
	running.Go(func() { reloader.Lead(ctx, loop.Run) })
	s.stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	s.t.Cleanup(s.stop)
}

func (s *evictStory) edit(content string) {
	s.mu.Lock()
	s.content, s.edited = content, time.Now()
	s.mu.Unlock()
	s.apply(objtest.ConfigMap("a", "k", content))
}

// runEvictStory runs a story, and returns which places were evicted, in order of their names, and how often the workload was rolled.
func runEvictStory(t *testing.T, seed uint64, replaced bool) (evicted []string, rolls int) {
	t.Helper()
	plan, chance := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	s := &evictStory{
		fakeCluster: newFakeCluster(t), pods: map[string]*storyPod{}, bad: map[string]bool{}, again: map[string]bool{},
		says: []string{"", "evict"}[plan.IntN(2)], most: plan.IntN(4), content: "0",
	}
	failsAgain := plan.IntN(3) == 0
	for i := range places {
		place := strconv.Itoa(i)
		s.bad[place] = plan.IntN(4) == 0
		s.again[place] = failsAgain && plan.IntN(2) == 0
		s.admit(place, false, true)
	}
	d, _ := live(map[string]string{}).(*appsv1.Deployment)
	if s.says != "" {
		d.Annotations["inpod.dev/on-failure"] = s.says
	}
	d.Spec.Replicas = new(int32(places))
	d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt(s.most))}
	s.apply(objtest.ConfigMap("a", "k", "0"), d)
	s.onCommit = func(_ workload.Key, done written) {
		if !done.rollout {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rolls++
		for _, p := range slices.Collect(maps.Values(s.pods)) {
			if p.place != "" && !p.Over {
				s.admit(p.place, false, true)
			}
			p.place = ""
		}
	}
	s.begin()
	time.Sleep(time.Minute)
	s.mu.Lock()
	for _, p := range s.pods {
		p.fails = s.bad[p.place]
	}
	s.mu.Unlock()
	s.edit("1")
	refusedFor := time.Duration(plan.IntN(2)*plan.IntN(300)) * time.Second
	s.mu.Lock()
	s.refused = refusedFor > 0
	s.mu.Unlock()
	time.AfterFunc(refusedFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = false
	})
	for range 12 {
		time.Sleep(time.Duration(chance.IntN(60)*1000+chance.IntN(1000)) * time.Millisecond)
		if replaced {
			s.stop()
			s.begin()
		}
	}
	time.Sleep(3 * time.Hour)
	s.mu.Lock()
	defer s.mu.Unlock()
	held := false
	for _, p := range s.pods {
		held = held || p.place != "" && p.fails && s.again[p.place] && p.Created.After(s.edited)
	}
	for _, p := range s.pods {
		if p.place != "" && p.fails && !held {
			t.Errorf("%s was left as it is (on-failure %q, %d may be unavailable, bad %v)", p.Name, s.says, s.most, s.bad)
		}
	}
	if said := strings.Join(s.reported(), "\n"); held != strings.Contains(said, "is younger than the change and failed as well") {
		t.Errorf("held %t, and reported:\n%s", held, said)
	}
	if len(s.evicted) != len(slices.Compact(slices.Sorted(slices.Values(s.evicted)))) {
		t.Errorf("evicted %v: one of them twice", s.evicted)
	}
	if failsAgain { // how many are evicted before one of them fails again depends on who is ready first
		return nil, 0
	}
	return slices.Sorted(slices.Values(s.evicted)), s.rolls
}

// Whoever leads and for how long: the same pods are evicted, none of them again, and no more at a time than may be
// unavailable.
func TestAnotherControllerEvictsTheSamePods(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			var one, many []string
			var oneRolled, manyRolled int
			synctest.Test(t, func(t *testing.T) { one, oneRolled = runEvictStory(t, seed, false) })
			synctest.Test(t, func(t *testing.T) { many, manyRolled = runEvictStory(t, seed, true) })
			if diff := cmp.Diff(one, many); diff != "" || oneRolled != manyRolled {
				t.Errorf("one process rolled %d times, and several %d times; evicted (-one +several):\n%s", oneRolled, manyRolled, diff)
			}
		})
	}
}
