package source_test

import (
	"encoding/pem"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"inpod.dev/inpod/internal/anchors"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func anchorsOf(certificates ...string) anchors.Set {
	var text []byte
	for _, c := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(c)})...)
	}
	return anchors.Of(text)
}

func bundleRef(name string) source.Ref {
	return source.Ref{Kind: source.ClusterTrustBundle, Name: name}
}

// bundles is a projected volume of such sources, beside a ConfigMap with all keys.
func bundles(sources ...corev1.ClusterTrustBundleProjection) corev1.VolumeSource {
	p := &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "app"}}},
	}}
	for i := range sources {
		p.Sources = append(p.Sources, corev1.VolumeProjection{ClusterTrustBundle: &sources[i]})
	}
	return corev1.VolumeSource{Projected: p}
}

func TestUsagesOfBundles(t *testing.T) {
	t.Parallel()
	in := func(values ...string) []metav1.LabelSelectorRequirement {
		return []metav1.LabelSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpIn, Values: values}}
	}
	type bundle = corev1.ClusterTrustBundleProjection
	for name, tc := range map[string]struct {
		bundle  bundle
		subPath string
		want    string // the name, "" for no usage
		wantVia source.Via
	}{
		"by name":                      {bundle: bundle{Name: new("example.com:s:roots")}, want: "example.com:s:roots", wantVia: source.ViaProjected},
		"by signer alone":              {bundle: bundle{SignerName: new("example.com/s"), LabelSelector: &metav1.LabelSelector{}}, want: "example.com/s", wantVia: source.ViaProjected},
		"by signer without a selector": {bundle: bundle{SignerName: new("example.com/s")}},
		"by signer and labels": {
			bundle: bundle{SignerName: new("example.com/s"), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"b": "2", "a": "1"}}},
			want:   "example.com/s[a=1,b=2]", wantVia: source.ViaProjected,
		},
		"by signer and expressions": {
			bundle: bundle{SignerName: new("example.com/s"), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"env": "b"}, MatchExpressions: in("c", "b")}},
			want:   "example.com/s[env in (b,c),env=b]", wantVia: source.ViaProjected,
		},
		"by subPath":                   {bundle: bundle{Name: new("roots")}, subPath: "ca.crt", want: "roots", wantVia: source.ViaSubPath},
		"by a subPath that leads past": {bundle: bundle{Name: new("roots")}, subPath: "app.conf"},
		"by an empty name":             {bundle: bundle{Name: new("")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.bundle.Path = "ca.crt"
			spec := obj.Spec(obj.VolumeMount(bundles(tc.bundle), corev1.VolumeMount{SubPath: tc.subPath}))
			var got, via []string
			for range 5 { // the API has labels in a map
				got, via = nil, nil
				for _, u := range source.Usages(obj.Namespace, spec) {
					if u.Ref.Kind == source.ClusterTrustBundle {
						got, via = append(got, u.Ref.String()), append(via, string(u.Via))
						if diff := cmp.Diff([]string{"trustBundle"}, u.Keys); diff != "" {
							t.Errorf("keys (-want +got):\n%s", diff)
						}
					}
				}
				var want, wantVia []string
				if tc.want != "" {
					want, wantVia = []string{"ClusterTrustBundle " + tc.want}, []string{string(tc.wantVia)}
				}
				if diff := cmp.Diff([][]string{want, wantVia}, [][]string{got, via}); diff != "" {
					t.Fatalf("usages (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestASelectionIsReadFromItsReference(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		ref        source.Ref
		wantSigner string
		matches    labels.Set
		wantMatch  bool
		wantOK     bool
	}{
		"labels that match":     {bundleRef("example.com/s[a=1,b in (2,3)]"), "example.com/s", labels.Set{"a": "1", "b": "3"}, true, true},
		"labels that do not":    {bundleRef("example.com/s[a=1]"), "example.com/s", labels.Set{"a": "2"}, false, true},
		"every bundle of it":    {bundleRef("example.com/s"), "example.com/s", nil, true, true},
		"an object":             {bundleRef("example.com:s:roots"), "", nil, false, false},
		"a ConfigMap":           {source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: "a/b"}, "", nil, false, false},
		"what nobody has named": {bundleRef("example.com/s[((]"), "example.com/s", labels.Set{"a": "1"}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, ok := tc.ref.Selection()
			if ok != tc.wantOK || s.Signer != tc.wantSigner || ok && s.Labels.Matches(tc.matches) != tc.wantMatch {
				t.Errorf("%+v, %v", s, ok)
			}
			if ok && tc.wantMatch && s.Ref() != tc.ref {
				t.Errorf("its reference is %s, want %s", s.Ref(), tc.ref)
			}
		})
	}
}

func TestASnapshotOfBundlesIsOfTheirAnchorsTogether(t *testing.T) {
	t.Parallel()
	ref := bundleRef("example.com/s")
	together := source.OfTrustBundles(ref, anchorsOf("a", "b"), anchorsOf("b", "c"))
	if diff := cmp.Diff(source.OfTrustBundles(ref, anchorsOf("c", "b", "a")), together); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if cmp.Equal(source.OfTrustBundles(ref, anchorsOf("a")), together) {
		t.Error("fewer anchors are no change")
	}
	if got := source.OfTrustBundles(ref).Keys["trustBundle"].Digest; got != source.NoAnchors() {
		t.Errorf("no anchors: %x, want %x", got, source.NoAnchors())
	}
}

// The file of a bundle is there even where it is optional and nobody has made it, so that it hides a key with its path.
func TestABundleHidesTheKeyWithItsPath(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	spec := obj.Spec(obj.VolumeMount(bundles(corev1.ClusterTrustBundleProjection{Name: new("roots"), Path: "ca.crt", Optional: new(true)}), corev1.VolumeMount{}))
	scopes := source.GroupUsages(source.Usages(obj.Namespace, spec))
	uses := func(bundle *source.Snapshot, unseen bool, text string) []source.SourceState {
		var uses []source.SourceState
		for _, scope := range scopes {
			use := source.SourceState{Usages: scope, Snapshot: bundle, Unseen: unseen}
			if scope.Ref.Kind == source.ConfigMap {
				use = source.SourceState{Usages: scope, Snapshot: of(obj.ConfigMap("app", "ca.crt", text))}
			}
			uses = append(uses, use)
		}
		return uses
	}
	snapshot := source.OfTrustBundles(bundleRef("roots"), anchorsOf("a"))
	for name, tc := range map[string]struct {
		bundle *source.Snapshot
		unseen bool
	}{
		"one that is there": {bundle: &snapshot}, "one that is not": {}, "one that nobody looks at": {unseen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := uses(tc.bundle, tc.unseen, "1"), uses(tc.bundle, tc.unseen, "2")
			records := map[source.Ref]source.Record{}
			for _, use := range before {
				if !use.Unseen {
					records[use.Usages.Ref] = digester.Record(use)
				}
			}
			shadow := digester.Shadowing(after, records)
			for _, use := range after {
				if use.Unseen {
					continue
				}
				if diff := shadow.Diff(use, records[use.Usages.Ref]); len(diff.Changes) > 0 {
					t.Errorf("%s: %+v, although a bundle hides it", use.Usages.Ref, diff)
				}
			}
		})
	}
}
