package observe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
)

func saying(pairs ...string) *corev1.Namespace {
	namespace := namespaceOf(obj.Namespace, nil)
	namespace.Annotations = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		namespace.Annotations[pairs[i]] = pairs[i+1]
	}
	return namespace
}

func withDefaults(o *Options) { o.NamespaceDefaults = true }

// pacing is when a workload may be rolled, as text.
func (l *lab) pacing(name string) string {
	l.t.Helper()
	synctest.Wait()
	w, ok := l.Workload(deployment(name))
	if !ok {
		l.t.Fatalf("no %s", name)
	}
	p := w.Policy.Pacing
	var said []string
	if p.Windows != nil {
		saturday := time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)
		said = append(said, "opens "+p.Windows.Next(saturday).Format("Mon 15:04"))
	}
	if p.NotifyOnly != nil && *p.NotifyOnly {
		said = append(said, "notify only")
	}
	if p.Pause() != 0 {
		said = append(said, "pauses "+p.Pause().String())
	}
	return strings.Join(said, ", ")
}

func TestANamespaceSaysWhenItsWorkloadsMayBeRolled(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(saying(keys.Window, "Sun 02:00-03:00", keys.PausePeriod, "5m"),
			obj.Deployment("silent"), obj.Deployment("own", obj.Annotation(keys.Window, "Mon 04:00-05:00"), obj.TemplateAnnotation(keys.PausePeriod, "1m"))), withDefaults)
		want := map[string]string{"silent": "opens Sun 02:00, pauses 5m0s", "own": "opens Mon 04:00, pauses 1m0s"}
		check := func(when string) {
			t.Helper()
			if diff := cmp.Diff(want, map[string]string{"silent": l.pacing("silent"), "own": l.pacing("own")}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		check("at the start")
		l.heard()

		l.update(saying(keys.NotifyOnly, "true", "example.com/team", "shop"))
		want = map[string]string{"silent": "notify only", "own": "opens Mon 04:00, notify only, pauses 1m0s"}
		check("after an edit")
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/own", "WorkloadChanged Deployment/silent"}, l.heard()); diff != "" {
			t.Errorf("heard of an edit (-want +got):\n%s", diff)
		}

		l.update(saying(keys.NotifyOnly, "true", "example.com/team", "blog", keys.Settle, "5s"))
		if notes := l.heard(); len(notes) > 0 {
			t.Errorf("heard of an edit that says nothing to rollouts: %q", notes)
		}
	})
}

func TestWhatANamespaceSaysThatCannotBeReadIsReportedOnItsWorkloads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(saying("inpod.dev/window", "at night"), obj.Deployment("web")), withDefaults)
		w, _ := l.Workload(deployment("web"))
		if w.Policy.Pacing.Windows == nil || w.Policy.Pacing.Windows.Open(time.Now()) {
			t.Error("the window is not closed")
		}
		if len(w.Problems) != 1 || !strings.Contains(w.Problems[0].String(), `inpod.dev/window: as the default of the namespace, "at night" is no maintenance window`) {
			t.Errorf("problems %v", w.Problems)
		}
	})
}

func TestNamespacesAreNotReadUnlessTheyAreAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(saying("inpod.dev/window", "Sun 02:00-03:00"), obj.Deployment("web")))
		if got := l.pacing("web"); got != "" {
			t.Errorf("it %s", got)
		}
		for _, action := range l.api.Actions() {
			if action.GetResource().Resource == "namespaces" && action.GetVerb() != "create" {
				t.Errorf("%s of namespaces", action.GetVerb())
			}
		}
	})
}
