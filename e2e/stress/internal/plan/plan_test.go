package plan_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/e2e/stress/internal/plan"
)

func TestASeedGivesAlwaysTheSamePlan(t *testing.T) {
	of := func(seed uint64) plan.Plan { return plan.New(seed, 4*time.Minute, true) }
	if diff := cmp.Diff(of(7), of(7)); diff != "" {
		t.Errorf("two plans of one seed differ:\n%s", diff)
	}
	if cmp.Equal(of(7).Bursts, of(8).Bursts) {
		t.Error("two seeds give the same changes")
	}
}

func TestAPlanIsWhatItPromises(t *testing.T) {
	for seed := range uint64(300) {
		p := plan.New(seed, 4*time.Minute, true)
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
		for _, w := range p.Workloads {
			if n := count[w.Name]; n > 10 && w.Form != plan.InPlace {
				t.Errorf("seed %d: %s has %d bursts, and is deferred after ten rollouts", seed, w.Name, n)
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

func TestALongRunPutsNoWorkloadOff(t *testing.T) {
	for seed := range uint64(5) {
		const length = time.Hour
		p := plan.New(seed, length, false)
		if len(p.Faults) > 0 {
			t.Errorf("seed %d: faults %v, want none", seed, p.Faults)
		}
		last, inRow, changes, late := map[string]time.Duration{}, map[string]int{}, 0, 0
		for _, b := range p.Bursts {
			concerned := map[string]plan.Workload{}
			for _, c := range b.Changes {
				changes++
				for _, w := range p.Users(c) {
					concerned[w.Name] = w
				}
			}
			for name, w := range concerned {
				if b.At-last[name] >= 10*time.Minute {
					inRow[name] = 0
				}
				last[name] = b.At
				inRow[name]++
				if inRow[name] > 10 && w.Form != plan.InPlace {
					t.Errorf("seed %d: at %s %s has its burst %d without ten quiet minutes", seed, b.At, name, inRow[name])
				}
			}
			if b.At > length-5*time.Minute {
				late++
			}
		}
		if changes < 1000 || late < 20 {
			t.Errorf("seed %d: %d changes in an hour, %d of them in the last five minutes", seed, changes, late)
		}
	}
}

func TestFaultsComeAgainInALongRun(t *testing.T) {
	count := map[plan.What]int{}
	for _, f := range plan.New(1, 12*time.Minute, true).Faults {
		count[f.What]++
	}
	if count[plan.Refusal] != 5 || count[plan.RestartAPI] != 8 {
		t.Errorf("faults of twelve minutes are %v", count)
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

// What is left out changes nothing else, so that a seed stays what it was.
func TestFaultsCanBeLeftOut(t *testing.T) {
	for seed := range uint64(50) {
		all := plan.New(seed, 4*time.Minute, true)
		if all.Slowed == all.Refused {
			t.Errorf("seed %d: %s is refused and slowed", seed, all.Slowed)
		}
		count := map[plan.What]int{}
		for _, f := range all.Faults {
			count[f.What]++
		}
		for name, what := range plan.Names() {
			if count[what] == 0 && what != plan.Copy {
				t.Errorf("seed %d: no fault %q", seed, name)
			}
			some := plan.New(seed, 4*time.Minute, true, what)
			want := slices.DeleteFunc(slices.Clone(all.Faults), func(f plan.Fault) bool { return f.What == what })
			if diff := cmp.Diff(want, some.Faults); diff != "" {
				t.Errorf("seed %d without %s (-want +got):\n%s", seed, name, diff)
			}
			if !cmp.Equal(all.Bursts, some.Bursts) {
				t.Errorf("seed %d without %s: other changes", seed, name)
			}
		}
	}
}
