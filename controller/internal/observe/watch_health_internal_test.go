package observe

import (
	"cmp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/objtest"
)

func TestNothingIsConcludedWhileAWatchIsAway(t *testing.T) {
	t.Parallel()
	type step struct {
		at    time.Duration
		went  string
		came  string
		waits time.Duration // asked after the step, for what both watches feed
		onlyA time.Duration // the same, for what a alone feeds, if that is not waits
	}
	for name, steps := range map[string][]step{
		"a watch that the server ends is opened again at once": {{at: 0, went: "a"}, {at: 10 * time.Millisecond, came: "a"}, {at: time.Second}},
		"one comes back later than the other": {
			{at: 0, went: "a"},
			{at: 0, went: "b"},
			{at: time.Second, waits: recheck},
			{at: 4 * time.Second, came: "a", waits: catchUp},
			{at: 6 * time.Second, waits: recheck},
			{at: 9 * time.Second, came: "b", waits: catchUp},
			{at: 9500 * time.Millisecond, waits: catchUp / 2},
			{at: 10 * time.Second},
		},
		"an attempt that fails is not another absence": {
			{at: 0, went: "a"},
			{at: 20 * time.Second, went: "a", waits: recheck},
			{at: 31 * time.Second},
		},
		"one that stays away is not waited for without end": {
			{at: 0, went: "a"},
			{at: 0, went: "b"},
			{at: 29 * time.Second, waits: recheck},
			{at: 30 * time.Second},
			{at: 60 * time.Second, came: "a", waits: catchUp},
			{at: 62 * time.Second, waits: recheck},
			{at: 90 * time.Second},
		},
		"what it does not feed goes on": {
			{at: 0, went: "b"},
			{at: time.Second, waits: recheck, onlyA: none},
			{at: 10 * time.Second, came: "b", waits: catchUp, onlyA: none},
			{at: 11 * time.Second},
		},
		"one that stays away is not waited for again when another one is renewed": {
			{at: 0, went: "b"},
			{at: 31 * time.Second},
			{at: 60 * time.Second, went: "a"},
			{at: 60*time.Second + 20*time.Millisecond, came: "a"},
			{at: 61 * time.Second},
		},
		"it is when another one was away, too: what changed together may come apart": {
			{at: 0, went: "b"},
			{at: 60 * time.Second, went: "a"},
			{at: 61 * time.Second, waits: recheck},
			{at: 62 * time.Second, came: "a", waits: catchUp},
			{at: 63 * time.Second, waits: recheck, onlyA: none},
			{at: 92 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, start := newWatchHealth(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			for _, step := range steps {
				now := start.Add(step.at)
				if step.went != "" {
					s.down(step.went, now)
				}
				if step.came != "" {
					s.up(step.came, now)
				}
				if got := s.wait(now, "a", "b"); got != step.waits {
					t.Errorf("at %s: waits %s, want %s", step.at, got, step.waits)
				}
				if want := max(0, cmp.Or(step.onlyA, step.waits)); step.onlyA != 0 && s.wait(now, "a") != want {
					t.Errorf("at %s: what a feeds waits %s, want %s", step.at, s.wait(now, "a"), want)
				}
			}
		})
	}
}

// none stands for 0 where that means that nothing is said.
const none = -1

// A watch that stays broken, while the server ends each of the others every few minutes.
func TestABrokenWatchIsNotWaitedForAtEachRenewal(t *testing.T) {
	t.Parallel()
	s, start := newWatchHealth(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	others := []string{"a", "b", "c", "d", "e", "f"}
	s.down("broken", start)
	waited := time.Duration(0)
	for second := range 3600 {
		now := start.Add(time.Duration(second) * time.Second)
		for i, other := range others {
			if second > 0 && (second+i*75)%450 == 0 {
				s.down(other, now)
				s.up(other, now.Add(20*time.Millisecond))
			}
		}
		if s.wait(now, append(others, "broken")...) > 0 {
			waited += time.Second
		}
	}
	if waited > endurance {
		t.Errorf("nothing is decided for %s of an hour, want at most %s", waited, endurance)
	}
}

func TestWhatFeedsAWorkload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := open(t, objects(
			objtest.Deployment("config", objtest.EnvFrom(objtest.CM("a"))),
			objtest.Deployment("named", objtest.Annotation("secret.reloader.stakater.com/reload", "b*")),
			objtest.StatefulSet("stateful", objtest.EnvFrom(objtest.Sec("b"))),
		))
		health := l.cacheOf(objtest.Namespace).health
		for name, c := range map[string]struct {
			broken string
			want   []string
		}{
			"a kind of source":      {"Secret", []string{"named", "stateful"}},
			"another one":           {"ConfigMap", []string{"config"}},
			"a kind of workload":    {"Deployment", []string{"config", "named"}},
			"one that nobody needs": {"DaemonSet", nil},
		} {
			health.down(c.broken, time.Now())
			time.Sleep(time.Second)
			var got []string
			for _, key := range l.Workloads() {
				if w, _ := l.Workload(key); l.StaleFor(w) > 0 {
					got = append(got, key.Name)
				}
			}
			slices.Sort(got)
			if diff := gocmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (%s): those that wait (-want +got):\n%s", name, c.broken, diff)
			}
			health.up(c.broken, time.Now())
			time.Sleep(time.Minute)
		}
	})
}
