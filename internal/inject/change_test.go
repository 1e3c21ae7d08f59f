package inject_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/inject"
)

// What the API server makes of the patch is what Apply says, whatever the pod has already.
func TestThePatchAppliesTheChange(t *testing.T) {
	t.Parallel()
	pods := examples(t)
	plain, _ := nginx()
	pods["a pod that has as little as can be"] = plain
	labeled, _ := nginx(func(pod *corev1.Pod, _ *inject.Options) {
		pod.Labels = map[string]string{"a/b~c": "d", "inpod.dev/injected": "old"}
	})
	pods["a pod with labels and an old record"] = labeled
	empty, _ := nginx(spec(func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{} }))
	pods["a pod with an empty list"] = empty
	for name, pod := range pods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change, _ := inject.Inject(pod, options())
			patch, err := change.Patch(pod)
			if err != nil {
				t.Fatal(err)
			}
			want, got := written(t, change.Apply(pod)), written(t, pod)
			if patch != nil {
				operations, err := jsonpatch.DecodePatch(patch)
				if err != nil {
					t.Fatal(err)
				}
				if got, err = operations.Apply(got); err != nil {
					t.Fatalf("%v\n%s", err, patch)
				}
			}
			if diff := cmp.Diff(decoded(t, want), decoded(t, got)); diff != "" {
				t.Errorf("(-applied +patched):\n%s", diff)
			}
		})
	}
}

func written(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decoded(t *testing.T, text []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

// The token for the API server stays away from the sidecar, wherever the application has it.
func TestTheSidecarSeesNoTokenForTheAPIServer(t *testing.T) {
	t.Parallel()
	elsewhere := spec(func(s *corev1.PodSpec) {
		last := len(s.Containers[0].VolumeMounts) - 1
		s.Containers[0].VolumeMounts[last].MountPath = "/tokens"
	})
	for name, changes := range map[string][]change{
		"a signal":                             {apiAccess()},
		"a command":                            {apiAccess(), without("inpod.dev/preset"), annotated("inpod.dev/reload-command", `["x"]`)},
		"a command, the token at another path": {apiAccess(), elsewhere, without("inpod.dev/preset"), annotated("inpod.dev/reload-command", `["x"]`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(changes...)
			injected, report := injectInto(pod, o)
			sidecar := sidecarOf(injected)
			if sidecar == nil {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			for _, mount := range sidecar.VolumeMounts {
				if mount.Name == "kube-api-access-x" {
					t.Errorf("the sidecar mounts the token at %s", mount.MountPath)
				}
			}
		})
	}
}

func TestTheInvariants(t *testing.T) {
	t.Parallel()
	pod, o := nginx(apiAccess(), beside)
	good, _ := inject.Inject(pod, o)
	sidecar := func(c *inject.Change) *corev1.Container { return &c.InitContainers[len(c.InitContainers)-1] }
	for name, tc := range map[string]struct {
		spoil func(*inject.Change)
		want  string
	}{
		"a volume's name that is taken":         {func(c *inject.Change) { c.Volumes[0].Name = "conf" }, "second volume would be named conf"},
		"two new volumes of one name":           {func(c *inject.Change) { c.Volumes = append(c.Volumes, c.Volumes[0]) }, "second volume"},
		"a container's name that is taken":      {func(c *inject.Change) { sidecar(c).Name = "web" }, "second container would be named web"},
		"a mount of a volume that is not there": {func(c *inject.Change) { sidecar(c).VolumeMounts[0].Name = "nope" }, "volume nope, which does not exist"},
		"two mounts at one path": {func(c *inject.Change) {
			twice := sidecar(c).VolumeMounts[0]
			twice.MountPath += "/"
			sidecar(c).VolumeMounts = append(sidecar(c).VolumeMounts, twice)
		}, "two volumes at /etc/nginx/conf.d"},
		"the token for the API server": {func(c *inject.Change) {
			sidecar(c).VolumeMounts = append(sidecar(c).VolumeMounts, corev1.VolumeMount{Name: "kube-api-access-x", MountPath: "/t"})
		}, "token for the API server at /t"},
		"no security context":         {func(c *inject.Change) { sidecar(c).SecurityContext = nil }, "no security context"},
		"a privileged container":      {func(c *inject.Change) { sidecar(c).SecurityContext.Privileged = new(true) }, "privileged"},
		"a way to more privileges":    {func(c *inject.Change) { sidecar(c).SecurityContext.AllowPrivilegeEscalation = nil }, "gain privileges"},
		"capabilities of the runtime": {func(c *inject.Change) { sidecar(c).SecurityContext.Capabilities = nil }, "keep capabilities"},
		"a request larger than the limit": {func(c *inject.Change) {
			sidecar(c).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1Gi")
		}, "more memory than its limit"},
		"a mount inside of one that is only read": {func(c *inject.Change) {
			sidecar(c).VolumeMounts = append(sidecar(c).VolumeMounts, corev1.VolumeMount{Name: "outer", MountPath: "/x", ReadOnly: true},
				corev1.VolumeMount{Name: "conf", MountPath: "/x/y", ReadOnly: true})
		}, "only read volume outer at /x"},
		"a working directory inside of a mount that is only read": {func(c *inject.Change) {
			sidecar(c).VolumeMounts = append(sidecar(c).VolumeMounts, corev1.VolumeMount{Name: "outer", MountPath: "/x", ReadOnly: true})
			sidecar(c).WorkingDir = "/x/y"
		}, "only read volume outer at /x"},
		"more annotations than Kubernetes takes": {func(c *inject.Change) { c.Annotations["example.com/x"] = strings.Repeat("x", 256<<10) }, "and 262144 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := copied(good)
			if err := inject.Check(pod, c); err != nil {
				t.Fatalf("before: %v", err)
			}
			tc.spoil(&c)
			if err := inject.Check(pod, c); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// The API server validates a pod after the webhook, so that one may come that mounts what does not exist. A sidecar
// that runs its programs would mount that, too. The change breaks a rule, and is left out.
func TestAChangeThatBreaksARuleIsLeftOut(t *testing.T) {
	t.Parallel()
	pod, o := nginx(without("inpod.dev/preset"), annotated("inpod.dev/reload-command", `["x"]`), web(func(c *corev1.Container) {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "nope", MountPath: "/nope"})
	}))
	before := pod.DeepCopy()
	after, report := injectInto(pod, o)
	if report.Reason != inject.InternalError || !strings.Contains(report.Message, "volume nope, which does not exist") {
		t.Fatalf("%s: %s", report.Reason, report.Message)
	}
	checkSkipped(t, before, after, report)
}

func copied(c inject.Change) inject.Change {
	pod := c.Apply(&corev1.Pod{}).DeepCopy()
	return inject.Change{
		Volumes: pod.Spec.Volumes, InitContainers: pod.Spec.InitContainers, Containers: pod.Spec.Containers,
		ShareProcesses: c.ShareProcesses, Labels: maps.Clone(c.Labels), Annotations: maps.Clone(c.Annotations),
	}
}

// What a patch costs does not depend on what the pod holds.
func TestAPatchIsAsLargeAsWhatIsAdded(t *testing.T) {
	t.Parallel()
	pod, o := nginx()
	small, _ := inject.Inject(pod, o)
	less, err := small.Patch(pod)
	if err != nil {
		t.Fatal(err)
	}
	large := pod.DeepCopy()
	large.Spec.Containers = append(large.Spec.Containers, slices.Repeat([]corev1.Container{{Image: strings.Repeat("x", 1000)}}, 1000)...)
	change, report := inject.Inject(large, o)
	if report.Reason != inject.Injected {
		t.Fatalf("%s: %s", report.Reason, report.Message)
	}
	more, err := change.Patch(large)
	if err != nil || len(more) > len(less)+100 {
		t.Errorf("%d bytes for a small pod, %d for a large one, %v", len(less), len(more), err)
	}
}

// inEnvironment gives the container a command, which gets its environment, and variables.
func inEnvironment(variables ...corev1.EnvVar) change {
	return func(pod *corev1.Pod, o *inject.Options) {
		without("inpod.dev/preset")(pod, o)
		annotated("inpod.dev/reload-command", `["x"]`)(pod, o)
		pod.Spec.Containers[0].Env = variables
	}
}

// Whatever stands in a pod: the patch is not much longer than what is added, so that its price can be known before it is written.
func TestAPatchIsNotMuchLongerThanWhatIsAdded(t *testing.T) {
	t.Parallel()
	many := func(count int, value string) (all []corev1.EnvVar) {
		for range count {
			all = append(all, corev1.EnvVar{Name: "A", Value: value})
		}
		return all
	}
	reference := corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "a"}}}
	for name, tc := range map[string]struct {
		change change
		most   int // bytes of the patch for each of what is added
	}{
		"a plain pod":                       {inEnvironment(), 3},
		"signs that HTML has a meaning for": {inEnvironment(corev1.EnvVar{Name: "A", Value: strings.Repeat("<&>", 15_000)}), 2},
		"control characters":                {inEnvironment(corev1.EnvVar{Name: "A", Value: strings.Repeat("\x01", 50_000)}), inject.LongestPatch},
		"separators of lines":               {inEnvironment(corev1.EnvVar{Name: "A", Value: strings.Repeat("\u2028", 15_000)}), inject.LongestPatch},
		"what is no text":                   {inEnvironment(corev1.EnvVar{Name: "A", Value: strings.Repeat("\xff", 50_000)}), inject.LongestPatch},
		"empty variables":                   {inEnvironment(many(5_000, "")...), inject.LongestPatch},
		"references":                        {inEnvironment(slices.Repeat([]corev1.EnvVar{reference}, 1_000)...), inject.LongestPatch},
		"mounts": {func(pod *corev1.Pod, o *inject.Options) {
			inEnvironment()(pod, o)
			for i := range 500 {
				pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "conf", MountPath: "/" + strconv.Itoa(i)})
			}
		}, inject.LongestPatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.change)
			added, report := inject.Inject(pod, o)
			if report.Reason != inject.Injected {
				t.Fatalf("%s: %s", report.Reason, report.Message)
			}
			patch, err := added.Patch(pod)
			if err != nil || len(patch) > tc.most*added.Size() {
				t.Errorf("%d bytes for %d that are added, want %d times as many at most; %v", len(patch), added.Size(), tc.most, err)
			}
		})
	}
}

// What cannot be stored is not added: the API server would refuse the pod, and the answer would be as large.
func TestAPodThatWouldBeTooLargeIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	large := func(size int) corev1.EnvVar { return corev1.EnvVar{Name: "A", Value: strings.Repeat("<", size)} }
	for name, tc := range map[string]struct {
		changes []change
		want    inject.Reason
		wantSay string
	}{
		"a large environment":                   {[]change{inEnvironment(large(40 << 10))}, inject.Injected, ""},
		"one that is larger than what is added": {[]change{inEnvironment(large(70 << 10))}, inject.TooLarge, "container web"},
		"one that nobody needs":                 {[]change{without("inpod.dev/preset"), annotated(url, "http://127.0.0.1/"), web(func(c *corev1.Container) { c.Env = []corev1.EnvVar{large(70 << 10)} })}, inject.Injected, ""},
		"a pod that is as large as can be": {
			[]change{inEnvironment(), func(pod *corev1.Pod, _ *inject.Options) {
				pod.Annotations["a"] = strings.Repeat("x", 200<<10)
				pod.Spec.Containers[0].Args = []string{strings.Repeat("x", 1<<20)}
			}},
			inject.TooLarge, "pod",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, o := nginx(tc.changes...)
			added, report := inject.Inject(pod, o)
			if report.Reason != tc.want || !strings.Contains(report.Message, tc.wantSay) {
				t.Fatalf("%s: %s; want %s with %q", report.Reason, report.Message, tc.want, tc.wantSay)
			}
			if tc.want != inject.Injected && len(added.InitContainers)+len(added.Containers)+len(added.Volumes) > 0 {
				t.Errorf("%+v is added", added)
			}
		})
	}
}
