package inject_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/internal/inject"
)

var update = flag.Bool("update", false, "write the golden files")

// options are what the chart gives on a cluster that has native sidecars.
func options() inject.Options {
	return inject.Options{
		Namespace: "shop", Server: "v1.37.2", NativeSidecars: true,
		Image: "inpod/sidecar:1.0.0", PullPolicy: corev1.PullIfNotPresent,
		CPURequest: resource.MustParse("5m"), MemoryRequest: resource.MustParse("16Mi"), MemoryLimit: resource.MustParse("64Mi"),
		StatusPort: 27467, ConfirmKey: "c0ffee",
	}
}

// injectInto returns the pod as it is afterwards: the pod itself where nothing is added.
func injectInto(pod *corev1.Pod, o inject.Options) (*corev1.Pod, inject.Report) {
	change, report := inject.Inject(pod, o)
	if change.IsZero() {
		return pod, report
	}
	return change.Apply(pod), report
}

func readPod(t testing.TB, path string) *corev1.Pod {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(text, &pod); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return &pod
}

// examples are the pods of testdata/pods, by name.
func examples(t testing.TB) map[string]*corev1.Pod {
	t.Helper()
	files, err := filepath.Glob("testdata/pods/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pods in testdata: %v", err)
	}
	pods := map[string]*corev1.Pod{}
	for _, file := range files {
		pods[strings.TrimSuffix(filepath.Base(file), ".yaml")] = readPod(t, file)
	}
	return pods
}

// What a pod looks like afterwards, whole: testdata/pods/NAME.yaml becomes testdata/golden/NAME.yaml.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, pod := range examples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			injected, report := injectInto(pod, options())
			if wantInjected := !strings.HasPrefix(name, "refused"); (report.Reason == inject.Injected) != wantInjected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			text, err := yaml.Marshal(injected)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "golden", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, text, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v; write it with: go test ./internal/inject -update", err)
			}
			if diff := cmp.Diff(string(want), string(text)); diff != "" {
				t.Errorf("the pod (-want +got); if this is right: go test ./internal/inject -update\n%s", diff)
			}
		})
	}
}

func TestASecondCallChangesNothing(t *testing.T) {
	t.Parallel()
	for name, pod := range examples(t) {
		once, report := injectInto(pod, options())
		if report.Reason != inject.Injected {
			continue
		}
		twice, report := injectInto(once, options())
		if report.Reason != inject.AlreadyInjected || !equality.Semantic.DeepEqual(once, twice) {
			t.Errorf("%s: the second call says %s, and changes:\n%s", name, report.Reason, cmp.Diff(once, twice))
		}
	}
}

func TestTheGivenPodStaysAsItIs(t *testing.T) {
	t.Parallel()
	for name, pod := range examples(t) {
		before := pod.DeepCopy()
		injected, _ := injectInto(pod, options())
		// What is shared would be changed through the result.
		for i := range injected.Spec.Containers {
			injected.Spec.Containers[i].Image = "changed"
			injected.Spec.Containers[i].VolumeMounts = nil
		}
		for i := range injected.Spec.InitContainers {
			clear(injected.Spec.InitContainers[i].VolumeMounts)
			clear(injected.Spec.InitContainers[i].Env)
		}
		if injected != pod && !equality.Semantic.DeepEqual(before, pod) {
			t.Errorf("%s was changed:\n%s", name, cmp.Diff(before, pod))
		}
	}
}
