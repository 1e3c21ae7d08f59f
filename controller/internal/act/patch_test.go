package act_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// rich is a Deployment with much that a patch must not touch: variables before and after ours, sidecars, volumes.
func rich(more ...obj.Part) *appsv1.Deployment {
	parts := []obj.Part{
		obj.Annotation("reloader.stakater.com/auto", "true"), obj.Annotation("note", "theirs"),
		obj.TemplateAnnotation("prometheus.io/scrape", "true"),
		obj.Init("prepare"), obj.EnvFrom(obj.CM("setup")), obj.Sidecar("proxy"), obj.Var("MODE", "sidecar"),
		obj.Container("app"), obj.Var("FIRST", "1"), obj.Env(obj.Sec("db"), "password"), obj.Var("STAKATER_MINE", "not a config hash"),
		obj.Mount(obj.CM("conf")),
		obj.Container("helper"), obj.EnvFrom(obj.CM("flags")), obj.Var("LAST", "9"),
	}
	return obj.Deployment("web", append(parts, more...)...)
}

// rollout decides on a Deployment in which some ConfigMaps and Secrets have changed, with the real rules.
func rollout(t *testing.T, d *appsv1.Deployment, changed ...source.Ref) (workload.View, decide.Decision) {
	t.Helper()
	view := viewOf(t, d)
	return view, decided(t, view, changed...)
}

// decided is the decision on a view.
func decided(t *testing.T, view workload.View, changed ...source.Ref) decide.Decision {
	t.Helper()
	policy, _ := annotation.Read(annotation.DefaultKeys(), view.Annotations, view.TemplateAnnotations)
	in := decide.Input{Workload: view, Policy: policy, Digester: digester(t), HasBaseline: true, Options: decide.Options{OnCreate: true, AutoAll: true}, Now: noon}
	before := source.Baseline{Records: map[source.Ref]source.Record{}, Named: in.Digester.NamedLists(policy.Lists())}
	for _, scope := range decide.Wanted(view, policy, source.Baseline{}, nil) {
		snapshot := func(content string) *source.Snapshot {
			return &source.Snapshot{Ref: scope.Ref, Keys: map[string]source.Entry{
				"k": {Digest: source.DigestOf([]byte(content))}, "password": {Digest: source.DigestOf([]byte(content))},
			}}
		}
		use := source.SourceState{Usages: scope, Snapshot: snapshot("0")}
		before.Records[scope.Ref] = in.Digester.Record(use)
		for _, ref := range changed {
			if ref == scope.Ref {
				use.Snapshot = snapshot("1")
			}
		}
		in.Uses = append(in.Uses, use)
	}
	in.Baseline = before
	decision := decide.Decide(in)
	if decision.Action != decide.Rollout {
		t.Fatalf("no rollout: %+v", decision)
	}
	return decision
}

func viewOf(t *testing.T, d *appsv1.Deployment) workload.View {
	t.Helper()
	kind, _ := workload.KindOf("Deployment")
	view, err := kind.View(d, annotation.DefaultKeys().OnWorkload)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func digester(t *testing.T) source.Digester {
	t.Helper()
	s, err := source.NewDigester(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func conf() source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: "conf"}
}

func flags() source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: "flags"}
}

func setup() source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: obj.Namespace, Name: "setup"}
}

func db() source.Ref { return source.Ref{Kind: source.Secret, Namespace: obj.Namespace, Name: "db"} }

// config hash is a variable of a former rollout.
const oldHash = "0123456789abcdef0123456789abcdef01234567"

func TestPatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		strategy   config.Strategy
		deployment *appsv1.Deployment
		changed    []source.Ref
	}{
		"env-vars":                               {config.EnvVars, rich(), []source.Ref{conf()}},
		"env-vars of several containers":         {config.EnvVars, rich(), []source.Ref{conf(), flags(), setup(), db()}},
		"env-vars where the variable is already": {config.EnvVars, rich(obj.Var("STAKATER_CONF_CONFIGMAP", oldHash)), []source.Ref{conf()}},
		"env-vars with a variable that is stale": {config.EnvVars, rich(obj.Var("STAKATER_GONE_SECRET", oldHash)), []source.Ref{conf()}},
		"annotations":                            {config.Annotations, rich(), []source.Ref{conf()}},
		"annotations of several sources":         {config.Annotations, rich(), []source.Ref{conf(), db()}},
		"annotations with a variable that is stale": {
			config.Annotations, rich(obj.Var("STAKATER_GONE_SECRET", oldHash)), []source.Ref{conf()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view, decision := rollout(t, c.deployment, c.changed...)
			sent := send(t, c.strategy, func(w writer) error {
				_, err := w.Rollout(t.Context(), view, decision, noon)
				return err
			})
			golden(t, name, sent.body)
			applied := apply(t, c.deployment, sent.body)
			untouched(t, c.deployment, applied)
			if cmp.Equal(c.deployment.Spec.Template, applied.Spec.Template) {
				t.Error("the template is the same: nothing would roll")
			}
			if diff := cmp.Diff(applied, apply(t, applied, sent.body)); diff != "" {
				t.Errorf("applying it twice changes something (-once +twice):\n%s", diff)
			}
			if in := applied.Annotations[annotation.Baseline]; in == "" {
				t.Error("there is no baseline")
			} else if _, ok := digester(t).Decode(obj.Namespace, in); !ok {
				t.Errorf("the baseline cannot be read: %s", in)
			}
		})
	}
}

// apply does what the API server does with the patch.
func apply(t *testing.T, d *appsv1.Deployment, patch []byte) *appsv1.Deployment {
	t.Helper()
	before, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strategicpatch.StrategicMergePatch(before, patch, appsv1.Deployment{})
	if err != nil {
		t.Fatal(err)
	}
	applied := &appsv1.Deployment{}
	if err := json.Unmarshal(after, applied); err != nil {
		t.Fatal(err)
	}
	return applied
}

// untouched fails if anything differs but our annotations and config hashes.
func untouched(t *testing.T, before, after *appsv1.Deployment) {
	t.Helper()
	before, after = before.DeepCopy(), after.DeepCopy()
	for _, d := range []*appsv1.Deployment{before, after} {
		delete(d.Annotations, annotation.Baseline)
		delete(d.Spec.Template.Annotations, annotation.LastReloadedFrom)
		for i := range d.Spec.Template.Spec.Containers {
			env := &d.Spec.Template.Spec.Containers[i].Env
			var theirs []corev1.EnvVar
			for _, variable := range *env {
				if !strings.HasPrefix(variable.Name, workload.VariablePrefix) || variable.Name == "STAKATER_MINE" {
					theirs = append(theirs, variable)
				}
			}
			*env = theirs
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("more than ours has changed (-before +after):\n%s", diff)
	}
}

func TestAStaleVariableGoes(t *testing.T) {
	t.Parallel()
	d := rich(obj.Var("STAKATER_GONE_SECRET", oldHash))
	for _, strategy := range []config.Strategy{config.EnvVars, config.Annotations} {
		view, decision := rollout(t, d, conf())
		sent := send(t, strategy, func(w writer) error {
			_, err := w.Rollout(t.Context(), view, decision, noon)
			return err
		})
		for _, container := range apply(t, d, sent.body).Spec.Template.Spec.Containers {
			for _, variable := range container.Env {
				if variable.Name == "STAKATER_GONE_SECRET" {
					t.Errorf("%s: the variable of a source that is not used any more stays in %s", strategy, container.Name)
				}
			}
		}
	}
}

func TestARolloutWithoutAConfigHashIsRefused(t *testing.T) {
	t.Parallel()
	view, decision := rollout(t, rich(), conf())
	decision.ConfigHashes = nil
	for _, strategy := range []config.Strategy{config.EnvVars, config.Annotations} {
		sent := send(t, strategy, func(w writer) error {
			if _, err := w.Rollout(t.Context(), view, decision, noon); err == nil {
				t.Errorf("%s: no error: the baseline would be written, and nothing rolled", strategy)
			}
			return nil
		})
		if sent.requests != 0 {
			t.Errorf("%s: %d requests", strategy, sent.requests)
		}
	}
}

func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".json")
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("patch; run the test with -update if this is meant (-want +got):\n%s", diff)
	}
}
