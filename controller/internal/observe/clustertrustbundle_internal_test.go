package observe

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/anchors"
	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// issuer is an API server that may serve ClusterTrustBundles, in one version.
type issuer struct {
	*dynamicfake.FakeDynamicClient

	version atomic.Pointer[string]
	written int
	log     bytes.Buffer // read it when nothing runs
}

func bundlesIn(version string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "certificates.k8s.io", Version: version, Resource: "clustertrustbundles"}
}

// with lets an observer watch bundles, which are served in a version; "" for none.
func (a *issuer) with(version string, objects ...runtime.Object) func(*Options) {
	a.serve(version)
	kinds := map[schema.GroupVersionResource]string{}
	for _, v := range []string{"v1", "v1beta1", "v1alpha1"} {
		kinds[bundlesIn(v)] = "ClusterTrustBundleList"
	}
	a.FakeDynamicClient = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)
	return func(o *Options) {
		api, _ := o.Client.(*fake.Clientset)
		api.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			served, bundles := *a.version.Load(), metav1.APIResource{Name: "clustertrustbundles", Kind: "ClusterTrustBundle", Verbs: []string{"list", "watch"}}
			api.Resources = nil
			for _, v := range []string{"v1", "v1beta1"} {
				list := &metav1.APIResourceList{GroupVersion: "certificates.k8s.io/" + v, APIResources: []metav1.APIResource{{Name: "certificatesigningrequests"}}}
				if v == served {
					list.APIResources = append(list.APIResources, bundles)
				}
				api.Resources = append(api.Resources, list)
			}
			if served == "v1alpha1" {
				api.Resources = append(api.Resources, &metav1.APIResourceList{GroupVersion: "certificates.k8s.io/v1alpha1", APIResources: []metav1.APIResource{bundles}})
			}
			return false, nil, nil
		})
		o.Dynamic, o.Log = a, slog.New(slog.NewTextHandler(&a.log, nil))
		o.Sources = append(o.Sources, source.ClusterTrustBundle)
	}
}

func (a *issuer) serve(version string) { a.version.Store(&version) }

// bundle is a bundle of a signer, "" for none, with certificates.
func (a *issuer) bundle(version, name, signer string, labels map[string]string, certificates ...string) *unstructured.Unstructured {
	var text strings.Builder
	for _, c := range certificates {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(c)}))
	}
	a.written++
	u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"trustBundle": text.String()}}}
	if signer != "" {
		_ = unstructured.SetNestedField(u.Object, signer, "spec", "signerName")
	}
	u.SetAPIVersion("certificates.k8s.io/" + version)
	u.SetKind("ClusterTrustBundle")
	u.SetName(name)
	u.SetUID("uid-of-" + "bundle")
	u.SetLabels(labels)
	u.SetResourceVersion(strconv.Itoa(a.written))
	return u
}

func mountsBundle(p corev1.ClusterTrustBundleProjection) obj.Part {
	p.Path = "ca.crt"
	return obj.VolumeMount(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ClusterTrustBundle: &p}}}}, corev1.VolumeMount{})
}

func named(name string) obj.Part {
	return mountsBundle(corev1.ClusterTrustBundleProjection{Name: &name})
}

func signedFor(labels map[string]string) obj.Part {
	return mountsBundle(corev1.ClusterTrustBundleProjection{SignerName: new("example.com/s"), LabelSelector: &metav1.LabelSelector{MatchLabels: labels}})
}

func inNamespace(object metav1.Object, namespace string) runtime.Object {
	object.SetNamespace(namespace)
	o, _ := object.(runtime.Object)
	return o
}

func TestBundlesConcernWorkloadsOfAllNamespaces(t *testing.T) {
	t.Parallel()
	prod := map[string]string{"env": "prod"}
	for _, version := range []string{"v1", "v1beta1", "v1alpha1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var a issuer
				var hurried []string
				l := open(t, objects(
					obj.Deployment("web", named("roots")), inNamespace(obj.Deployment("far", named("roots")), "other"),
					obj.Deployment("prod", signedFor(prod)), obj.Deployment("all", signedFor(nil)),
					obj.Deployment("lists", obj.Annotation("clustertrustbundle.reloader.stakater.com/reload", "example.com:s:.*")), obj.Deployment("none"),
				), a.with(version, a.bundle(version, "roots", "", nil, "a")), func(o *Options) {
					o.NudgeNow = func(key workload.Key, ref source.Ref) { hurried = append(hurried, key.Name+" "+ref.Name) }
				})
				put := func(u *unstructured.Unstructured, create bool) {
					t.Helper()
					err := a.Tracker().Update(bundlesIn(version), u, "")
					if create {
						err = a.Tracker().Create(bundlesIn(version), u, "")
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				heard := func(what string, want ...string) {
					t.Helper()
					if diff := cmp.Diff(want, l.heard()); diff != "" {
						t.Errorf("%s: notified (-want +got):\n%s", what, diff)
					}
				}
				heard("at the start")
				put(a.bundle(version, "roots", "", nil, "b", "a"), false)
				heard("one more anchor", "SourceChanged Deployment/far", "SourceChanged Deployment/web")
				put(a.bundle(version, "roots", "", map[string]string{"x": "y"}, "a", "b"), false)
				heard("another order, and a label that nobody selects by", "SourceChanged Deployment/far", "SourceChanged Deployment/web")
				put(a.bundle(version, "roots", "", map[string]string{"x": "y"}, "b", "a", "a"), false)
				heard("another order alone")

				put(a.bundle(version, "example.com:s:1", "example.com/s", nil, "c"), true)
				heard("a bundle of the signer", "SourceChanged Deployment/all", "SourceChanged Deployment/lists")
				put(a.bundle(version, "example.com:s:1", "example.com/s", prod, "c"), false)
				heard("a label that selects it", "SourceChanged Deployment/all", "SourceChanged Deployment/lists", "SourceChanged Deployment/prod")
				put(a.bundle(version, "other.com:s:1", "other.com/s", prod, "c"), true)
				heard("a bundle of another signer")

				selection := source.Ref{Kind: source.ClusterTrustBundle, Name: "example.com/s[env=prod]"}
				if s := l.Source(selection); s == nil || s.Changed != (source.Moment{}) {
					t.Errorf("the selection is %+v, want content of an unknown time", s)
				}
				if s := l.Source(source.ClusterTrustBundle.Ref("", "roots")); s == nil || !s.Edited || s.Changed.Version == 0 {
					t.Errorf("the bundle is %+v, want it to be edited", s)
				}
				if err := a.Tracker().Delete(bundlesIn(version), "", "example.com:s:1"); err != nil {
					t.Fatal(err)
				}
				heard("its end", "SourceChanged Deployment/all", "SourceChanged Deployment/lists", "SourceChanged Deployment/prod")
				if s := l.Source(selection); s != nil {
					t.Errorf("an empty selection is %+v, want none", s)
				}
				var names []string
				for _, ref := range l.Sources(source.ClusterTrustBundle, "anywhere") {
					names = append(names, ref.Name)
				}
				if diff := cmp.Diff([]string{"other.com:s:1", "roots"}, names); diff != "" {
					t.Errorf("bundles (-want +got):\n%s", diff)
				}
				if l.Unseen(source.ClusterTrustBundle) || l.Unseen(source.ConfigMap) || l.Kept()["ClusterTrustBundle"] != 2 {
					t.Errorf("unseen %v, kept %v", l.Unseen(source.ClusterTrustBundle), l.Kept())
				}
				if !strings.Contains(strings.Join(hurried, ","), "all example.com/s,") {
					t.Errorf("hurried %v", hurried)
				}
			})
		})
	}
}

func TestSourceAnnotationsOfBundles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a issuer
		ignored, matching := a.bundle("v1", "i", "example.com/s", nil, "a"), a.bundle("v1", "m", "example.com/s", map[string]string{"env": "prod"}, "b")
		ignored.SetAnnotations(map[string]string{ignore: "true"})
		matching.SetAnnotations(map[string]string{annotation.DefaultKeys().Match: "true"})
		l := open(t, nil, a.with("v1", ignored, matching))
		for name, want := range map[string][2]bool{ // ignore and match
			"i": {true, false}, "m": {false, true}, "example.com/s": {false, true}, "example.com/s[env!=prod]": {true, false},
		} {
			s := l.Source(source.ClusterTrustBundle.Ref("", name))
			if s == nil || [2]bool{s.Ignore, s.Match} != want {
				t.Errorf("%s is %+v, want %v", name, s, want)
			}
		}
	})
}

// The kubelet writes all bundles of a selection, also those that the setting hides.
func TestASelectionOfBundlesIsWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a issuer
		yes := map[string]string{"follow": "yes", "env": "prod"}
		l := open(t, objects(obj.Deployment("all", signedFor(nil)), obj.Deployment("web", named("plain"))), a.with("v1",
			a.bundle("v1", "example.com:s:1", "example.com/s", yes, "a"), a.bundle("v1", "example.com:s:2", "example.com/s", nil, "b"),
			a.bundle("v1", "plain", "", nil, "c")), func(o *Options) { o.SourceSelector = "follow=yes" })
		ref := func(name string) source.Ref { return source.ClusterTrustBundle.Ref("", name) }
		digest := func(names ...string) map[string]source.Entry {
			var sets []anchors.Set
			for _, name := range names {
				sets = append(sets, anchors.Of(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(name)})))
			}
			return source.OfTrustBundles(ref("x"), sets...).Keys
		}
		for name, want := range map[string]map[string]source.Entry{
			"example.com/s":            digest("a", "b"),
			"example.com/s[env=prod]":  digest("a"),
			"example.com/s[env!=prod]": nil, // nobody follows any of them
			"example.com:s:1":          digest("a"),
			"example.com:s:2":          nil,
		} {
			var got map[string]source.Entry
			if s := l.Source(ref(name)); s != nil {
				got = s.Keys
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff([]source.Ref{ref("example.com:s:1")}, l.Sources(source.ClusterTrustBundle, "")); diff != "" {
			t.Errorf("bundles that may be named (-want +got):\n%s", diff)
		}
		for _, u := range []*unstructured.Unstructured{
			a.bundle("v1", "example.com:s:2", "example.com/s", nil, "d"), a.bundle("v1", "plain", "", nil, "e"),
		} {
			if err := a.Tracker().Update(bundlesIn("v1"), u, ""); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"SourceChanged Deployment/all"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		if err := a.Tracker().Update(bundlesIn("v1"), a.bundle("v1", "plain", "", yes, "e"), ""); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web"}, l.heard()); diff != "" || l.Source(ref("plain")) == nil {
			t.Errorf("with the label %v, notified (-want +got):\n%s", l.Source(ref("plain")), diff)
		}
	})
}

func TestBundlesConcernPodsOfAnUnknownWorkload(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		uses   obj.Part
		narrow func(*Options)
	}{
		"by name":                               {uses: named("example.com:s:1")},
		"by signer":                             {uses: signedFor(nil)},
		"by signer and labels":                  {uses: signedFor(map[string]string{"env": "prod"})},
		"by name, in a selected namespace":      {uses: named("example.com:s:1"), narrow: chosen},
		"by signer, in a selected namespace":    {uses: signedFor(nil), narrow: chosen},
		"by name, where namespaces were listed": {uses: named("example.com:s:1"), narrow: func(o *Options) { o.Namespaces = []string{obj.Namespace} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var a issuer
				prod := map[string]string{"env": "prod"}
				pod := obj.Pod("alone", obj.Label(annotation.InjectedLabel, "true"), obj.Container("app"), obj.Sidecar(SidecarName), tc.uses)
				l := open(t, objects(pod, namespaceOf(obj.Namespace, map[string]string{"follow": "yes"})),
					a.with("v1", a.bundle("v1", "example.com:s:1", "example.com/s", prod, "a")), func(o *Options) {
						if tc.narrow != nil {
							tc.narrow(o)
						}
					})
				l.heard()
				if err := a.Tracker().Update(bundlesIn("v1"), a.bundle("v1", "example.com:s:1", "example.com/s", prod, "b"), ""); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"SourceChanged Pod/alone"}, l.heard()); diff != "" {
					t.Errorf("notified (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A server without bundles is no error and holds up nothing; one that is upgraded is followed in its new version.
func TestBundlesAreFollowedOnceTheyAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var a issuer
		l := open(t, objects(obj.Deployment("web", named("roots"))), a.with("", a.bundle("v1beta1", "roots", "", nil, "a")))
		if !l.Unseen(source.ClusterTrustBundle) || !l.HasSynced() {
			t.Error("the others wait for it, or it counts as seen")
		}
		a.serve("v1beta1")
		time.Sleep(2 * servedPoll)
		if diff := cmp.Diff([]string{"SourceChanged Deployment/web"}, l.heard()); diff != "" {
			t.Errorf("notified (-want +got):\n%s", diff)
		}
		if l.Unseen(source.ClusterTrustBundle) {
			t.Error("it counts as unseen")
		}
		gone := func(action clienttesting.Action) (bool, runtime.Object, error) {
			return action.GetResource().Version == "v1beta1", nil, apierrors.NewNotFound(schema.GroupResource{}, "")
		}
		a.PrependReactor("list", "clustertrustbundles", gone)
		if err := a.Tracker().Create(bundlesIn("v1"), a.bundle("v1", "roots", "", nil, "b"), ""); err != nil {
			t.Fatal(err)
		}
		a.serve("v1")
		k := l.bundles.of
		list, err := bundleAPI{l.Observer, k}.List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 || k.resource().Version != "v1" {
			t.Errorf("listed in %s: %v, %v", k.resource().Version, list, err)
		}
		l.stop()
		if text := a.log.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") || !strings.Contains(text, "clustertrustbundles") {
			t.Errorf("log:\n%s", text)
		}
	})
}

// A sidecar that does not know that the order of anchors counts for nothing cannot confirm them.
func TestABundleIsWatchedBySidecarsThatKnowIt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args                   []string
		wantMounts, wantBeyond bool
	}{
		"one that does":     {args: []string{"--watch=/mnt/0", "--trust-bundle=/mnt/0/ca.crt"}, wantMounts: true},
		"one that does not": {args: []string{"--watch=/mnt/0"}, wantBeyond: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := owned("web-1", "ReplicaSet", "web-6d4cf56db6", named("roots"), obj.Container("inpod"))
			pod.Spec.Containers[1].VolumeMounts, pod.Spec.Containers[1].Args = pod.Spec.Containers[0].VolumeMounts, tc.args
			o := &Observer{options: Options{Kinds: workload.Kinds()}}
			reduced, err := o.reducePod(pod)
			item, ok := reduced.(*podItem)
			if err != nil || !ok {
				t.Fatalf("%T, %v", reduced, err)
			}
			if got := len(item.Mounts) == 1 && item.Mounts[0].Ref.Name == "roots"; got != tc.wantMounts {
				t.Errorf("mounts %+v", item.Mounts)
			}
			if got := len(item.Beyond) == 1; got != tc.wantBeyond {
				t.Errorf("beyond %+v", item.Beyond)
			}
		})
	}
}
