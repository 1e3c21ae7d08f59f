package reconcile

import (
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"testing"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// A map keeps the memory of the most that it ever had.
func TestAnEmptyQueueKeepsNoMemory(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueOptions{})
	q.start()
	defer q.stop()
	keys := []workload.Key{{Name: "a"}, {Name: "b"}}
	for _, key := range keys {
		q.Enqueue(key, observe.WorkloadChanged)
	}
	maps := func() []uintptr {
		return []uintptr{reflect.ValueOf(q.queued).Pointer(), reflect.ValueOf(q.edited).Pointer()}
	}
	before := maps()
	for i, key := range keys {
		q.taken(key)
		q.wasEdited(key)
		for n, now := range maps() {
			if last := i == len(keys)-1; (now != before[n]) != last {
				t.Errorf("map %d is another one: %t, after %d of %d workloads", n, now != before[n], i+1, len(keys))
			}
		}
	}
}

// What a leader remembers of each workload, with a baseline that it has written. Not parallel: it measures the memory.
func TestLittleIsRememberedOfAWorkload(t *testing.T) { //nolint:paralleltest // see above
	const many = 2000
	digester, err := source.NewDigester(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	l := &Loop{options: Options{Digester: digester}, states: map[workload.Key]*state{}}
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	for i := range many {
		key := workload.Key{Kind: "Deployment", Namespace: "shop", Name: fmt.Sprint("web-", i)}
		ref := source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "app"}
		l.state(key).lastWritten = l.stored(source.Baseline{UID: strconv.Itoa(i), Records: map[source.Ref]source.Record{
			ref: {All: true, Keys: map[string]source.KeyedDigest{"a": "OIEDHfzqy55M"}},
		}})
	}
	each := (heap() - before) / many
	if each > 1000 {
		t.Errorf("%d bytes are remembered of each workload", each)
	}
	t.Logf("%d bytes are remembered of each workload", each)
	runtime.KeepAlive(l)
}
