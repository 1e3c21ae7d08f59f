package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/charts/tests"
	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/access"
	"inpod.dev/inpod/internal/telemetry"
)

// The chart grants what the injector asks for at its start, for every set of values that the chart is tested with.
// Beyond that it grants what the injector does in the namespaces whose pods it sees: it cannot ask for these rights,
// because it does not know these namespaces.
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
			args, err := rendered.Args("injector")
			if err != nil {
				t.Skip(err) // not installed with these values
			}
			c, err := config.Load(args, []string{"POD_NAME=p", "POD_NAMESPACE=inpod-system"}, telemetry.Build{})
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
			asked := 0
			granted = slices.DeleteFunc(granted, func(r access.Requirement) bool {
				isOfPods := r.Resource == "namespaces" && r.Verb == "get" ||
					r.Resource == "events" && (r.Verb == "create" || r.Verb == "patch")
				if isOfPods {
					asked++
				}
				return isOfPods
			})
			if asked == 0 || asked%3 != 0 {
				t.Errorf("%d rights in the namespaces of pods, want three in each", asked)
			}
			wanted := requirements(c)
			for i := range wanted {
				wanted[i].Why = ""
			}
			slices.SortFunc(wanted, tests.CompareRequirements)
			if diff := cmp.Diff(wanted, granted); diff != "" {
				t.Errorf("permissions (-asked for by the injector +granted by the chart):\n%s", diff)
			}
		})
	}
}
