package inplace

import (
	"k8s.io/client-go/util/workqueue"

	"inpod.dev/inpod/controller/internal/termqueue"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// NudgeQueue holds the workloads whose pods are to be nudged for a source that has just changed, each pair once. It exists before
// the observer and the [Reloader], and drops everything while another replica leads.
type NudgeQueue struct {
	changes termqueue.Queue[changedSource]
}

// changedSource is a source that has changed, and a workload that uses or names it.
type changedSource struct {
	key workload.Key
	ref source.Ref
}

// NewNudgeQueue returns a queue that drops everything until a [Reloader] with it leads.
func NewNudgeQueue() *NudgeQueue { return &NudgeQueue{} }

// Add has the pods of a workload nudged that mount a source. It never blocks.
func (q *NudgeQueue) Add(key workload.Key, ref source.Ref) { q.changes.Add(changedSource{key, ref}) }

// nudgeEarly has the pods of one changed source after another nudged, until the queue is shut down.
func (r *Reloader) nudgeEarly(items workqueue.TypedInterface[changedSource]) {
	for {
		item, shutdown := items.Get()
		if shutdown {
			return
		}
		if text, follows := r.options.NudgeText(item.key, item.ref); follows {
			r.hurry(item.key, item.ref, text)
		}
		items.Done(item) // from then on the same pair may be taken again
	}
}
