package decide_test

import (
	"testing"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

// At a start and in each sweep every workload is decided on, and nothing has changed. Not parallel: it counts the
// allocations of the whole process.
func TestTheDecisionThatNothingHasChangedIsCheap(t *testing.T) { //nolint:paralleltest // see above
	uses := following(obj.Mount(obj.CM("app")), obj.Env(obj.Sec("db"), "password"))
	in := withBaseline(t, uses, cm("app", "a", "1", "b", "1"), obj.Secret("db", "password", "1")).gather()
	if d := decide.Decide(in); d.Reason != decide.Unchanged || d.Record {
		t.Fatalf("%s, record %t", d.Reason, d.Record)
	}
	// 90, and more with the race detector, which has pools lose a part of what they get. It was 302.
	if n := testing.AllocsPerRun(200, func() { decide.Decide(in) }); n > 180 {
		t.Errorf("%.0f allocations", n)
	} else {
		t.Logf("%.0f allocations", n)
	}
}
