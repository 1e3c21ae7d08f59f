package plan_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/e2e/chaos/internal/plan"
)

func TestASeedGivesAlwaysTheSamePlan(t *testing.T) {
	if diff := cmp.Diff(plan.New(7), plan.New(7)); diff != "" {
		t.Errorf("two plans of one seed differ:\n%s", diff)
	}
	if cmp.Equal(plan.New(7).Bursts, plan.New(8).Bursts) {
		t.Error("two seeds give the same changes")
	}
}

func TestAPlanIsWhatItPromises(t *testing.T) {
	for seed := range uint64(300) {
		p := plan.New(seed)
		if len(p.Workloads) != 40 {
			t.Fatalf("seed %d: %d workloads, want 40", seed, len(p.Workloads))
		}
		changes, refused := 0, 0
		content := maps.Clone(p.Initial)
		last, count := map[string]time.Duration{}, map[string]int{}
		for _, b := range p.Bursts {
			concerned := map[string]bool{}
			for _, c := range b.Changes {
				changes++
				if c.Op == plan.Template {
					continue
				}
				if cmp.Equal(content[c.Source], c.Content) {
					t.Errorf("seed %d: at %s nothing changes: %v", seed, b.At, c)
				}
				content[c.Source] = c.Content
				for _, w := range p.Users(c) {
					concerned[w.Name] = true
					if _, has := c.Content[w.Key()]; c.Source == w.ConfigMap() && !has {
						t.Errorf("seed %d: at %s %s loses the key %s", seed, b.At, w.Name, w.Key())
					}
				}
			}
			for name := range concerned {
				if before, was := last[name]; was && b.At-before < 5*time.Second {
					t.Errorf("seed %d: %s is changed at %s and at %s", seed, name, before, b.At)
				}
				last[name] = b.At
				count[name]++
				if name == p.Refused && duringRefusal(p, b.At) {
					refused++
				}
			}
		}
		if changes != 300 {
			t.Errorf("seed %d: %d changes, want 300", seed, changes)
		}
		if refused == 0 {
			t.Errorf("seed %d: %s is never changed while it is refused", seed, p.Refused)
		}
		for name, n := range count {
			if n > 10 {
				t.Errorf("seed %d: %s has %d bursts, and is put off after ten rollouts", seed, name, n)
			}
		}
		faults := map[plan.What]int{}
		for _, f := range p.Faults {
			faults[f.What]++
		}
		if faults[plan.RestartAPI] != 2 || faults[plan.Refusal] != 2 || len(p.Faults) < 15 {
			t.Errorf("seed %d: faults %v", seed, faults)
		}
	}
}

func duringRefusal(p plan.Plan, at time.Duration) bool {
	for _, f := range p.Faults {
		if f.What == plan.Refusal && at > f.At && at < f.At+f.For {
			return true
		}
	}
	return false
}

func TestSettledChangesAreCountedByTheTimeBetweenThem(t *testing.T) {
	const settle = time.Second
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(begin, end int) plan.Applied {
		return plan.Applied{
			Begin: start.Add(time.Duration(begin) * time.Millisecond), End: start.Add(time.Duration(end) * time.Millisecond),
		}
	}
	for name, c := range map[string]struct {
		changes []plan.Applied
		want    int
	}{
		"none":                {nil, 0},
		"one":                 {[]plan.Applied{at(0, 10)}, 1},
		"two at once are one": {[]plan.Applied{at(0, 10), at(300, 310)}, 1},
		"a row of changes is one however long it is":   {[]plan.Applied{at(0, 10), at(900, 910), at(1800, 1810)}, 1},
		"two that are apart are two":                   {[]plan.Applied{at(0, 10), at(5000, 5010)}, 2},
		"one that took long may have settled before":   {[]plan.Applied{at(0, 10), at(300, 4000)}, 2},
		"and one that took long may have come at once": {[]plan.Applied{at(0, 4000), at(4100, 4110)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plan.Settled(c.changes, settle); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
