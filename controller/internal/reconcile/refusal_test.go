package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/controller/internal/alert"
	"inpod.dev/inpod/controller/internal/reconcile"
	"inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

// A refusal is reported when it begins, when it ends, and every six hours between, by events and by alerts.
func TestARefusalIsReportedWhenItBeginsAndEnds(t *testing.T) {
	t.Parallel()
	const change, began = "ConfigMap a changed (k)", "Starting the rolling update failed and will be retried: denied by a policy"
	for name, c := range map[string]struct {
		end  func(*fakeCluster)
		want []string // what is reported when it ends
	}{
		"by acceptance": {
			func(w *fakeCluster) { w.set(func() { w.refuse = nil }) },
			[]string{"true Reloaded: Rolling update started: " + change + "; it had been refused for "},
		},
		"by an edit that takes the change back": {
			func(w *fakeCluster) { w.apply(objtest.ConfigMap("a", "k", "0")) },
			[]string{"true RefusalEnded: The rolling update that was refused is not needed any more; it had been refused for "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var alerts []string
				w := newFakeCluster(t, func(o *reconcile.Options) {
					o.Alert = func(m alert.Message) {
						mu.Lock()
						defer mu.Unlock()
						alerts = append(alerts, fmt.Sprintf("%t %s: %s", m.Success, m.Reason, m.Text))
					}
				})
				w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
				w.lead()
				time.Sleep(time.Hour)
				w.set(func() { w.refuse = func(workload.Key) error { return errors.New("denied by a policy") } })
				w.apply(objtest.ConfigMap("a", "k", "1"))
				time.Sleep(23 * time.Hour)
				c.end(w)
				time.Sleep(time.Hour)
				begin := "false ReloadFail: " + began
				want := append([]string{begin, begin, begin, begin}, c.want...)
				mu.Lock()
				defer mu.Unlock()
				if diff := cmp.Diff(want, withoutTimes(alerts)); diff != "" {
					t.Errorf("alerts (-want +got):\n%s", diff)
				}
				var events []string
				for _, event := range w.reported() {
					kind, rest, _ := strings.Cut(strings.Replace(event, " web: ", ": ", 1), " ")
					events = append(events, fmt.Sprintf("%t %s", kind == "Normal", rest))
				}
				if diff := cmp.Diff(want, withoutTimes(events)); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// withoutTimes cuts off how long something was refused.
func withoutTimes(all []string) []string {
	const until = "refused for "
	var cut []string
	for _, one := range all {
		if i := strings.Index(one, until); i >= 0 {
			one = one[:i+len(until)]
		}
		cut = append(cut, one)
	}
	return cut
}

// A baseline that cannot be written is reported in the same way. Nobody is alerted.
func TestABaselineThatIsRefusedIsReportedWhenItBeginsAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFakeCluster(t, func(o *reconcile.Options) { o.Alert = func(m alert.Message) { t.Errorf("an alert: %+v", m) } })
		w.set(func() { w.refuse = func(workload.Key) error { return errors.New("denied by a policy") } })
		w.apply(objtest.ConfigMap("a", "k", "0"), auto("web", "a"))
		w.lead()
		time.Sleep(7 * time.Hour)
		w.set(func() { w.refuse = nil })
		time.Sleep(time.Hour)
		const began = "Warning ReloadFail web: Recording the baseline failed and will be retried: denied by a policy"
		want := []string{began, began, "Normal RefusalEnded web: The baseline was written; it had been refused for "}
		if diff := cmp.Diff(want, withoutTimes(w.reported())); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}
