package judge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/e2e/stress/internal/judge"
	"inpod.dev/inpod/e2e/stress/internal/plan"
)

func start() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func at(seconds int) time.Time { return start().Add(time.Duration(seconds) * time.Second) }

// changed are changes at some seconds.
func changed(seconds ...int) []plan.Applied {
	var all []plan.Applied
	for _, s := range seconds {
		all = append(all, plan.Applied{Begin: at(s), End: at(s).Add(10 * time.Millisecond)})
	}
	return all
}

func TestWhatAFaultMayCause(t *testing.T) {
	for name, c := range map[string]struct {
		workload judge.Workload
		held     bool
		problem  string // a part of it
	}{
		"all is well":             {judge.Workload{Changes: changed(0, 10), Rolled: 2}, false, ""},
		"a template carries":      {judge.Workload{Changes: changed(0, 10), Rolled: 1}, false, ""},
		"a needless rollout":      {judge.Workload{Changes: changed(0, 10), Rolled: 3}, false, "was rolled 3 times for 2 settled changes"},
		"behind":                  {judge.Workload{Changes: changed(0), Behind: []string{"Secret a"}}, false, "has not taken up Secret a"},
		"only its pods":           {judge.Workload{Changes: changed(0), Pods: `its pods have "1"`}, false, `its pods have "1"`},
		"undone and reported":     {judge.Workload{Changes: changed(0), Rolled: 1, Undone: []time.Time{at(3)}, Pods: "old", Events: []string{judge.UndoReported}}, true, ""},
		"undone, behind":          {judge.Workload{Changes: changed(0), Undone: []time.Time{at(3)}, Behind: []string{"ConfigMap a"}, Events: []string{"Reloaded", judge.UndoReported}}, true, ""},
		"undone without a report": {judge.Workload{Changes: changed(0), Undone: []time.Time{at(3)}, Pods: "old", Events: []string{"Reloaded"}}, false, "no event RolloutUndone"},
		"undone, and new pods":    {judge.Workload{Changes: changed(0), Undone: []time.Time{at(3)}}, false, ""},
		"a change clears an undo": {judge.Workload{Changes: changed(0, 9), Undone: []time.Time{at(3)}, Pods: "old", Events: []string{judge.UndoReported}}, false, "old"},
		"undone twice":            {judge.Workload{Changes: changed(0, 9), Undone: []time.Time{at(3), at(12)}, Pods: "old", Events: []string{judge.UndoReported}}, true, ""},
		"undone and rolled again": {judge.Workload{Changes: changed(0), Rolled: 2, Undone: []time.Time{at(3)}}, false, "was rolled 2 times"},
	} {
		t.Run(name, func(t *testing.T) {
			c.workload.Kind, c.workload.Name, c.workload.Settle = plan.Deployment, "deploy-1", time.Second
			v := judge.Of(c.workload)
			if v.Held != c.held || (c.problem == "") != (len(v.Problems) == 0) || !strings.Contains(strings.Join(v.Problems, "\n"), c.problem) {
				t.Errorf("held %t, problems %q; want %t, %q", v.Held, v.Problems, c.held, c.problem)
			}
		})
	}
}

func TestACopyIsNotRolled(t *testing.T) {
	for name, c := range map[string]struct {
		changes []plan.Applied
		rolled  int
		well    bool
	}{
		"no change":             {nil, 0, true},
		"a rollout for nothing": {nil, 1, false},
		"an old change":         {changed(0), 1, false},
		"a change meanwhile":    {changed(0, 62), 1, true},
		"one that settles":      {changed(0, 57), 1, true},
		"one more":              {changed(0, 62), 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			problem := judge.Copy("deploy-1", c.changes, at(60), 2*time.Second, c.rolled)
			if (problem == "") != c.well {
				t.Errorf("problem %q, want well %t", problem, c.well)
			}
		})
	}
}

func TestDecisionsOfOneWorkload(t *testing.T) {
	log := strings.Join([]string{
		`time=2026-01-01T00:00:01.000Z level=DEBUG msg=decided workload="Deployment space/deploy-1" reason=Unchanged`,
		`time=2026-01-01T00:00:05.000Z level=DEBUG msg=decided workload="Deployment space/deploy-1" reason=FrozenChanged`,
		`time=2026-01-01T00:00:05.000Z level=DEBUG msg=decided workload="Deployment space/deploy-12" reason=FrozenChanged`,
		`time=2026-01-01T00:00:05.000Z level=DEBUG msg=decided workload="StatefulSet space/deploy-1" reason=FrozenChanged`,
		`time=2026-01-01T00:00:06.000Z level=INFO msg="leading"`,
		`E0101 00:00:07 reflector.go:1] "Failed to watch"`,
		`{"time":"2026-01-01T00:00:08Z","msg":"rollout started","workload":"Deployment space/deploy-1"}`,
		`{"time":"2026-01-01T00:00:01Z","msg":"rollout started","workload":"Deployment space/deploy-1"}`,
		``,
	}, "\n")
	want := []string{
		`time=2026-01-01T00:00:05.000Z level=DEBUG msg=decided workload="Deployment space/deploy-1" reason=FrozenChanged`,
		`time=2026-01-01T00:00:06.000Z level=INFO msg="leading"`,
		`E0101 00:00:07 reflector.go:1] "Failed to watch"`,
		`{"time":"2026-01-01T00:00:08Z","msg":"rollout started","workload":"Deployment space/deploy-1"}`,
	}
	if diff := cmp.Diff(want, judge.Decisions(log, "Deployment", "space", "deploy-1", at(4))); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
