//go:build e2e

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"inpod.dev/inpod/e2e/internal/framework"
)

func TestImagesOfTheServers(t *testing.T) {
	t.Parallel()
	local := framework.Env{Kubeconfig: "/checkout/.cluster/kubeconfig", TestImagePrefix: "inpod.test"}
	own := framework.Env{Kubeconfig: "/home/me/.kube/config", TestImagePrefix: "inpod.test"}
	mirror := framework.Env{Kubeconfig: "/home/me/.kube/config", TestImagePrefix: "registry.example.com/test"}
	cases := map[string]struct {
		env    framework.Env
		chosen string
		want   string
	}{
		"the local cluster has its own":              {local, "", "image: inpod.test/nginx:1.22"},
		"another cluster pulls the official one":     {own, "", "image: nginx:stable"},
		"another cluster with a place for images":    {mirror, "", "image: registry.example.com/test/nginx:1.22"},
		"what the user names goes before all others": {mirror, "mine/nginx:1", "image: mine/nginx:1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			getenv := func(string) string { return c.chosen }
			if got := withImages("image: inpod.test/nginx:1.22", c.env, getenv); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWatches(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want bool
	}{
		"without a list it watches everything": {[]string{"--settle=2s"}, true},
		"a list with the namespace":            {[]string{"--namespaces=a,inpod-demo"}, true},
		"a list without the namespace":         {[]string{"--namespaces=a,b"}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := corev1.PodSpec{Containers: []corev1.Container{{Args: c.args}}}
			if got := watches(pod, "inpod-demo"); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

func TestChangedLinesShowsNothingElse(t *testing.T) {
	t.Parallel()
	want := "        nginx.conf:\n      -   # v1.0\n      +   # v2.0"
	if diff := cmp.Diff(want, changedLines("nginx.conf", "# v1.0\nuser nginx;\n", "# v2.0\nuser nginx;\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLeastAllowed(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		replicas    int32
		unavailable *intstr.IntOrString
		want        int
	}{
		"none may be away":                     {3, new(intstr.FromInt32(0)), 3},
		"one may be away":                      {3, new(intstr.FromInt32(1)), 2},
		"a quarter of three is none":           {3, new(intstr.FromString("25%")), 3},
		"half of four is two":                  {4, new(intstr.FromString("50%")), 2},
		"nothing said is as strict as it gets": {2, nil, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(c.replicas)}}
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxUnavailable: c.unavailable}
			got, err := leastAllowed(d)
			if err != nil || got != c.want {
				t.Errorf("got %d, %v; want %d", got, err, c.want)
			}
		})
	}
}

func TestTemplateDiffListsWhatIsNewOrDifferent(t *testing.T) {
	t.Parallel()
	template := func(note string, env ...corev1.EnvVar) corev1.PodTemplateSpec {
		var spec corev1.PodTemplateSpec
		spec.Annotations = map[string]string{"kept": "1", "note": note}
		spec.Spec.Containers = []corev1.Container{{Name: "nginx", Env: env}}
		return spec
	}
	before := template("a", corev1.EnvVar{Name: "KEPT", Value: "1"}, corev1.EnvVar{Name: "HASH", Value: "1"})
	after := template("b", corev1.EnvVar{Name: "KEPT", Value: "1"}, corev1.EnvVar{Name: "HASH", Value: "2"}, corev1.EnvVar{Name: "NEW"})
	want := []string{"annotation note: b", "container nginx, env HASH=2", "container nginx, env NEW="}
	if diff := cmp.Diff(want, templateDiff(before, after)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
