package annotation_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
)

// at is an object by the keys of each place.
type at struct {
	workload, template, source, namespace, labels, templateLabels, jobTemplate, jobTemplateLabels selectors
}

func (a at) object() annotation.Object {
	o := annotation.Object{
		At: annotation.AtWorkload, Annotations: a.workload, TemplateAnnotations: a.template, Labels: a.labels, TemplateLabels: a.templateLabels,
		JobTemplateAnnotations: a.jobTemplate, JobTemplateLabels: a.jobTemplateLabels,
	}
	switch {
	case a.source != nil:
		o.At, o.Annotations = annotation.AtSource, a.source
	case a.namespace != nil:
		o.At, o.Annotations = annotation.AtNamespace, a.namespace
	}
	return o
}

func TestKeysThatDoNothing(t *testing.T) {
	t.Parallel()
	const reloader, none = "reloader.stakater.com/", "is no key of inpod or Reloader"
	for name, tc := range map[string]struct {
		on   at
		want []string
	}{
		"the plural of a key": {
			at{workload: selectors{"secrets.reloader.stakater.com/reload": "db"}},
			[]string{"annotation secrets.reloader.stakater.com/reload: " + none + "; did you mean secret.reloader.stakater.com/reload?"},
		},
		"enabled": {
			at{workload: selectors{reloader + "enabled": "true"}}, []string{"annotation reloader.stakater.com/enabled: " + none + "; did you mean reloader.stakater.com/auto?"},
		},
		"a key that never was": {
			at{workload: selectors{reloader + "triggerRollout": "true"}},
			[]string{"annotation reloader.stakater.com/triggerRollout: " + none + "; did you mean reloader.stakater.com/auto?"},
		},
		"a key that nobody can guess": {
			at{workload: selectors{reloader + "xyzzy": "true"}}, []string{"annotation reloader.stakater.com/xyzzy: " + none + "; docs/annotations.md lists all"},
		},
		"a key in other letters": {
			at{workload: selectors{reloader + "Auto": "true"}}, []string{"annotation reloader.stakater.com/Auto: " + none + "; did you mean reloader.stakater.com/auto?"},
		},
		"a misspelled key of inpod": {
			at{workload: selectors{"inpod.dev/setle": "30s"}}, []string{"annotation inpod.dev/setle: " + none + "; did you mean inpod.dev/settle?"},
		},
		"a misspelled key of inpod on the template": {
			at{template: selectors{"inpod.dev/pre-set": "nginx"}}, []string{"annotation inpod.dev/pre-set on the pod template: " + none + "; did you mean inpod.dev/preset? Pods that carry it get no sidecar"},
		},
		"the name of a key in the other domain": {
			at{workload: selectors{"inpod.dev/auto": "true", reloader + "window": "x"}},
			[]string{
				"annotation inpod.dev/auto: " + none + "; did you mean reloader.stakater.com/auto?",
				"annotation reloader.stakater.com/window: " + none + "; did you mean inpod.dev/window?",
			},
		},
		"an exclude list in the singular": {
			at{workload: selectors{"configmap.exclude.reloader.stakater.com/reload": "a"}},
			[]string{"annotation configmap.exclude.reloader.stakater.com/reload: " + none + "; did you mean configmaps.exclude.reloader.stakater.com/reload?"},
		},
		"a misspelled domain": {
			at{workload: selectors{"reloader.stakter.com/auto": "true"}}, []string{"annotation reloader.stakter.com/auto: " + none + "; did you mean reloader.stakater.com/auto?"},
		},
		"the key of a source on a workload": {
			at{workload: selectors{match: "true"}},
			[]string{"annotation reloader.stakater.com/match: has no effect on the workload: it counts on the ConfigMap, Secret or SecretProviderClass"},
		},
		"the key of a workload on a source": {
			at{source: selectors{auto: "true"}},
			[]string{"annotation reloader.stakater.com/auto: has no effect on the ConfigMap, Secret or SecretProviderClass: it counts on the workload or the pod template"},
		},
		"the key of a template on a workload": {
			at{workload: selectors{"inpod.dev/inject": "enabled"}},
			[]string{"annotation inpod.dev/inject: has no effect on the workload: it counts on the pod template or the namespace, as a label"},
		},
		"the key of a template on both": {
			at{workload: selectors{"inpod.dev/inject": "enabled"}, template: selectors{"inpod.dev/inject": "enabled"}}, nil,
		},
		"the key of a workload on a namespace": {
			at{namespace: selectors{auto: "true"}},
			[]string{"annotation reloader.stakater.com/auto: has no effect on the namespace: it counts on the workload or the pod template"},
		},
		"the label of a namespace as an annotation": {
			at{namespace: selectors{"inpod.dev/inject": "enabled"}},
			[]string{"annotation inpod.dev/inject: has no effect on the namespace: it counts on the pod template or the namespace, as a label"},
		},
		"a key as a label of the workload and of its pods": {
			at{labels: selectors{auto: "true"}, templateLabels: selectors{auto: "true"}},
			[]string{"label reloader.stakater.com/auto: has no effect as a label: it counts as an annotation of the workload or the pod template"},
		},
		"a key as a label of the pods": {
			at{templateLabels: selectors{"inpod.dev/inject": "enabled"}},
			[]string{"label inpod.dev/inject on the pod template: has no effect as a label here: it counts as an annotation of the pod template, and as a label of a namespace"},
		},
		"a key as a label of a source": {
			at{source: selectors{}, labels: selectors{match: "true"}},
			[]string{"label reloader.stakater.com/match: has no effect as a label: it counts as an annotation of the ConfigMap, Secret or SecretProviderClass"},
		},
		"a key as a label beside the annotation": {at{workload: selectors{auto: "true"}, labels: selectors{auto: "true"}}, nil},
		"keys on the template of the Jobs of a CronJob": {
			at{jobTemplate: selectors{auto: "true", namedCM: "web", "inpod.dev/inject": "enabled", "example.com/x": "y"}},
			[]string{"annotation configmap.reloader.stakater.com/reload on the job template: has no effect there: it counts on the workload or the pod template, spec.jobTemplate.spec.template" +
				"; the same goes for 2 more keys there"},
		},
		"a key on the template of the Jobs that the template of the pods needs": {
			at{jobTemplate: selectors{"inpod.dev/inject": "enabled"}},
			[]string{"annotation inpod.dev/inject on the job template: has no effect there: it counts on the pod template, spec.jobTemplate.spec.template"},
		},
		"a misspelled key on the template of the Jobs": {
			at{jobTemplate: selectors{"inpod.dev/setle": "30s"}}, []string{"annotation inpod.dev/setle on the job template: " + none + "; did you mean inpod.dev/settle?"},
		},
		"a key on the template of the Jobs and on the CronJob": {at{workload: selectors{auto: "true"}, jobTemplate: selectors{auto: "true"}}, nil},
		"a label on the template of the Jobs": {
			at{jobTemplateLabels: selectors{auto: "true"}},
			[]string{"label reloader.stakater.com/auto on the job template: has no effect there: it counts on the workload or the pod template, spec.jobTemplate.spec.template, as an annotation"},
		},
		"the label of a namespace": {at{namespace: selectors{}, labels: selectors{"inpod.dev/inject": "enabled"}}, nil},
		"the label of a namespace with another value": {
			at{namespace: selectors{}, labels: selectors{"inpod.dev/inject": "yes"}}, []string{`label inpod.dev/inject: "yes" is not allowed; use "enabled" or "disabled"`},
		},
		"values of a source that do not count": {
			at{source: selectors{match: "True", ignore: "yes"}},
			[]string{
				`annotation reloader.stakater.com/match: "True" counts as false; only "true" switches it on`,
				`annotation reloader.stakater.com/ignore: "yes" counts as false; only "true" switches it on`,
			},
		},
		"values of a source that count": {at{source: selectors{match: "true", ignore: "false"}}, nil},
		"a list of the template that the workload hides": {
			at{workload: selectors{search: "true"}, template: selectors{namedCM: "web"}},
			[]string{"annotation configmap.reloader.stakater.com/reload on the pod template: is not read, since the workload itself has reloader.stakater.com/search: move it there"},
		},
		"a list of the template that the workload does not hide": {at{workload: selectors{namedSecret: "db"}, template: selectors{namedCM: "web"}}, nil},
		"the same on both":        {at{workload: selectors{auto: "true", search: "true"}, template: selectors{auto: "true", search: "true"}}, nil},
		"defaults of a namespace": {at{namespace: selectors{"inpod.dev/preset": "nginx", "inpod.dev/window": "Mon 1:00-2:00"}}, nil},
		"what inpod writes": {
			at{workload: selectors{annotation.Baseline: "{}", annotation.Notified: "x"}, template: selectors{annotation.LastReloadedFrom: "{}", annotation.InjectionRecord: "{}"}}, nil,
		},
		"what Reloader labels": {at{source: selectors{}, labels: selectors{"reloader.stakater.com/meta-info": "reloader"}}, nil},
		"keys of others": {
			at{workload: selectors{
				"forecastle.stakater.com/expose": "true", "config.xposer.stakater.com/Domain": "x", "kubectl.kubernetes.io/last-applied-configuration": "{}",
				"example.com/auto": "x", "auto": "true", "reloader": "true", "configreloader.example.com/auto": "true", "inpod.dev.example.com/settle": "x", "bench.inpod.dev/run": "1",
			}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range annotation.NewChecker(annotation.DefaultKeys()).Check(tc.on.object()) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Where the settings have other keys, Reloader's own may be read by somebody else.
func TestKeysThatTheSettingsReplace(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	keys.Auto, keys.Match = "example.com/roll", "example.com/match"
	checker := annotation.NewChecker(keys, "reloader.stakater.com/follow")
	for name, tc := range map[string]struct {
		on   at
		want []string
	}{
		"the key of another installation": {at{workload: selectors{auto: "true"}}, nil},
		"an own key in the wrong place": {
			at{workload: selectors{"example.com/match": "true"}},
			[]string{"annotation example.com/match: has no effect on the workload: it counts on the ConfigMap, Secret or SecretProviderClass"},
		},
		"a misspelling of the key of another installation": {
			at{workload: selectors{"reloader.stakater.com/atuo": "true", "reloader.stakater.com/enabled": "true", "reloader.stakater.com/xyzzy": "true"}}, nil,
		},
		"a misspelling of a key that is read": {
			at{workload: selectors{"secrets.reloader.stakater.com/reload": "db"}},
			[]string{"annotation secrets.reloader.stakater.com/reload: is no key of inpod or Reloader; did you mean secret.reloader.stakater.com/reload?"},
		},
		"a misspelled key of inpod": {
			at{workload: selectors{"inpod.dev/xyzzy": "true"}}, []string{"annotation inpod.dev/xyzzy: is no key of inpod or Reloader; docs/annotations.md lists all"},
		},
		"another key of that domain":  {at{workload: selectors{"example.com/rolls": "true"}}, nil},
		"a label that selects":        {at{source: selectors{}, labels: selectors{"reloader.stakater.com/follow": "yes"}}, nil},
		"a value that does not count": {at{source: selectors{"example.com/match": "True"}}, []string{`annotation example.com/match: "True" counts as false; only "true" switches it on`}},
	} {
		var got []string
		for _, p := range checker.Check(tc.on.object()) {
			got = append(got, p.String())
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNoObjectIsCommentedOnWithoutEnd(t *testing.T) {
	t.Parallel()
	many := selectors{}
	for i := range 1000 {
		many[fmt.Sprintf("reloader.stakater.com/x%d", i)] = "true"
	}
	got := annotation.NewChecker(annotation.DefaultKeys()).Check(at{workload: many}.object())
	if len(got) != 8 {
		t.Fatalf("%d problems", len(got))
	}
	if want := "is no key of inpod or Reloader; docs/annotations.md lists all (and there are more mistakes)"; got[7].Fault != want {
		t.Errorf("the last one: %s", got[7].Fault)
	}
}

// What the controller and the injector read is in the one table, and only once.
func TestTheTableHasEveryKey(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	seen := map[string]bool{}
	for _, key := range keys.Table() {
		if seen[key.Name] || key.Name == "" || key.At == 0 || key.Value == "" || key.Meaning == "" && key.Page == "" {
			t.Errorf("%+v", key)
		}
		seen[key.Name] = true
		if key.At&annotation.AtWorkload != 0 && !keys.OnWorkload(key.Name) && key.Name != annotation.Placeholder {
			t.Errorf("%s is not kept of a workload", key.Name)
		}
	}
	for _, key := range append(annotation.InjectionKeys(), annotation.InjectKey) {
		if !seen[key] {
			t.Errorf("%s is not in the table", key)
		}
	}
}

// A key that comes is commented on as a mistake unless it is in the table.
func TestTheTableHasEveryKeyOfThisPackage(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checker := annotation.NewChecker(annotation.DefaultKeys())
	count := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, found := range regexp.MustCompile(`(?:Domain \+ "|")((?:inpod\.dev/)?[a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			name, isKey := strings.CutPrefix(found[1], annotation.Domain)
			if !isKey && !strings.HasPrefix(found[0], "Domain") {
				continue
			}
			count++
			for _, p := range checker.Check(at{template: selectors{annotation.Domain + name: "x"}}.object()) {
				if strings.Contains(p.Fault, "is no key") {
					t.Errorf("%s: %s", file, p)
				}
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d keys were found", count)
	}
}
