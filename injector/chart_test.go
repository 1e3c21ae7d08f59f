package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/charts/tests"
	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/version"
)

func names[T metav1.Object](objects []T) []string {
	var all []string
	for _, object := range objects {
		all = append(all, object.GetName())
	}
	return all
}

// The chart grants what the injector asks for at its start, and what it does in the namespaces whose pods it sees, and
// nothing more, for every set of values that the chart is tested with.
func TestChartGrantsTheRequirements(t *testing.T) {
	t.Parallel()
	sets, err := tests.Sets()
	if err != nil {
		t.Fatal(err)
	}
	const namespace = "inpod-system" // that of the golden files
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			rendered, err := tests.Golden(set)
			if err != nil {
				t.Fatal(err)
			}
			args, err := rendered.Args("injector")
			if err != nil { // the injector is not installed
				for _, role := range append(names(tests.All[*rbacv1.Role](rendered)), names(tests.All[*rbacv1.ClusterRole](rendered))...) {
					if strings.Contains(role, "injector") {
						t.Errorf("%s is granted to nobody", role)
					}
				}
				return
			}
			c, err := config.Load(args, []string{"POD_NAME=p", "POD_NAMESPACE=" + namespace}, version.Build{})
			if err != nil {
				t.Fatal(err)
			}
			granted, err := rendered.Permissions("injector")
			if err != nil {
				t.Fatal(err)
			}
			if set == "own-account" { // rbac.create is false
				if len(granted) > 0 {
					t.Errorf("granted without being asked: %v", granted)
				}
				return
			}
			own := slices.DeleteFunc(slices.Clone(granted), isAboutPods)
			if diff := cmp.Diff(normal(requirements(c)), normal(own)); diff != "" {
				t.Errorf("permissions (-asked for by the injector +granted by the chart):\n%s", diff)
			}
			for where, verbs := range aboutPods(granted) {
				want := []string{"get namespaces"}
				if c.Webhook.ReadLimits {
					want = append(want, "list limitranges", "list resourcequotas", "watch limitranges", "watch resourcequotas")
				}
				if c.Webhook.OnRefusal == config.WithoutSidecar {
					want = append(want, "get replicasets", "get replicationcontrollers", "list events")
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, verbs); diff != "" || where == namespace {
					t.Errorf("in namespace %q (-want +got):\n%s", where, diff)
				}
			}
			if len(aboutPods(granted)) == 0 {
				t.Error("it may not read a namespace")
			}
			if where := slices.Sorted(maps.Keys(aboutPods(granted))); c.Webhook.ReadLimits && where[0] != "" {
				if diff := cmp.Diff(where, slices.Sorted(slices.Values(c.Webhook.LimitsNamespaces))); diff != "" {
					t.Errorf("namespaces whose limits are read (-granted +asked for):\n%s", diff)
				}
			}
		})
	}
}

// isAboutPods reports whether a right is what the injector does in the namespaces whose pods it sees.
func isAboutPods(r kube.Requirement) bool {
	return slices.Contains([]string{"namespaces", "limitranges", "resourcequotas", "replicasets", "replicationcontrollers", "events"}, r.Resource)
}

// aboutPods sorts these by namespace.
func aboutPods(granted []kube.Requirement) map[string][]string {
	found := map[string][]string{}
	for _, r := range granted {
		if isAboutPods(r) {
			found[r.Namespace] = append(found[r.Namespace], r.Verb+" "+r.Resource)
		}
	}
	for where := range found {
		slices.Sort(found[where])
	}
	return found
}

// normal sorts permissions and drops what is said about them.
func normal(requirements []kube.Requirement) []kube.Requirement {
	sorted := slices.Clone(requirements)
	for i := range sorted {
		sorted[i].Why = ""
	}
	slices.SortFunc(sorted, tests.CompareRequirements)
	return slices.Compact(sorted)
}
