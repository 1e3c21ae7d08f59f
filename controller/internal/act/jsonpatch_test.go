package act_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// jsonKinds are those that are patched by positions.
func jsonKinds() workload.Table {
	var some workload.Table
	for _, kind := range kinds() {
		if kind.Path != nil {
			some = append(some, kind)
		}
	}
	return some
}

// jsonParts is what rich has.
func jsonParts(more ...obj.Part) []obj.Part {
	return append([]obj.Part{
		obj.Annotation("reloader.stakater.com/auto", "true"), obj.Annotation("note", "theirs"),
		obj.TemplateAnnotation("prometheus.io/scrape", "true"),
		obj.Init("prepare"), obj.EnvFrom(obj.CM("setup")), obj.Sidecar("proxy"), obj.Var("MODE", "sidecar"),
		obj.Container("app"), obj.Var("FIRST", "1"), obj.Env(obj.Sec("db"), "password"), obj.Var("STAKATER_MINE", "not a config hash"),
		obj.Mount(obj.CM("conf")),
		obj.Container("helper"), obj.EnvFrom(obj.CM("flags")), // without a list of variables
	}, more...)
}

func jsonObject(kind workload.Kind, parts ...obj.Part) *unstructured.Unstructured {
	return obj.JSON(kind.APIVersion(), kind.APIKind(), "web", kind.Path, parts...)
}

// jsonRollout decides on an object in which some sources have changed, with the real rules.
func jsonRollout(t *testing.T, kind workload.Kind, o *unstructured.Unstructured, changed ...source.Ref) (workload.View, decide.Decision) {
	t.Helper()
	view, err := kind.View(o, annotation.DefaultKeys().OnWorkload)
	if err != nil {
		t.Fatal(err)
	}
	return view, decided(t, view, changed...)
}

// patched does what the API server does with a JSON Patch.
func patched(t *testing.T, o *unstructured.Unstructured, body []byte) (*unstructured.Unstructured, error) {
	t.Helper()
	before, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		t.Fatal(err)
	}
	after, err := patch.Apply(before)
	if err != nil {
		return nil, err
	}
	result := &unstructured.Unstructured{}
	if err := result.UnmarshalJSON(after); err != nil {
		t.Fatal(err)
	}
	return result, nil
}

// without returns an object without what inpod writes.
func without(t *testing.T, kind workload.Kind, o *unstructured.Unstructured) map[string]any {
	t.Helper()
	all := o.DeepCopy().Object
	metadata, _ := all["metadata"].(map[string]any)
	drop(metadata, annotation.Baseline)
	template, _, _ := unstructured.NestedMap(all, kind.Path...)
	metadata, _ = template["metadata"].(map[string]any)
	if metadata != nil {
		drop(metadata, annotation.LastReloadedFrom)
		if len(metadata) == 0 {
			delete(template, "metadata")
		}
	}
	containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
	for _, c := range containers {
		container, _ := c.(map[string]any)
		env, _ := container["env"].([]any)
		var theirs []any
		for _, variable := range env {
			name, _ := variable.(map[string]any)["name"].(string)
			if !strings.HasPrefix(name, workload.VariablePrefix) || name == "STAKATER_MINE" {
				theirs = append(theirs, variable)
			}
		}
		container["env"] = theirs
		if theirs == nil {
			delete(container, "env")
		}
	}
	_ = unstructured.SetNestedSlice(template, containers, "spec", "containers")
	_ = unstructured.SetNestedMap(all, template, kind.Path...)
	return all
}

// drop removes an annotation, and annotations that are empty.
func drop(metadata map[string]any, key string) {
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, key)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
}

func TestAPatchByPositionsTouchesNothingElse(t *testing.T) {
	t.Parallel()
	bare := func(kind workload.Kind) *unstructured.Unstructured {
		o := jsonObject(kind, obj.Mount(obj.CM("conf")))
		unstructured.RemoveNestedField(o.Object, append(append([]string{}, kind.Path...), "metadata")...)
		return o
	}
	for _, kind := range jsonKinds() {
		for name, c := range map[string]struct {
			strategy config.Strategy
			object   *unstructured.Unstructured
			changed  []source.Ref
		}{
			"env-vars":                               {config.EnvVars, jsonObject(kind, jsonParts()...), []source.Ref{conf()}},
			"env-vars of several containers":         {config.EnvVars, jsonObject(kind, jsonParts()...), []source.Ref{conf(), flags(), setup(), db()}},
			"env-vars where the variable is already": {config.EnvVars, jsonObject(kind, jsonParts(obj.Var("STAKATER_FLAGS_CONFIGMAP", oldHash))...), []source.Ref{flags(), conf()}},
			"env-vars with variables that are stale": {config.EnvVars, jsonObject(kind, jsonParts(obj.Var("STAKATER_GONE_SECRET", oldHash), obj.Var("STAKATER_FLAGS_CONFIGMAP", oldHash), obj.Var("STAKATER_OLD_SECRET", oldHash))...), []source.Ref{flags()}},
			"env-vars where nothing is there":        {config.EnvVars, bare(kind), []source.Ref{conf()}},
			"annotations":                            {config.Annotations, jsonObject(kind, jsonParts()...), []source.Ref{conf(), db()}},
			"annotations with a variable that is stale": {
				config.Annotations, jsonObject(kind, jsonParts(obj.Var("STAKATER_GONE_SECRET", oldHash))...), []source.Ref{conf()},
			},
			"annotations where nothing is there": {config.Annotations, bare(kind), []source.Ref{conf()}},
		} {
			t.Run(kind.Name+" "+name, func(t *testing.T) {
				t.Parallel()
				view, decision := jsonRollout(t, kind, c.object, c.changed...)
				sent := send(t, c.strategy, func(w writer) error {
					_, err := w.Rollout(t.Context(), view, decision, noon)
					return err
				})
				if sent.requests != 1 || sent.contentType != "application/json-patch+json" || !strings.Contains(sent.accept, "as=PartialObjectMetadata") {
					t.Errorf("%d requests, %s, accept %s", sent.requests, sent.contentType, sent.accept)
				}
				after, err := patched(t, c.object, sent.body)
				if err != nil {
					t.Fatalf("%v: %s", err, sent.body)
				}
				if diff := cmp.Diff(without(t, kind, c.object), without(t, kind, after)); diff != "" {
					t.Errorf("more than ours has changed (-before +after):\n%s", diff)
				}
				next, err := kind.View(after, annotation.DefaultKeys().OnWorkload)
				if err != nil {
					t.Fatal(err)
				}
				if next.Template == view.Template {
					t.Error("the template is the same: nothing would roll")
				}
				if _, ok := digester(t).Decode(obj.Namespace, next.Annotations[annotation.Baseline]); !ok {
					t.Error("there is no baseline that can be read")
				}
				for _, hash := range decision.ConfigHashes {
					if got := next.Variables[hash.Container+"/"+hash.Variable]; c.strategy == config.EnvVars && got != hash.Hash {
						t.Errorf("%s in %s is %q, want %q", hash.Variable, hash.Container, got, hash.Hash)
					}
				}
				for _, stale := range decision.Stale {
					if _, stays := next.Variables[stale]; stays {
						t.Errorf("%s stays", stale)
					}
				}
				if c.strategy == config.Annotations && next.TemplateAnnotations[annotation.LastReloadedFrom] == "" {
					t.Error("the template has no config hash")
				}
			})
		}
	}
}

// Whatever is not as it was when the decision was made makes the patch fail as a whole.
func TestAPatchByPositionsHitsNothingWrong(t *testing.T) {
	t.Parallel()
	kind := workload.Rollout()
	template := func(path ...string) []string { return append([]string{"spec", "template"}, path...) }
	containers := func(o *unstructured.Unstructured, edit func([]any) []any) {
		list, _, _ := unstructured.NestedSlice(o.Object, template("spec", "containers")...)
		_ = unstructured.SetNestedSlice(o.Object, edit(list), template("spec", "containers")...)
	}
	swap := func(list []any) []any { list[0], list[1] = list[1], list[0]; return list }
	for name, c := range map[string]struct {
		parts []obj.Part
		edit  func(*unstructured.Unstructured)
		fails bool
	}{
		"nothing":                     {jsonParts(), func(*unstructured.Unstructured) {}, false},
		"the status":                  {jsonParts(), func(o *unstructured.Unstructured) { o.SetResourceVersion("2") }, false},
		"it is another object":        {jsonParts(), func(o *unstructured.Unstructured) { o.SetUID("other") }, true},
		"the containers moved":        {jsonParts(obj.Var("LAST", "9")), func(o *unstructured.Unstructured) { containers(o, swap) }, true},
		"a container is gone":         {jsonParts(obj.Var("LAST", "9")), func(o *unstructured.Unstructured) { containers(o, func(l []any) []any { return l[1:] }) }, true},
		"the template is gone":        {jsonParts(), func(o *unstructured.Unstructured) { unstructured.RemoveNestedField(o.Object, template()...) }, true},
		"a list of variables came up": {[]obj.Part{obj.Annotation("reloader.stakater.com/auto", "true"), obj.Mount(obj.CM("conf"))}, func(o *unstructured.Unstructured) { o.SetResourceVersion("2") }, true},
		"the variables moved": {jsonParts(obj.Container("app2"), obj.Var("STAKATER_CONF_CONFIGMAP", oldHash), obj.Var("X", "1")), func(o *unstructured.Unstructured) {
			containers(o, func(list []any) []any {
				container, _ := list[2].(map[string]any)
				env, _ := container["env"].([]any)
				container["env"] = swap(env)
				return list
			})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := jsonObject(kind, c.parts...)
			view, decision := jsonRollout(t, kind, o, conf())
			sent := send(t, config.EnvVars, func(w writer) error {
				_, err := w.Rollout(t.Context(), view, decision, noon)
				return err
			})
			c.edit(o)
			if _, err := patched(t, o, sent.body); (err != nil) != c.fails {
				t.Errorf("%v: %s", err, sent.body)
			}
		})
	}
}

// A test that fails is for the loop what a conflict is. What the API server does not accept is reported.
func TestAFailedTestIsAConflict(t *testing.T) {
	t.Parallel()
	kind := workload.Rollout()
	view, decision := jsonRollout(t, kind, jsonObject(kind, jsonParts()...), conf())
	kindOfStatus := metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	failed := metav1.Status{TypeMeta: kindOfStatus, Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid, Details: &metav1.StatusDetails{}}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "argoproj.io", Kind: "Rollout"}, "web", nil).ErrStatus
	invalid.TypeMeta = kindOfStatus
	invalid.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Field: "spec"}}
	for name, c := range map[string]struct {
		status   metav1.Status
		conflict bool
	}{"a test": {failed, true}, "the schema": {invalid, false}} {
		err := serve(t, config.EnvVars, func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusUnprocessableEntity, c.status)
		}, func(w writer) error {
			_, err := w.Rollout(t.Context(), view, decision, noon)
			return err
		})
		if apierrors.IsConflict(err) != c.conflict || apierrors.IsInvalid(err) == c.conflict || !strings.HasPrefix(err.Error(), "patching Rollout shop/web: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARestartIsOneMergePatch(t *testing.T) {
	t.Parallel()
	kind := workload.Rollout()
	view, decision := jsonRollout(t, kind, jsonObject(kind, jsonParts()...), conf())
	view.Restart = true
	text, err := digester(t).Encode(decision.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	sent := send(t, config.EnvVars, func(w writer) error {
		_, err := w.Rollout(t.Context(), view, decision, noon)
		return err
	})
	if sent.requests != 1 || sent.contentType != "application/merge-patch+json" {
		t.Errorf("%d requests, %s", sent.requests, sent.contentType)
	}
	var body any
	if err := json.Unmarshal(sent.body, &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"metadata": map[string]any{"uid": "uid-of-web", "annotations": map[string]any{annotation.Baseline: text}},
		"spec":     map[string]any{"restartAt": "2026-01-02T12:00:00Z"},
	}
	if diff := cmp.Diff(any(want), body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	view.Key.Kind = "DeploymentConfig"
	send(t, config.EnvVars, func(w writer) error {
		if _, err := w.Rollout(t.Context(), view, decision, noon); err == nil || !strings.Contains(err.Error(), "a DeploymentConfig cannot be restarted") {
			t.Errorf("a kind without the field: %v", err)
		}
		return nil
	})
}

// Somebody applies his manifest again, as people and Argo CD do. For a kind without a Go type that puts back lists as a
// whole: a variable in one would go, and be a second rollout.
func TestKubectlApplyTakesNoRolloutBack(t *testing.T) {
	t.Parallel()
	for _, strategy := range []config.Strategy{config.EnvVars, config.Annotations} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			kind := workload.Rollout()
			manifest := jsonObject(kind, jsonParts()...)
			original, err := json.Marshal(manifest.Object)
			if err != nil {
				t.Fatal(err)
			}
			applied := manifest.DeepCopy()
			applied.SetAnnotations(map[string]string{
				"reloader.stakater.com/auto": "true", corev1.LastAppliedConfigAnnotation: string(original),
			})
			view, decision := jsonRollout(t, kind, applied, conf())
			sent := send(t, strategy, func(w writer) error {
				_, err := w.Rollout(t.Context(), view, decision, noon)
				return err
			})
			rolled, err := patched(t, applied, sent.body)
			if err != nil {
				t.Fatal(err)
			}
			current, err := json.Marshal(rolled.Object)
			if err != nil {
				t.Fatal(err)
			}
			again, err := jsonmergepatch.CreateThreeWayJSONMergePatch(original, original, current)
			if err != nil {
				t.Fatal(err)
			}
			after, err := jsonpatch.MergePatch(current, again)
			if err != nil {
				t.Fatal(err)
			}
			result := &unstructured.Unstructured{}
			if err := result.UnmarshalJSON(after); err != nil {
				t.Fatal(err)
			}
			before, err := kind.View(rolled, annotation.DefaultKeys().OnWorkload)
			if err != nil {
				t.Fatal(err)
			}
			now, err := kind.View(result, annotation.DefaultKeys().OnWorkload)
			if err != nil {
				t.Fatal(err)
			}
			if before.Template == view.Template {
				t.Error("it was not rolled")
			}
			if now.Template != before.Template || now.Annotations[annotation.Baseline] != before.Annotations[annotation.Baseline] {
				t.Errorf("it rolls again, or loses its baseline: %s", again)
			}
		})
	}
}
