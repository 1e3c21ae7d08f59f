package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/charts/tests"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/version"
)

// The chart grants what the controller asks for at its start, and nothing more, for every set of values that the
// chart is tested with.
func TestChartGrantsTheRequirements(t *testing.T) {
	t.Parallel()
	sets, err := tests.Sets()
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range sets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			rendered, err := tests.Golden(set)
			if err != nil {
				t.Fatal(err)
			}
			args, err := rendered.Args("controller")
			if err != nil {
				t.Fatal(err)
			}
			const namespace = "inpod-system" // that of the golden files
			c, err := config.Load(args, []string{"POD_NAME=p", "POD_NAMESPACE=" + namespace}, version.Build{})
			if err != nil {
				t.Fatal(err)
			}
			granted, err := rendered.Permissions("controller")
			if err != nil {
				t.Fatal(err)
			}
			if set == "own-account" { // rbac.create is false
				if len(granted) > 0 {
					t.Errorf("granted without being asked: %v", granted)
				}
				return
			}
			kinds, err := c.Kinds.Table()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(requirements(c, kinds, namespace)), normal(granted)); diff != "" {
				t.Errorf("permissions (-asked for by the controller +granted by the chart):\n%s", diff)
			}
		})
	}
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
