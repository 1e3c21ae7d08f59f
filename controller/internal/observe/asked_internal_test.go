package observe

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/objtest"
)

func TestWhenARolloutWasAskedFor(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		manager, fields string
		want            time.Time
	}{
		"by inpod":                     {annotation.FieldManager, `{"f:metadata":{},"f:spec":{"f:template":{}}}`, at},
		"by somebody else":             {"kubectl", `{"f:spec":{"f:template":{}}}`, time.Time{}},
		"never: the baseline is there": {annotation.FieldManager, `{"f:metadata":{"f:annotations":{"f:inpod.dev/baseline":{}}}}`, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			object := objtest.Deployment("web")
			object.ManagedFields = []metav1.ManagedFieldsEntry{{
				Manager: c.manager, Time: new(metav1.NewTime(at)), FieldsV1: metav1.NewFieldsV1(c.fields),
			}}
			if got := askedAt(object); !got.Equal(c.want) {
				t.Errorf("asked for at %s, want %s", got, c.want)
			}
		})
	}
}
