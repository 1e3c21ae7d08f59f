package reloader_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/controller/internal/reloader"
)

func TestMetaInfo(t *testing.T) {
	t.Parallel()
	info := reloader.MetaInfo{
		Build:      reloader.BuildInfo{GoVersion: "go1.26", ReleaseVersion: "v1", CommitTime: "0001-01-01T00:00:00Z", Edition: "inpod"},
		Options:    reloader.Options{AutoReloadAll: true, NamespacesToIgnore: []string{"kube-system"}},
		Deployment: reloader.DeploymentInfo{Name: "inpod-controller", Namespace: "ops"},
	}
	want, err := info.ConfigMap()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		`{"goVersion":"go1.26","releaseVersion":"v1","commitHash":"","commitTime":"0001-01-01T00:00:00Z","edition":"inpod"}`,
		`{"name":"inpod-controller","namespace":"ops"}`,
	}, []string{want.Data["buildInfo"], want.Data["deploymentInfo"]}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	other := want.DeepCopy()
	other.Data["buildInfo"] = "{}"
	other.Labels = map[string]string{"team": "platform"}
	for name, tc := range map[string]struct {
		there  *corev1.ConfigMap
		labels map[string]string
		verbs  []string
	}{
		"there is none":          {nil, want.Labels, []string{"get", "create"}},
		"it says this already":   {want, want.Labels, []string{"get"}},
		"it says something else": {other, map[string]string{"team": "platform", "reloader.stakater.com/meta-info": "reloader"}, []string{"get", "update"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []runtime.Object
			if tc.there != nil {
				objects = append(objects, tc.there.DeepCopy())
			}
			client := fake.NewClientset(objects...)
			if err := reloader.Publish(t.Context(), client.CoreV1(), info); err != nil {
				t.Fatal(err)
			}
			var verbs []string
			for _, action := range client.Actions() {
				verbs = append(verbs, action.GetVerb())
			}
			if !slices.Equal(verbs, tc.verbs) {
				t.Errorf("requests: %q, want %q", verbs, tc.verbs)
			}
			got, err := client.CoreV1().ConfigMaps("ops").Get(t.Context(), reloader.MetaInfoName, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Data, got.Data); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.labels, got.Labels); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}
