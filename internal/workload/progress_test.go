package workload_test

import (
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func TestProgressOfADeployment(t *testing.T) {
	t.Parallel()
	three, none := int32(3), int32(0)
	status := func(seen int64, replicas, updated int32) appsv1.DeploymentStatus {
		return appsv1.DeploymentStatus{ObservedGeneration: seen, Replicas: replicas, UpdatedReplicas: updated}
	}
	for name, c := range map[string]struct {
		replicas *int32
		status   appsv1.DeploymentStatus
		want     workload.Progress
		zero     bool
	}{
		"the status is older than the template": {&three, status(1, 3, 3), workload.NoneUpdated, false},
		"no pod is new":                         {&three, status(2, 3, 0), workload.NoneUpdated, false},
		"some pods are new":                     {&three, status(2, 4, 2), workload.PartlyUpdated, false},
		"an old pod is left":                    {&three, status(2, 4, 3), workload.PartlyUpdated, false},
		"all are new, and none is available":    {&three, status(2, 3, 3), workload.Complete, false},
		"there are to be none":                  {&none, status(2, 0, 0), workload.Complete, true},
		"there are to be none, and one is left": {&none, status(2, 1, 0), workload.NoneUpdated, false},
		"none yet seen":                         {&none, status(1, 0, 0), workload.NoneUpdated, false},
	} {
		d := obj.Deployment("web")
		d.Generation, d.Spec.Replicas, d.Status = 2, c.replicas, c.status
		if got := view(t, kindOf(t, "Deployment"), d); got.Progress != c.want || got.ScaledToZero != c.zero {
			t.Errorf("%s: %q, scaled to zero %t", name, got.Progress, got.ScaledToZero)
		}
	}
}

func TestProgressOfOtherKinds(t *testing.T) {
	t.Parallel()
	three := int32(3)
	s := obj.StatefulSet("db")
	s.Spec.Replicas, s.Spec.UpdateStrategy.Type = &three, appsv1.OnDeleteStatefulSetStrategyType
	s.Status = appsv1.StatefulSetStatus{Replicas: 3, UpdatedReplicas: 1}
	if got := view(t, kindOf(t, "StatefulSet"), s); got.Progress != workload.PartlyUpdated || !got.OnDelete {
		t.Errorf("StatefulSet: %q, OnDelete %t", got.Progress, got.OnDelete)
	}
	d := obj.DaemonSet("agent")
	d.Spec.UpdateStrategy.Type = appsv1.OnDeleteDaemonSetStrategyType
	d.Status = appsv1.DaemonSetStatus{CurrentNumberScheduled: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2}
	if got := view(t, kindOf(t, "DaemonSet"), d); got.Progress != workload.Complete || !got.OnDelete {
		t.Errorf("DaemonSet: %q, OnDelete %t", got.Progress, got.OnDelete)
	}
	kind := kindOf(t, "Rollout")
	o := obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path)
	set(t, o, int64(3), "spec", "replicas")
	if got := view(t, kind, metav1.Object(o)); got.Progress != workload.ProgressUnknown {
		t.Errorf("Rollout without a status: %q", got.Progress)
	}
}

// Argo Rollouts leave out what is 0 (argo-rollouts, pkg/apis/rollouts/v1alpha1/types.go RolloutStatus).
func TestProgressOfARollout(t *testing.T) {
	t.Parallel()
	kind := kindOf(t, "Rollout")
	for name, c := range map[string]struct {
		replicas int64
		status   map[string]any
		want     workload.Progress
		rolling  bool
		zero     bool
	}{
		"it is complete":                  {3, map[string]any{"observedGeneration": "1", "replicas": int64(3), "updatedReplicas": int64(3), "availableReplicas": int64(3)}, workload.Complete, false, false},
		"it begins":                       {3, map[string]any{"observedGeneration": "1", "replicas": int64(3), "availableReplicas": int64(3)}, workload.NoneUpdated, true, false},
		"it is aborted":                   {3, map[string]any{"observedGeneration": "1", "replicas": int64(3), "availableReplicas": int64(3), "abort": true}, workload.NoneUpdated, false, false},
		"it is scaled to zero":            {0, map[string]any{"observedGeneration": "1"}, workload.Complete, false, true},
		"its controller has not seen it":  {0, map[string]any{}, workload.ProgressUnknown, false, false},
		"the status is of what it was":    {0, map[string]any{"observedGeneration": "0"}, workload.NoneUpdated, true, false},
		"its last pods have not gone yet": {0, map[string]any{"observedGeneration": "1", "replicas": int64(1)}, workload.NoneUpdated, false, false},
	} {
		o := obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path)
		o.SetGeneration(1)
		set(t, o, c.replicas, "spec", "replicas")
		o.Object["status"] = c.status
		if got := view(t, kind, metav1.Object(o)); got.Progress != c.want || got.Rolling != c.rolling || got.ScaledToZero != c.zero {
			t.Errorf("%s: %q, rolling %t, scaled to zero %t", name, got.Progress, got.Rolling, got.ScaledToZero)
		}
	}
}

// What a rollout of inpod writes makes no difference to it, and everything else does.
func TestOwnTemplateIsWhatOthersWrite(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef0123456789abcdef01234567"
	base := []obj.Part{obj.TemplateAnnotation("a", "1"), obj.Container("app"), obj.Var("A", "1")}
	bare := []obj.Part{obj.Container("app")}
	for _, name := range []string{"Deployment", "Rollout"} {
		kind := kindOf(t, name)
		own := func(parts ...obj.Part) any { return view(t, kind, object(t, kind, "web", parts...)).OwnTemplate }
		for _, parts := range [][]obj.Part{base, bare} {
			if own(parts...) != own(append(parts, obj.Var("STAKATER_A_CONFIGMAP", hash))...) {
				t.Errorf("%s: a config hash makes a difference", name)
			}
			if own(parts...) != own(append(parts, obj.TemplateAnnotation(annotation.LastReloadedFrom, "{}"))...) {
				t.Errorf("%s: the annotation of a rollout makes a difference", name)
			}
		}
		if own(base...) == own(bare...) || own(base...) == own(append(base, obj.Var("STAKATER_A_CONFIGMAP", "mine"))...) {
			t.Errorf("%s: an edit makes no difference", name)
		}
	}
}

func TestWhoWroteTheBaselineLast(t *testing.T) {
	t.Parallel()
	const baseline = `{"f:metadata":{"f:annotations":{"f:inpod.dev/baseline":{}}}}`
	variable := func(fields string) string {
		return `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{"f:env":{"k:{\"name\":\"STAKATER_A_CONFIGMAP\"}":` + fields + `}}}}}}}`
	}
	entry := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Time: new(metav1.Now()), FieldsV1: metav1.NewFieldsV1(fields)}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	timed := func(entry metav1.ManagedFieldsEntry) metav1.ManagedFieldsEntry {
		entry.Time = &metav1.Time{Time: at}
		return entry
	}
	for name, c := range map[string]struct {
		entries []metav1.ManagedFieldsEntry
		want    string
		hashes  int
		written bool
	}{
		"the object does not say":      {nil, "", 0, false},
		"inpod":                        {[]metav1.ManagedFieldsEntry{entry("inpod", baseline)}, "", 0, false},
		"inpod, and an apply the same": {[]metav1.ManagedFieldsEntry{entry("argocd", baseline), entry("inpod", baseline)}, "", 0, false},
		"inpod, and when":              {[]metav1.ManagedFieldsEntry{entry("inpod", `{}`), timed(entry("inpod", baseline))}, "", 0, true},
		"a tool, and when":             {[]metav1.ManagedFieldsEntry{timed(entry("inpod", `{}`)), timed(entry("argocd", baseline))}, "argocd", 0, false},
		"kubectl rollout undo":         {[]metav1.ManagedFieldsEntry{entry("inpod", `{}`), entry("kubectl-rollout", baseline)}, "kubectl-rollout", 0, false},
		"a tool, and the template is ours": {
			[]metav1.ManagedFieldsEntry{entry("inpod", variable(`{".":{},"f:name":{},"f:value":{}}`)), entry("argocd", baseline)}, "argocd", 1, false,
		},
		"a tool, and the value alone is ours": {
			[]metav1.ManagedFieldsEntry{entry("inpod", variable(`{"f:value":{}}`)), entry("argocd", baseline)}, "argocd", 1, false,
		},
		"an undo to a template with an older config hash, whose name stays ours": {
			[]metav1.ManagedFieldsEntry{
				entry("inpod", variable(`{".":{},"f:name":{}}`)), entry("kubectl-rollout", baseline), entry("kubectl-rollout", variable(`{"f:value":{}}`)),
			},
			"kubectl-rollout", 0, false,
		},
	} {
		d := obj.Deployment("web", obj.Annotation(annotation.Baseline, "{}"))
		d.ManagedFields = c.entries
		got := view(t, kindOf(t, "Deployment"), d)
		if got.RestoredBy != c.want || len(got.OwnHashes) != c.hashes || got.RestoredAt.IsZero() != (c.want == "") {
			t.Errorf("%s: %q at %s, %q", name, got.RestoredBy, got.RestoredAt, got.OwnHashes)
		} else if got.BaselineAt.Equal(at) != c.written {
			t.Errorf("%s: written at %s", name, got.BaselineAt)
		}
	}
}
