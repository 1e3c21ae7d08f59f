package tests

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// controller renders the chart with these values (as for --set) and returns what belongs to the controller.
func controller(t *testing.T, values string) (Rendered, *appsv1.Deployment) {
	t.Helper()
	rendered := slices.DeleteFunc(render(t, "--set", values), func(object Object) bool {
		return object.GetLabels()["app.kubernetes.io/component"] != "controller"
	})
	deployment, err := rendered.Deployment("controller")
	if err != nil {
		t.Fatal(err)
	}
	return rendered, deployment
}

// More than one replica brings election, budget, spread and a rolling update; one brings none of them.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		values string

		wantElection bool
		wantBudget   string // "" means none
		wantType     appsv1.DeploymentStrategyType
		wantSurge    string
		wantSpread   int
	}{
		"none":  {values: "controller.replicas=0", wantType: appsv1.RecreateDeploymentStrategyType},
		"one":   {values: "controller.replicas=1", wantType: appsv1.RecreateDeploymentStrategyType},
		"two":   {"controller.replicas=2", true, "1", appsv1.RollingUpdateDeploymentStrategyType, "1", 2},
		"three": {"controller.replicas=3", true, "1", appsv1.RollingUpdateDeploymentStrategyType, "1", 2},
		"two without a budget": {
			"controller.replicas=2,controller.podDisruptionBudget.enabled=false", true, "", appsv1.RollingUpdateDeploymentStrategyType, "1", 2,
		},
		"four with a budget of one's own": {
			"controller.replicas=4,controller.podDisruptionBudget.maxUnavailable=50%", true, "50%", appsv1.RollingUpdateDeploymentStrategyType, "1", 2,
		},
		// Limits that the API server fills in belong to nobody, and going back to Recreate would then fail.
		"one that is replaced by rolling": {
			"controller.strategy.type=RollingUpdate", false, "", appsv1.RollingUpdateDeploymentStrategyType, "1", 0,
		},
		"two that are replaced in one's own way": {
			"controller.replicas=2,controller.strategy.type=RollingUpdate,controller.strategy.rollingUpdate.maxSurge=2",
			true, "1", appsv1.RollingUpdateDeploymentStrategyType, "2", 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rendered, deployment := controller(t, tc.values)
			container := deployment.Spec.Template.Spec.Containers[0]

			if got := slices.Contains(container.Args, "--enable-ha=true"); got != tc.wantElection {
				t.Errorf("election %v, want %v", got, tc.wantElection)
			}
			budget := ""
			for _, found := range All[*policyv1.PodDisruptionBudget](rendered) {
				budget = found.Spec.MaxUnavailable.String()
			}
			if budget != tc.wantBudget {
				t.Errorf("budget %q, want %q", budget, tc.wantBudget)
			}
			strategy, surge := deployment.Spec.Strategy, ""
			if strategy.RollingUpdate != nil {
				surge = strategy.RollingUpdate.MaxSurge.String()
			}
			if strategy.Type != tc.wantType || surge != tc.wantSurge {
				t.Errorf("strategy %s with a surge of %q, want %s with %q", strategy.Type, surge, tc.wantType, tc.wantSurge)
			}
			if got := len(deployment.Spec.Template.Spec.TopologySpreadConstraints); got != tc.wantSpread {
				t.Errorf("%d rules for the spread, want %d", got, tc.wantSpread)
			}
		})
	}
}

// Go has to collect garbage before the kernel ends the process: nine tenths of the limit, however it is written.
func TestGoMemLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"256Mi", "1Gi", "1.5Gi", "0.1Gi", "1000M", "2G", "300000k", "1Ti", "268435456", "100Ki"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			_, deployment := controller(t, "controller.resources.limits.memory="+limit)
			got, err := strconv.ParseInt(variable(t, deployment, "GOMEMLIMIT").Value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			quantity := resource.MustParse(limit)
			if want := quantity.Value() / 10 * 9; got < want || got > want+9 {
				t.Errorf("GOMEMLIMIT %d, want nine tenths of %d, which is %d", got, quantity.Value(), want)
			}
		})
	}
	// In forms that templates cannot compute with, the kubelet fills in the whole limit.
	for _, limit := range []string{"1e9", "1Pi", "256000000000m"} {
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			_, deployment := controller(t, "controller.resources.limits.memory="+limit)
			from := variable(t, deployment, "GOMEMLIMIT").ValueFrom
			if from == nil || from.ResourceFieldRef == nil || from.ResourceFieldRef.Resource != "limits.memory" {
				t.Errorf("GOMEMLIMIT comes from %+v, want the limit of the container", from)
			}
		})
	}
	t.Run("set by hand", func(t *testing.T) {
		t.Parallel()
		_, deployment := controller(t, "controller.extraEnv[0].name=GOMEMLIMIT,controller.extraEnv[0].value=100MiB")
		var got []string
		for _, found := range deployment.Spec.Template.Spec.Containers[0].Env {
			if found.Name == "GOMEMLIMIT" {
				got = append(got, found.Value)
			}
		}
		if diff := cmp.Diff([]string{"100MiB"}, got); diff != "" {
			t.Errorf("GOMEMLIMIT (-want +got):\n%s", diff)
		}
	})
	t.Run("no limit", func(t *testing.T) {
		t.Parallel()
		_, deployment := controller(t, "controller.resources.limits=null")
		for _, found := range deployment.Spec.Template.Spec.Containers[0].Env {
			if found.Name == "GOMEMLIMIT" {
				t.Errorf("GOMEMLIMIT is %+v", found)
			}
		}
	})
}

func variable(t *testing.T, deployment *appsv1.Deployment, name string) corev1.EnvVar {
	t.Helper()
	for _, found := range deployment.Spec.Template.Spec.Containers[0].Env {
		if found.Name == name {
			return found
		}
	}
	t.Fatalf("the container has no variable %s", name)
	return corev1.EnvVar{}
}

func TestImage(t *testing.T) {
	t.Parallel()
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	version := readValues(t, chart+"/Chart.yaml")["appVersion"].(string)
	for name, tc := range map[string]struct{ values, want string }{
		"nothing is set":                     {"", "inpod/controller:" + version},
		"a registry and a tag":               {"image.prefix=example.com:5000/inpod,image.tag=1.2", "example.com:5000/inpod/controller:1.2"},
		"a registry with a slash at its end": {"image.prefix=example.com/inpod/", "example.com/inpod/controller:" + version},
		"a tag for this program":             {"image.tag=1.2,controller.image.tag=1.3", "inpod/controller:1.3"},
		"a repository for this program":      {"image.tag=1.2,controller.image.repository=example.com/x", "example.com/x:1.2"},
		"a digest goes before all tags":      {"image.tag=1.2,controller.image.digest=" + digest, "inpod/controller@" + digest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, deployment := controller(t, tc.values)
			if got := deployment.Spec.Template.Spec.Containers[0].Image; got != tc.want {
				t.Errorf("image %s, want %s", got, tc.want)
			}
		})
	}
}

// One address decides the port of the container, of the Service, of both probes and of the network policy.
func TestPort(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]int32{":9090": 9090, "0.0.0.0:8080": 8080, "[::]:8443": 8443} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			rendered, deployment := controller(t, "controller.config.listenAddress="+address+",controller.service.enabled=true,controller.networkPolicy.enabled=true")
			container := deployment.Spec.Template.Spec.Containers[0]
			if len(container.Ports) != 1 || container.Ports[0].ContainerPort != want {
				t.Fatalf("ports %v, want %d", container.Ports, want)
			}
			name := intstr.FromString(container.Ports[0].Name)
			for probe, got := range map[string]intstr.IntOrString{
				"/live":  container.LivenessProbe.HTTPGet.Port,
				"/ready": container.ReadinessProbe.HTTPGet.Port,
			} {
				if got != name {
					t.Errorf("%s is probed at %s, want %s", probe, got.String(), name.String())
				}
			}
			services := All[*corev1.Service](rendered)
			if len(services) != 1 || services[0].Spec.Ports[0].TargetPort != name {
				t.Errorf("services %v, want one to port %s", services, name.String())
			}
			policies := All[*networkingv1.NetworkPolicy](rendered)
			if len(policies) != 1 || policies[0].Spec.Ingress[0].Ports[0].Port.IntVal != want {
				t.Errorf("network policies %v, want one for port %d", policies, want)
			}
		})
	}
}

func TestArgumentsOfTheUserComeLast(t *testing.T) {
	t.Parallel()
	_, deployment := controller(t, "controller.config.workers=3,controller.extraArgs={--workers=4,--settle=1s}")
	args := deployment.Spec.Template.Spec.Containers[0].Args
	if got := strings.Join(args[len(args)-2:], " "); got != "--workers=4 --settle=1s" {
		t.Errorf("the last arguments are %s", got)
	}
	if !slices.Contains(args, "--workers=3") {
		t.Errorf("--workers=3 is missing in %v", args)
	}
}
