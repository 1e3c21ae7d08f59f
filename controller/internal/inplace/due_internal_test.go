package inplace

import (
	"testing"
	"time"

	"inpod.dev/inpod/internal/sidecarapi"
)

// The clock of a node may be set back between the change of a file and a question, and a sidecar may say anything.
func TestAnApplicationIsNotExpectedToTakeLongerThanOthersDo(t *testing.T) {
	t.Parallel()
	r := &Reloader{}
	now := time.Now()
	r.expectDone(sidecarapi.Response{Result: sidecarapi.Applied, Changed: now, AttemptAt: now.Add(time.Second)}, true, now)
	for name, changed := range map[string]time.Time{"just now": now, "in an hour": now.Add(time.Hour)} {
		at := r.expectDone(sidecarapi.Response{Result: sidecarapi.Pending, At: now, Changed: changed}, true, now)
		if in := at.Sub(now); in != time.Second+reloadSlack {
			t.Errorf("changed %s: expected in %s, want what others take", name, in)
		}
	}
}
