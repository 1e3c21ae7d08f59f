package reconcile

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// A pass takes five minutes, whatever it goes over.
func TestSweepPace(t *testing.T) {
	t.Parallel()
	for workloads, want := range map[int]struct {
		pause time.Duration
		share int
	}{
		0:      {sweepEvery, 1},
		1:      {sweepEvery, 1},
		10:     {30 * time.Second, 1},
		299:    {sweepEvery / 299, 1},
		301:    {time.Second, 2},
		10_000: {time.Second, 34},
	} {
		if pause, share := sweepPace(workloads); pause != want.pause || share != want.share {
			t.Errorf("%d workloads: %d every %s, want %d every %s", workloads, share, pause, want.share, want.pause)
		}
	}
}

// large is a cache of many workloads with a ConfigMap and a Secret each.
type large struct {
	workloads map[workload.Key]observe.Workload
	sources   map[source.Ref]*source.Snapshot
}

func (c large) Workload(key workload.Key) (observe.Workload, bool) {
	w, ok := c.workloads[key]
	return w, ok
}

func (c large) Workloads() []workload.Key {
	keys := make([]workload.Key, 0, len(c.workloads))
	for key := range c.workloads {
		keys = append(keys, key)
	}
	return keys
}
func (c large) Source(ref source.Ref) *source.Snapshot   { return c.sources[ref] }
func (c large) Sources(source.Kind, string) []source.Ref { return nil }
func (c large) Unseen(source.Kind) bool                  { return false }
func (c large) StaleFor(observe.Workload) time.Duration  { return 0 }
func (c large) add(b testing.TB, i int, d source.Digester) observe.Workload {
	b.Helper()
	name := fmt.Sprint("app-", i)
	kind, _ := workload.KindOf("Deployment")
	object := objtest.Deployment(name, objtest.Annotation("reloader.stakater.com/auto", "true"),
		objtest.Mount(objtest.CM(name)), objtest.Env(objtest.Sec(name), "password"))
	for _, snapshot := range []source.Snapshot{
		source.OfConfigMap(objtest.ConfigMap(name, "a", "1", "b", "1")), source.OfSecret(objtest.Secret(name, "password", "1")),
	} {
		c.sources[snapshot.Ref] = &snapshot
	}
	w := c.view(b, kind, object)
	in := decide.Input{Workload: w.View, Policy: w.Policy, Digester: d}
	for _, scope := range decide.Wanted(w.View, w.Policy, in.Baseline, func(source.Kind) []source.Ref { return nil }) {
		in.Uses = append(in.Uses, source.SourceState{Usages: scope, Snapshot: c.sources[scope.Ref]})
	}
	text, err := d.Encode(decide.Decide(in).Baseline)
	if err != nil {
		b.Fatal(err)
	}
	object.Annotations[annotation.Baseline] = text
	w = c.view(b, kind, object)
	c.workloads[w.View.Key] = w
	return w
}

func (c large) view(b testing.TB, kind workload.Kind, object *appsv1.Deployment) observe.Workload {
	b.Helper()
	view, err := kind.View(object, annotation.DefaultKeys().OnWorkload)
	if err != nil {
		b.Fatal(err)
	}
	view.Progress = workload.Complete
	w := observe.Workload{View: view}
	w.Policy, w.Problems = annotation.Read(annotation.DefaultKeys(), view.Annotations, view.TemplateAnnotations)
	return w
}

// atRest is a loop that has decided so many workloads.
func atRest(b testing.TB, workloads int) *Loop {
	b.Helper()
	digester, err := source.NewDigester(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	cache := large{map[workload.Key]observe.Workload{}, map[source.Ref]*source.Snapshot{}}
	l := New(Options{
		Cache: cache, Digester: digester, Decide: decide.Decide, Queue: NewQueue(QueueOptions{}), Workers: 1,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	l.states = map[workload.Key]*state{}
	l.queue.start()
	b.Cleanup(l.queue.stop)
	for i := range workloads {
		w := cache.add(b, i, digester)
		s := l.begin(w.View.Key, w)
		in, _ := l.gather(w, s)
		s.inputs, s.outcome = inputsOf(w.View, in.Uses), outcomeOf(decide.Decide(in))
	}
	return l
}

// BenchmarkSweep is one pass over 10,000 workloads at rest.
func BenchmarkSweep(b *testing.B) {
	l := atRest(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		suspects := map[workload.Key]suspicion{}
		for _, key := range l.known() {
			l.sweepOne(key, suspects, time.Now())
		}
		if len(suspects) > 0 {
			b.Fatalf("%d suspects", len(suspects))
		}
	}
}

func TestWhatWasLost(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		prepare func(*Loop, workload.Key)
		want    lostWakeUp
	}{
		"nothing":            {func(*Loop, workload.Key) {}, ""},
		"it is queued":       {func(l *Loop, key workload.Key) { l.queue.Enqueue(key, observe.SourceChanged); l.states[key].inputs++ }, ""},
		"it is retried":      {func(l *Loop, key workload.Key) { l.queue.retry(key) }, ""},
		"a worker has it":    {func(l *Loop, key workload.Key) { l.states[key].working.Lock(); l.states[key].inputs++ }, ""},
		"a change":           {func(l *Loop, key workload.Key) { l.states[key].inputs++ }, lostChange},
		"while it waits":     {func(l *Loop, key workload.Key) { l.queue.again(key, time.Hour); l.states[key].inputs++ }, lostChange},
		"it settles":         {func(l *Loop, key workload.Key) { l.queue.again(key, time.Hour); l.states[key].inputs = 0 }, ""},
		"recreated":          {func(l *Loop, key workload.Key) { l.states[key].uid = "another" }, lostChange},
		"never seen":         {func(l *Loop, key workload.Key) { delete(l.states, key) }, lostChange},
		"a timer":            {func(l *Loop, key workload.Key) { l.queue.due[key] = now.Add(-sweepOverdue - time.Second) }, lostWait},
		"a timer is late":    {func(l *Loop, key workload.Key) { l.queue.due[key] = now.Add(-sweepOverdue / 2) }, ""},
		"a write slot":       {func(l *Loop, key workload.Key) { l.writes.granted[key] = false }, lostSlot},
		"a write":            {func(l *Loop, key workload.Key) { l.writes.granted[key] = true }, ""},
		"a rollout slot":     {func(l *Loop, key workload.Key) { l.limiter.held[key] = &slot{} }, lostSlot},
		"a rate of rollouts": {func(l *Loop, key workload.Key) { l.limiter.held[key] = &slot{}; l.queue.again(key, time.Hour) }, ""},
		"a rollout":          {func(l *Loop, key workload.Key) { l.limiter.held[key] = &slot{started: now} }, ""},
		"waits for a write":  {func(l *Loop, key workload.Key) { l.writes.queued[key] = struct{}{}; l.states[key].inputs++ }, ""},
		"waits to roll": {func(l *Loop, key workload.Key) {
			l.limiter.queue = append(l.limiter.queue, key)
			l.states[key].inputs++
		}, ""},
		"a baseline that goes": {func(l *Loop, key workload.Key) {
			delete(l.options.Cache.(large).workloads[key].View.Annotations, annotation.Baseline)
		}, lostChange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := atRest(t, 1)
			key := l.known()[0]
			c.prepare(l, key)
			if lost, _ := l.lost(key, now); lost != c.want {
				t.Errorf("lost %q, want %q", lost, c.want)
			}
		})
	}
}

// A workload may be deleted and made again while the sweep compares it. The race detector watches.
func TestTheSweepComparesWhatIsReplaced(t *testing.T) {
	t.Parallel()
	digester, err := source.NewDigester(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	cache := large{map[workload.Key]observe.Workload{}, map[source.Ref]*source.Snapshot{}}
	w := cache.add(t, 0, digester)
	l := New(Options{
		Cache: cache, Queue: NewQueue(QueueOptions{}), Workers: 1, Decide: decide.Decide, Digester: digester,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	l.states = map[workload.Key]*state{}
	l.begin(w.View.Key, w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			free := l.exclusive(w.View.Key)
			again := w
			again.View.UID = types.UID(strconv.Itoa(i))
			l.begin(w.View.Key, again)
			free()
		}
	}()
	for range 1000 {
		l.lost(w.View.Key, time.Now())
	}
	<-done
}
