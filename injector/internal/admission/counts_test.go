package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

func TestWhatIsCounted(t *testing.T) {
	t.Parallel()
	w := newWebhook()
	w.send(t, admission.PathPods, request(asks))
	w.send(t, admission.PathPods, request(asks))
	w.send(t, admission.PathPods, request(silent()))
	if diff := cmp.Diff(map[string]float64{"inpod native": 2}, w.counters(t, "inpod_injections_total")); diff != "" {
		t.Errorf("injections (-want +got):\n%s", diff)
	}
	// From zero on, so that the first skip of a kind is seen as an increase.
	want := map[string]float64{}
	for _, reason := range inject.Reasons() {
		want[string(reason)] = 0
	}
	delete(want, string(inject.Injected))
	want[string(inject.NotRequested)] = 1
	if diff := cmp.Diff(want, w.counters(t, "inpod_injection_skips_total")); diff != "" {
		t.Errorf("skips (-want +got):\n%s", diff)
	}
}

// counters are those of one name, by the values of their labels.
func (w *webhook) counters(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			found[strings.Join(labels, " ")] = metric.GetCounter().GetValue()
		}
	}
	return found
}
