package decide_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

func TestWanted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		parts    []obj.Part
		baseline []source.Ref
		want     []string
		asked    []source.Kind // for which kinds the namespace is listed
	}{
		"nothing": {},
		"what the template references, whether it is followed or not": {
			parts: []obj.Part{obj.Mount(obj.CM("b")), obj.Env(obj.Sec("a"), "k"), obj.EnvFrom(obj.CM("b"))},
			want:  []string{"ConfigMap b: Volume EnvFrom", "Secret a: Env"},
		},
		"what a list names, also if it does not exist": {
			parts: []obj.Part{obj.Annotation(namedCM, "x,a"), obj.Mount(obj.CM("b"))},
			want:  []string{"ConfigMap a: Named", "ConfigMap b: Volume", "ConfigMap x: Named"},
		},
		"a name says nothing new of what the template references": {
			parts: []obj.Part{obj.Annotation(namedCM, "b"), obj.Mount(obj.CM("b"))}, want: []string{"ConfigMap b: Volume"},
		},
		"a pattern asks what there is": {
			parts: []obj.Part{obj.Annotation(namedCM, "a[0-9]"), obj.Mount(obj.CM("a1"))}, asked: []source.Kind{source.ConfigMap},
			want: []string{"ConfigMap a1: Volume", "ConfigMap a2: Named"},
		},
		"a name with a dot is one, and a pattern": {
			parts: []obj.Part{obj.Annotation(namedCM, "a.")}, asked: []source.Kind{source.ConfigMap}, want: []string{"ConfigMap a1: Named", "ConfigMap a2: Named"},
		},
		"lists of two kinds": {
			parts: []obj.Part{obj.Annotation(namedCM, "a1"), obj.Annotation("secret.reloader.stakater.com/reload", "a.*")}, asked: []source.Kind{source.Secret},
			want: []string{"ConfigMap a1: Named", "Secret a1: Named"},
		},
		"what was named when the baseline was written, and is gone": {
			parts: []obj.Part{obj.Annotation(namedCM, "a.*")}, baseline: []source.Ref{cmRef("a9"), cmRef("b"), secRef("a9")}, asked: []source.Kind{source.ConfigMap},
			want: []string{"ConfigMap a1: Named", "ConfigMap a2: Named", "ConfigMap a9: Named"},
		},
		"named in three places": {
			parts: []obj.Part{obj.Annotation(namedCM, "a1,a.*")}, baseline: []source.Ref{cmRef("a1")}, asked: []source.Kind{source.ConfigMap},
			want: []string{"ConfigMap a1: Named", "ConfigMap a2: Named"},
		},
		"what is excluded is not named": {parts: []obj.Part{obj.Annotation(namedCM, "a1"), obj.Annotation(excludeCM, "a1")}},
		"one that is opted out names nothing, and what it uses is wanted all the same": {
			parts: []obj.Part{obj.Annotation(namedCM, "a1"), obj.Annotation(ignore, "true"), obj.Mount(obj.CM("b"))}, want: []string{"ConfigMap b: Volume"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := annotation.DefaultKeys()
			kind, _ := workload.KindOf("Deployment")
			view, err := kind.View(obj.Deployment("web", tc.parts...), keys.OnWorkload)
			if err != nil {
				t.Fatal(err)
			}
			policy, _ := annotation.Read(keys, view.Annotations, view.TemplateAnnotations)
			baseline := source.Baseline{Records: map[source.Ref]source.Record{}}
			for _, ref := range tc.baseline {
				baseline.Records[ref] = source.Record{All: true}
			}
			var asked []source.Kind
			list := func(kind source.Kind) []source.Ref {
				asked = append(asked, kind)
				if kind == source.Secret {
					return []source.Ref{secRef("a1"), secRef("b1")}
				}
				return []source.Ref{cmRef("b"), cmRef("a2"), cmRef("a1")}
			}
			view.Usages = slices.Grow(view.Usages, 9) // so that an append to it would write into it
			scopes := decide.Wanted(view, policy, baseline, list)
			var got []string
			for _, scope := range scopes {
				line := []string{string(scope.Ref.Kind), scope.Ref.Name + ":"}
				for _, u := range scope.Usages {
					line = append(line, string(u.Via))
				}
				got = append(got, strings.Join(line, " "))
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.asked, asked, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
			for _, u := range view.Usages[len(view.Usages):cap(view.Usages)] {
				if u.Via != "" {
					t.Error("the view was modified")
				}
			}
		})
	}
}
