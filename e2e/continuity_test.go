//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// fleet makes one workload of each kind for each name, which uses a ConfigMap of that name.
func (s *space) fleet(names ...string) map[string][]framework.Workload {
	s.t.Helper()
	all := map[string][]framework.Workload{}
	for _, name := range names {
		s.apply(configMap(name, "key", "1"))
		for _, kind := range kinds() {
			a := newApp(kind, strings.ToLower(kind)+"-"+name, []use{env("KEY", ofConfigMap(name), "key")}).idle()
			if name != "unannotated" {
				a = a.annotated(s.keys.auto, "true")
			}
			s.apply(a.object())
			all[name] = append(all[name], a.in(s.ns))
		}
	}
	return all
}

// One life of a controller: installed, stopped, started, replaced and upgraded. At each step only what changed is
// rolled.
func TestOnlyChangesRollThroughInstallStopStartAndUpgrade(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	fleet := s.fleet("edited", "edited-twice", "edited-and-back", "quiet", "unannotated")
	followed := append(append(append(fleet["edited"], fleet["edited-twice"]...), fleet["edited-and-back"]...), fleet["quiet"]...)
	before := s.rollouts()

	// An edit from before inpod was there is nothing that it knows of.
	s.apply(configMap("quiet", "key", "2"))
	s.install(nil, nil)
	s.hasBaseline(followed...)
	s.onlyRolled(before)

	s.scaleController(0)
	s.apply(
		configMap("edited", "key", "2"),
		configMap("edited-twice", "key", "2"), configMap("edited-twice", "key", "3"),
		configMap("edited-and-back", "key", "2"), configMap("edited-and-back", "key", "1"),
		configMap("unannotated", "key", "2"),
	)
	// An annotation that a deployment tool writes meanwhile is no new template.
	for _, w := range fleet["edited"] {
		s.annotate(w, "example.com/deployed-by", "pipeline")
	}
	s.scaleController(1)
	s.onlyRolled(before, append(fleet["edited"], fleet["edited-twice"]...)...)

	before = s.rollouts()
	s.restartController()
	s.must(s.AwaitRelease(s.ctx, s.Release))
	s.onlyRolled(before)

	// Another strategy, another log, another pace.
	s.install(framework.Values{"reloadStrategy": "annotations", "logFormat": "json", "settle": "500ms", "workers": 2}, nil)
	s.onlyRolled(before)

	for line := range strings.Lines(s.controllerLog(s.ctx)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line is no JSON: %s", line)
		}
	}

	// Edits of what is asked for: no content changes.
	for _, w := range fleet["unannotated"] {
		s.annotate(w, s.keys.auto, "true")
	}
	for _, w := range fleet["quiet"] {
		s.annotate(w, s.keys.configmap, "quiet,edited")
	}
	for _, w := range fleet["edited"] {
		s.annotate(w, s.keys.auto, "false")
	}
	s.hasBaseline(fleet["unannotated"]...)
	s.onlyRolled(before)

	// And what is asked for now holds.
	s.apply(configMap("unannotated", "key", "3"), configMap("edited", "key", "3"))
	s.onlyRolled(before, append(fleet["unannotated"], fleet["quiet"]...)...)
}

// scaleController stops or starts the space's own controller and waits until that is so.
func (s *space) scaleController(replicas int) {
	s.t.Helper()
	w := s.Controller()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	_, err := s.Client.AppsV1().Deployments(w.Namespace).Patch(s.ctx, w.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: framework.FieldManager})
	s.must(err)
	s.must(s.AwaitRollout(s.ctx, w))
	s.must(s.AwaitPodCount(s.ctx, w, replicas))
}

// annotate writes one annotation, as kubectl annotate does.
func (s *space) annotate(w framework.Workload, key, value string) {
	s.t.Helper()
	s.must(s.Patch(s.ctx, w, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)))
}

func TestAWorkloadThatStopsFollowingLosesItsBaseline(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	a := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle()
	w := a.in(s.ns)
	s.apply(configMap("config", "key", "1"), a.annotated(s.keys.auto, "true").object())
	s.hasBaseline(w)
	before := s.rollouts()

	s.annotate(w, s.keys.auto, "false")
	_, err := s.Await(s.ctx, w, "no baseline", func(state framework.State) bool { return state.Annotations[annotation.Baseline] == "" })
	s.must(err)
	// What changes now is not made up for later.
	s.apply(configMap("config", "key", "2"))
	s.annotate(w, s.keys.auto, "true")
	s.hasBaseline(w)
	s.onlyRolled(before)

	s.apply(configMap("config", "key", "3"))
	s.onlyRolled(before, w)
}

// The baselines and their key outlive the release. Where the key is lost, the age of the pods says what they have.
func TestWhatChangesWhileUninstalledIsAppliedAfterANewInstall(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	followed := s.fleet("config")["config"]
	s.install(nil, nil)
	s.hasBaseline(followed...)
	before := s.rollouts()

	s.must(s.Uninstall(s.ctx, s.Release))
	s.apply(configMap("config", "key", "2"))
	s.install(nil, nil)
	s.onlyRolled(before, followed...)

	// Without the key the age of the pods decides: they are older than the edit.
	before = s.rollouts()
	s.must(s.Uninstall(s.ctx, s.Release))
	s.must(s.Client.CoreV1().Secrets(s.Namespace).Delete(s.ctx, "inpod-digest-key", metav1.DeleteOptions{}))
	s.apply(configMap("config", "key", "3"))
	s.install(nil, nil)
	s.onlyRolled(before, followed...)

	before = s.rollouts()
	s.apply(configMap("config", "key", "4"))
	s.onlyRolled(before, followed...)
}

// The digest key is lost, and a source is edited meanwhile. Its pods are older than the edit, so that it is rolled, and
// nothing else is.
func TestAnEditOutlivesTheDigestKey(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	var workloads []framework.Workload
	for _, name := range []string{"edited", "quiet"} {
		a := deployment(name, env("KEY", ofConfigMap(name), "key")).annotated(s.keys.auto, "true")
		s.apply(configMap(name, "key", "1"), a.object())
		s.must(s.AwaitRollout(s.ctx, a.in(s.ns)))
		workloads = append(workloads, a.in(s.ns))
	}
	s.install(nil, nil)
	s.hasBaseline(workloads...)
	before := s.rollouts()

	s.must(s.Uninstall(s.ctx, s.Release))
	s.must(s.Client.CoreV1().Secrets(s.Namespace).Delete(s.ctx, "inpod-digest-key", metav1.DeleteOptions{}))
	s.apply(configMap("edited", "key", "2"))
	s.install(nil, nil)
	s.onlyRolled(before, workloads[0])
}

func TestManyEditsInQuickSuccessionAreOneRollout(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.patient)
	a := deployment("app", env("KEY", ofConfigMap("config"), "key"), volume(ofSecret("hidden"))).idle().annotated(s.keys.auto, "true")
	s.apply(configMap("config", "key", "0"), secret("hidden", "key", "0"), a.object())
	s.hasBaseline(a.in(s.ns))
	// A machine may be so busy that the edits take longer than the settle time: these are several changes, and are made again.
	const tries = 5
	for try := range tries {
		before, begun := s.rollouts(), time.Now()
		for i := range 10 {
			text := fmt.Sprintf("%d.%d", try, i)
			s.apply(configMap("config", "key", text), secret("hidden", "key", text))
		}
		if took := time.Since(begun); took > suite.settle {
			t.Logf("the edits took %s, and changes settle in %s", took, suite.settle)
			s.rolled(before, a.in(s.ns))
			s.marker()
			continue
		}
		s.onlyRolled(before, a.in(s.ns))
		return
	}
	t.Errorf("the edits took longer than the settle time in each of %d tries", tries)
}

// A deployment tool that applies a source and then a template that was edited too gets its own rollout and no second.
func TestASourceAppliedTogetherWithANewTemplateIsOneRollout(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.patient)
	var workloads []framework.Workload
	applyAll := func(version string) {
		s.apply(configMap("config", "key", version))
		workloads = nil
		for _, kind := range kinds() {
			a := newApp(kind, strings.ToLower(kind), []use{env("KEY", ofConfigMap("config"), "key")}).idle().
				annotated(s.keys.auto, "true").onTemplate("example.com/version", version)
			s.apply(a.object())
			workloads = append(workloads, a.in(s.ns))
		}
	}
	applyAll("1")
	s.hasBaseline(workloads...)
	before := s.rollouts()
	applyAll("2")
	s.onlyRolled(before, workloads...)

	// A use that is added with the template is none either: the pods of the new template have the content.
	before = s.rollouts()
	s.apply(secret("hidden", "key", "1"))
	for _, kind := range kinds() {
		s.apply(newApp(kind, strings.ToLower(kind), []use{env("KEY", ofConfigMap("config"), "key"), volume(ofSecret("hidden"))}).idle().
			annotated(s.keys.auto, "true").onTemplate("example.com/version", "2").object())
	}
	s.onlyRolled(before, workloads...)

	// From then on it counts.
	before = s.rollouts()
	s.apply(secret("hidden", "key", "2"))
	s.onlyRolled(before, workloads...)
}
