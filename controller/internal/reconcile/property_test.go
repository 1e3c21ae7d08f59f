package reconcile_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// story is a random course of events, with what the pods of each workload have: a pod reads its sources when it starts, which
// is when its template was written.
type story struct {
	*fakeCluster

	r       *rand.Rand
	content map[string]string            // of the ConfigMaps
	uses    map[string][]string          // by workload
	pods    map[string]map[string]string // by workload: the content that they have
	edits   int
	stop    func()
}

// Whatever happens, in the end every pod has the current content, and nothing was rolled without a reason.
func TestEveryStoryEndsWell(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { describeState(t, seed) })
		})
	}
}

func describeState(t *testing.T, seed uint64) {
	t.Helper()
	s := &story{
		fakeCluster: newFakeCluster(t), r: rand.New(rand.NewPCG(seed, 0)), content: map[string]string{}, uses: map[string][]string{},
		pods: map[string]map[string]string{},
	}
	for _, name := range []string{"a", "b", "c"} {
		s.edit(name)
	}
	for i := range 4 {
		name := fmt.Sprintf("web-%d", i)
		s.uses[name] = []string{"a", "b", "c"}[:1+s.r.IntN(3)]
		s.template(name, 0)
	}
	s.onCommit = func(key workload.Key, done written) {
		if !done.rollout {
			return
		}
		before := s.pods[key.Name]
		s.start(key.Name)
		// While a slow write is under way the change that it is for may be taken back.
		if done.took == 0 && !slices.ContainsFunc(s.uses[key.Name], func(cm string) bool { return before[cm] != s.content[cm] }) {
			t.Errorf("%s was rolled, and its pods had everything", key.Name)
		}
	}
	s.stop = s.lead()
	time.Sleep(time.Minute)
	s.edits = 0
	s.set(func() { s.writes = nil })
	for step := range 30 {
		s.step(step)
	}
	s.set(func() { s.refuse, s.takes, s.answers, s.lag = nil, 0, 0, 0 })
	time.Sleep(2 * time.Hour)
	s.set(func() {
		for name, cms := range s.uses {
			for _, cm := range cms {
				if has, is := s.pods[name][cm], s.content[cm]; has != is {
					t.Errorf("the pods of %s have %q of %s, which is %q", name, has, cm, is)
				}
			}
		}
	})
	rollouts := 0
	for name := range s.uses {
		rollouts += len(s.rolled(name))
	}
	if most := s.edits * len(s.uses); rollouts > most {
		t.Errorf("%d rollouts for %d edits", rollouts, s.edits)
	}
	before := len(s.done())
	s.restart()
	time.Sleep(time.Hour)
	if more := s.done()[before:]; len(more) > 0 {
		t.Errorf("writes after everything was done: %v", more)
	}
}

func (s *story) step(n int) {
	name := fmt.Sprintf("web-%d", s.r.IntN(4))
	switch s.r.IntN(8) {
	case 0, 1, 2:
		s.edit([]string{"a", "b", "c"}[s.r.IntN(3)])
	case 3:
		s.template(name, n)
	case 4:
		s.set(func() { s.refuse = only(name, apierrors.NewInternalError(errors.New("away"))) })
	case 5:
		s.set(func() { s.refuse = nil })
	case 6:
		// What could not be written goes with the leader. Where the content then comes back to what it was, nobody can
		// know any more that the pods have something else.
		if s.metric("inpod_baselines_pending") == 0 {
			s.restart()
		}
	case 7:
		random := func() time.Duration { return time.Duration(s.r.IntN(2)*s.r.IntN(3000)) * time.Millisecond }
		s.set(func() { s.takes, s.answers, s.lag = random(), random(), random() })
	}
	time.Sleep(time.Duration(s.r.IntN([]int{500, 8000}[s.r.IntN(2)])) * time.Millisecond)
}

func (s *story) restart() {
	s.stop()
	time.Sleep(3 * time.Second) // what was written last is in the cache before the next one leads
	s.fakeCluster.restart()
	s.stop = s.lead()
}

func (s *story) edit(cm string) {
	s.set(func() { s.content[cm] = strconv.Itoa(s.r.IntN(3)) })
	s.edits++
	s.apply(objtest.ConfigMap(cm, "k", s.content[cm]))
}

// template edits the template of a workload, whose pods start again.
func (s *story) template(name string, n int) {
	s.set(func() { s.start(name) })
	parts := []objtest.Part{objtest.Annotation("reloader.stakater.com/auto", "true"), objtest.Var("N", strconv.Itoa(n))}
	for _, cm := range s.uses[name] {
		parts = append(parts, objtest.EnvFrom(objtest.CM(cm)))
	}
	s.apply(metav1.Object(objtest.Deployment(name, parts...)))
}

// start gives the pods of a workload what is there now; the cluster's mutex is held.
func (s *story) start(name string) { s.pods[name] = maps.Clone(s.content) }
