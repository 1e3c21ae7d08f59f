//go:build e2e

package e2e_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// What changes within the pause of a workload is one rollout at its end, also if inpod is replaced meanwhile.
func TestAPausePeriodHoldsForEveryKindAndThroughARestart(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.apply(configMap("config", "key", "1"))
	var all []framework.Workload
	pause := patience.Stretch(40 * time.Second)
	for _, kind := range kinds() {
		a := newApp(kind, strings.ToLower(kind), []use{env("KEY", ofConfigMap("config"), "key")}).idle().
			annotated(s.keys.auto, "true").annotated(s.keys.pausePeriod, pause.String())
		s.apply(a.object())
		all = append(all, a.in(s.ns))
	}
	s.install(nil, nil)
	s.hasBaseline(all...)

	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.rolled(before, all...)
	rolledAt := map[framework.Workload]time.Time{}
	for _, w := range all {
		at, err := time.Parse(time.RFC3339, s.state(w).Annotations[s.keys.pausedAt])
		s.must(err)
		rolledAt[w] = at
	}

	before = s.rollouts()
	s.apply(configMap("config", "key", "3"))
	for _, w := range all {
		_, err := s.AwaitEvent(s.ctx, w, "PausePeriod", "ConfigMap config changed (key)")
		s.must(err)
	}
	s.restartController()
	s.must(s.AwaitRelease(s.ctx, s.Release))
	s.apply(configMap("config", "key", "4"))
	s.rolled(before, all...)
	for _, w := range all {
		at, err := time.Parse(time.RFC3339, s.state(w).Annotations[s.keys.pausedAt])
		s.must(err)
		if after := at.Sub(rolledAt[w]); after < pause {
			t.Errorf("%s was rolled %s after the time before", w, after)
		}
	}
	s.onlyRolled(before, all...)
}

// paused is a Deployment as somebody has paused it.
func (a app) paused() *appsv1.Deployment {
	d := a.object().(*appsv1.Deployment)
	d.Spec.Paused = true
	return d
}

func TestWhatReloaderLeftPausedGoesOnAndWhatOthersPausedDoesNot(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.apply(configMap("config", "key", "1"))
	uses := []use{env("KEY", ofConfigMap("config"), "key")}
	left := deployment("left", uses...).idle().annotated(s.keys.auto, "true").annotated(s.keys.pausePeriod, "5s").
		annotated(s.keys.pausedAt, time.Now().UTC().Format(time.RFC3339))
	theirs := deployment("theirs", uses...).idle().annotated(s.keys.auto, "true").annotated(s.keys.pausePeriod, "5s")
	s.apply(left.paused(), theirs.paused())
	_, err := s.AwaitEvent(s.ctx, left.in(s.ns), "Resumed", "has ended (pause-period: 5s)")
	s.must(err)
	d, err := s.Client.AppsV1().Deployments(s.ns).Get(s.ctx, "left", metav1.GetOptions{})
	s.must(err)
	if d.Spec.Paused || d.Annotations[s.keys.pausedAt] != "" {
		t.Errorf("resumed: paused %t, annotation %q", d.Spec.Paused, d.Annotations[s.keys.pausedAt])
	}
	d, err = s.Client.AppsV1().Deployments(s.ns).Get(s.ctx, "theirs", metav1.GetOptions{})
	s.must(err)
	if !d.Spec.Paused {
		t.Error("a Deployment that somebody else has paused was resumed")
	}
}

func TestNotifyOnlyReportsAndRollsWhenItIsTakenAway(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	a := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true").annotated("inpod.dev/notify-only", "true")
	w := a.in(s.ns)
	s.apply(configMap("config", "key", "1"), a.object())
	s.hasBaseline(w)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	_, err := s.AwaitEvent(s.ctx, w, "NotifyOnly", "would start a rollout", "ConfigMap config changed (key)")
	s.must(err)
	s.onlyRolled(before)
	if reported := s.events(w, "NotifyOnly"); len(reported) != 1 {
		t.Errorf("it was reported %d times, want once", len(reported))
	}
	s.annotate(w, "inpod.dev/notify-only", "false")
	s.onlyRolled(before, w)
}

// Of three workloads that use one source, one rolls after the other. The pause-period has each write when it did.
func TestNoMoreRolloutsAreUnderWayThanTheLimit(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.apply(configMap("config", "key", "1"))
	var all []framework.Workload
	const takes = 4 // seconds
	for _, name := range []string{"one", "two", "three"} {
		a := deployment(name, env("KEY", ofConfigMap("config"), "key")).annotated(s.keys.auto, "true").annotated(s.keys.pausePeriod, "1s")
		d := a.object().(*appsv1.Deployment)
		d.Spec.MinReadySeconds = takes
		s.apply(d)
		all = append(all, a.in(s.ns))
	}
	for _, w := range all {
		s.must(s.AwaitRollout(s.ctx, w))
	}
	s.install(framework.Values{"maxConcurrentRollouts": 1}, nil)
	s.hasBaseline(all...)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.rolled(before, all...)
	var starts []time.Time
	for _, w := range all {
		at, err := time.Parse(time.RFC3339, s.state(w).Annotations[s.keys.pausedAt])
		s.must(err)
		starts = append(starts, at)
	}
	slices.SortFunc(starts, time.Time.Compare)
	for i := range len(starts) - 1 {
		if gap := starts[i+1].Sub(starts[i]); gap < (takes-1)*time.Second { // a controller counts in whole seconds
			t.Errorf("a rollout began %s after the one before, which takes %d seconds at least", gap, takes)
		}
	}
}

// What is deferred by a window is rolled when it opens, or when somebody takes the window away.
func TestAMaintenanceWindowHoldsAndOpens(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	s.apply(configMap("config", "key", "1"))
	uses := []use{env("KEY", ofConfigMap("config"), "key")}
	now := time.Now().UTC()
	opens := now.Add(patience.Stretch(time.Minute)).Truncate(time.Minute).Add(time.Minute)
	span := func(from, to time.Time) string { return from.Format("15:04") + "-" + to.Format("15:04") }
	soon := deployment("soon", uses...).idle().annotated(s.keys.auto, "true").annotated("inpod.dev/window", span(opens, opens.Add(time.Hour))+" UTC")
	later := daemonSet("later", uses...).idle().annotated(s.keys.auto, "true").onTemplate("inpod.dev/window", span(now.Add(-2*time.Hour), now.Add(-time.Hour)))
	wrong := deployment("wrong", uses...).idle().annotated(s.keys.auto, "true").annotated("inpod.dev/window", "at night")
	s.apply(soon.object(), later.object(), wrong.object())
	all := []framework.Workload{soon.in(s.ns), later.in(s.ns), wrong.in(s.ns)}
	s.hasBaseline(all...)
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	_, err := s.AwaitEvent(s.ctx, soon.in(s.ns), "WindowClosed", opens.Format("2006-01-02 15:04 UTC"), "ConfigMap config changed (key)")
	s.must(err)
	_, err = s.AwaitEvent(s.ctx, wrong.in(s.ns), "InvalidAnnotation", "inpod.dev/window", "at night")
	s.must(err)
	s.onlyRolled(before)
	s.rolled(before, soon.in(s.ns))
	if early := time.Until(opens); early > 0 {
		t.Errorf("rolled %s before the window opens", early)
	}
	s.annotate(later.in(s.ns), "inpod.dev/window", "always")
	s.annotate(wrong.in(s.ns), "inpod.dev/window", "always")
	s.onlyRolled(before, all...)
}

func TestANamespaceSaysWhenItsWorkloadsMayBeRolled(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	say := func(key string, value any) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
		s.must(err)
		_, err = s.Client.CoreV1().Namespaces().Patch(s.ctx, s.ns, types.MergePatchType, body, metav1.PatchOptions{FieldManager: framework.FieldManager})
		s.must(err)
	}
	now := time.Now().UTC()
	say("inpod.dev/window", now.Add(-2*time.Hour).Format("15:04")+"-"+now.Add(-time.Hour).Format("15:04"))
	uses := []use{env("KEY", ofConfigMap("config"), "key")}
	silent := deployment("silent", uses...).idle().annotated(s.keys.auto, "true")
	own := deployment("own", uses...).idle().annotated(s.keys.auto, "true").annotated("inpod.dev/window", "always")
	s.apply(configMap("config", "key", "1"), silent.object(), own.object())
	s.hasBaseline(silent.in(s.ns), own.in(s.ns))
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	_, err := s.AwaitEvent(s.ctx, silent.in(s.ns), "WindowClosed", "ConfigMap config changed (key)")
	s.must(err)
	s.rolled(before, own.in(s.ns))
	say("inpod.dev/window", nil)
	s.rolled(before, silent.in(s.ns))
}

func TestAWorkloadSettlesForItself(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	quick := deployment("quick", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true")
	slow := deployment("slow", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true").annotated("inpod.dev/settle", patience.Stretch(20*time.Second).String())
	s.apply(configMap("config", "key", "1"), quick.object(), slow.object())
	s.hasBaseline(quick.in(s.ns), slow.in(s.ns))
	before := s.rollouts()
	s.apply(configMap("config", "key", "2"))
	s.onlyRolled(before, quick.in(s.ns))
	s.apply(configMap("config", "key", "3"))
	s.rolled(before, slow.in(s.ns))
}
