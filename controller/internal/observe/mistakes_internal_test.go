package observe

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/workload"
)

func texts(problems []annotation.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return all
}

func TestKeysOnWorkloadsThatDoNotCount(t *testing.T) {
	t.Parallel()
	labeled := obj.Deployment("labeled")
	labeled.Labels = map[string]string{"reloader.stakater.com/auto": "true", "team": "shop"}
	jobs := obj.CronJob("labeled")
	jobs.Spec.JobTemplate.Annotations = map[string]string{"reloader.stakater.com/auto": "true"}
	for name, tc := range map[string]struct {
		workload any
		want     []string
	}{
		"a misspelled annotation": {
			obj.Deployment("labeled", obj.Annotation("secrets.reloader.stakater.com/reload", "db")),
			[]string{"annotation secrets.reloader.stakater.com/reload: is no key of inpod or Reloader; did you mean secret.reloader.stakater.com/reload?"},
		},
		"a label": {
			labeled, []string{"label reloader.stakater.com/auto: has no effect as a label: it counts as an annotation of the workload or the pod template"},
		},
		"a misspelled annotation of the template": {
			obj.Deployment("labeled", obj.TemplateAnnotation("inpod.dev/presett", "nginx")),
			[]string{"annotation inpod.dev/presett on the pod template: is no key of inpod or Reloader; did you mean inpod.dev/preset? Pods that carry it get no sidecar"},
		},
		"a key that a CronJob gives its Jobs": {
			jobs, []string{"annotation reloader.stakater.com/auto on the job template: has no effect there: it counts on the workload or the pod template, spec.jobTemplate.spec.template"},
		},
		"a value": {
			obj.Deployment("labeled", obj.Annotation("configmap.reloader.stakater.com/reload", "shop-*")),
			[]string{`annotation configmap.reloader.stakater.com/reload: "shop-*" is read as a regular expression, in which * repeats what is before it; write "shop-.*"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kind := kindOf(t, "Deployment")
			if tc.workload == jobs {
				kind = workload.CronJob()
			}
			item, err := reduceWorkload(tc.workload, kind, annotation.NewChecker(annotation.DefaultKeys()), newLastSeen[*workloadItem]())
			if err != nil {
				t.Fatal(err)
			}
			got := item.(*workloadItem)
			if diff := cmp.Diff(tc.want, texts(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			if got.View.Labels != nil || got.TemplateLabels != nil || got.JobTemplateAnnotations != nil || len(got.TemplateAnnotations) > 0 {
				t.Errorf("kept in memory: %v %v %v", got.View.Labels, got.TemplateLabels, got.TemplateAnnotations)
			}
		})
	}
}

func TestALabelThatComesIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(obj.Deployment("web")))
		d := obj.Deployment("web")
		d.Labels = map[string]string{"team": "shop"}
		l.update(d)
		if diff := cmp.Diff([]string(nil), l.heard()); diff != "" {
			t.Errorf("a label of others (-want +got):\n%s", diff)
		}
		d = obj.Deployment("web")
		d.Labels = map[string]string{"reloader.stakater.com/auto": "true"}
		l.update(d)
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("a key as a label (-want +got):\n%s", diff)
		}
	})
}

func TestKeysOnSourcesAndNamespacesThatDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := atomic.Int32{}
		l := open(t, objects(
			saying("reloader.stakater.com/auto", "true", "inpod.dev/window", "Sun 02:00-03:00"),
			obj.Annotated(obj.Secret("db", "k", "1"), "reloader.stakater.com/match", "True"), obj.ConfigMap("fine", "k", "1"),
			obj.Annotated(obj.ConfigMap("web", "k", "1"), "reloader.stakater.com/auto", "true"),
			obj.Deployment("searches", obj.Annotation("reloader.stakater.com/search", "true"), obj.EnvFrom(obj.Sec("db"))),
			obj.Deployment("other", obj.Annotation("reloader.stakater.com/auto", "true"), obj.EnvFrom(obj.Sec("db"))),
		), withDefaults, func(o *Options) { o.Mistaken = func() { calls.Add(1) } })
		found := func() []string {
			synctest.Wait()
			var all []string
			for _, m := range l.Mistakes() {
				for _, text := range texts(m.Problems) {
					all = append(all, m.About.Kind+" "+m.About.Namespace+"/"+m.About.Name+": "+text)
				}
			}
			return all
		}
		want := []string{
			"ConfigMap shop/web: annotation reloader.stakater.com/auto: has no effect on the ConfigMap, Secret or SecretProviderClass: it counts on the workload or the pod template",
			"Namespace shop/shop: annotation reloader.stakater.com/auto: has no effect on the namespace: it counts on the workload or the pod template",
			`Secret shop/db: annotation reloader.stakater.com/match: "True" counts as false; only "true" switches it on`,
		}
		if diff := cmp.Diff(want, found()); diff != "" {
			t.Errorf("mistakes (-want +got):\n%s", diff)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("reported %d times for 3 objects", n)
		}
		w, _ := l.Workload(deployment("searches"))
		reported := []string{`annotation reloader.stakater.com/match: of Secret db, which the workload uses: "True" counts as false; only "true" switches it on`}
		if diff := cmp.Diff(reported, texts(w.Problems)); diff != "" {
			t.Errorf("on the workload that searches (-want +got):\n%s", diff)
		}
		if w, _ := l.Workload(deployment("other")); len(w.Problems) > 0 {
			t.Errorf("on a workload that does not search: %v", w.Problems)
		}

		l.update(obj.Annotated(obj.Secret("db", "k", "1"), "reloader.stakater.com/match", "yes"))
		if diff := cmp.Diff([]string{"WorkloadChanged Deployment/searches"}, l.heard()); diff != "" {
			t.Errorf("heard of another value (-want +got):\n%s", diff)
		}
		l.update(obj.Secret("db", "k", "1"))
		l.remove(obj.ConfigMap("web"))
		l.update(saying())
		if diff := cmp.Diff([]string(nil), found()); diff != "" {
			t.Errorf("mistakes that were corrected (-want +got):\n%s", diff)
		}
	})
}

func TestAReferenceToANamespaceIsOneThatEventsAccept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(saying("inpod.dev/wndow", "x")), withDefaults)
		want := []Mistake{{
			About:    corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Namespace: obj.Namespace, Name: obj.Namespace},
			Problems: []annotation.Problem{{Key: "inpod.dev/wndow", Value: "x", Unknown: true, Fault: "is no key of inpod or Reloader; did you mean inpod.dev/window?"}},
		}}
		got := l.Mistakes()
		for i := range got {
			got[i].About.UID = ""
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhereAKeyCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const auto, search, named = "reloader.stakater.com/auto", "reloader.stakater.com/search", "configmap.reloader.stakater.com/reload"
		other := obj.Deployment("other", obj.Annotation(named, "a"))
		other.Namespace = "elsewhere"
		l := open(t, objects(other, obj.Deployment("web", obj.Annotation(auto, "true")), obj.StatefulSet("db", obj.TemplateAnnotation(search, "true")),
			obj.Annotated(obj.ConfigMap("a", "k", "0"), annotation.DefaultKeys().Match, "true")))
		for key, want := range map[string]bool{auto: true, search: true, annotation.DefaultKeys().Match: true, named: false} {
			if l.Carries(obj.Namespace, key) != want {
				t.Errorf("%s: %t", key, !want)
			}
		}
	})
}
