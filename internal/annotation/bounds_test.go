package annotation_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// allocated is how many bytes something takes from the heap: a measure of its work that a slow machine does not change. Tests that
// use it are not parallel.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// longest is the size of all annotations of an object that the API server takes.
const longest = 1 << 18

// listOf repeats an item with a number in it until a list has that size.
func listOf(format string) string {
	var b strings.Builder
	for i := 0; b.Len() < longest; i++ {
		fmt.Fprintf(&b, format+",", i)
	}
	return b.String()
}

func keysLike(format string) selectors {
	many := selectors{}
	for i := range longest / len(format) {
		many[fmt.Sprintf(format, i)] = "true"
	}
	return many
}

// Whoever may write one object must not keep the controller from all others.
func TestTheWorkForOneObjectIsBounded(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	const most = 96 << 20 // gigabytes without the bounds; the race detector needs 30 MiB for one of them
	other := annotation.DefaultKeys()
	other.Auto = "example.com/roll"
	for name, do := range map[string]func(){
		"unknown keys": func() {
			annotation.NewChecker(annotation.DefaultKeys()).Check(at{workload: keysLike("inpod.dev/x%d")}.object())
		},
		"unknown labels": func() {
			annotation.NewChecker(annotation.DefaultKeys()).Check(at{labels: keysLike("inpod.dev/x%d")}.object())
		},
		"keys of another installation": func() {
			annotation.NewChecker(other).Check(at{workload: keysLike("reloader.stakater.com/x%d")}.object())
		},
		"keys of another installation on the template of Jobs": func() {
			annotation.NewChecker(other).Check(at{jobTemplate: keysLike("reloader.stakater.com/x%d")}.object())
		},
		"keys of domains that are nearly known": func() {
			annotation.NewChecker(annotation.DefaultKeys()).Check(at{workload: keysLike("xreloader%d.stakater.com/auto")}.object())
		},
		"keys of long domains": func() {
			keys := keysLike("x%d.reloader." + strings.Repeat("a", 200) + "/reload")
			for key := range keys {
				annotation.NewChecker(annotation.DefaultKeys()).Concerns(key)
				break
			}
			annotation.NewChecker(annotation.DefaultKeys()).Check(at{workload: keys}.object())
		},
		"a list of what can be no name": func() {
			annotation.Read(annotation.DefaultKeys(), selectors{namedCM: listOf("A%d")}, nil)
		},
		"a list of patterns": func() {
			annotation.Read(annotation.DefaultKeys(), selectors{namedCM: listOf("a%d.*")}, nil)
		},
		"lists of patterns": func() {
			all := selectors{}
			for _, key := range []string{namedCM, namedSecret, namedClass, excludeCM} {
				all[key] = listOf("a%d.*")[:longest/4]
			}
			annotation.Read(annotation.DefaultKeys(), all, all)
		},
		"patterns that repeat": func() {
			annotation.Read(annotation.DefaultKeys(), selectors{namedCM: listOf("a%d" + strings.Repeat("b{1000}", 140))}, nil)
		},
		"patterns that repeat what repeats": func() {
			annotation.Read(annotation.DefaultKeys(), selectors{excludeCM: listOf("a%d(((b{9}){9}){9})*")}, nil)
		},
		"unknown keys of a pod": func() {
			pod := keysLike("inpod.dev/x%d")
			pod["inpod.dev/inject"] = "enabled"
			annotation.ReadInjection(pod, nil, false)
		},
		"what of a list matches nothing": func() {
			policy, _ := annotation.Read(annotation.DefaultKeys(), selectors{namedCM: listOf("A%d")}, nil)
			policy.Idle(source.ConfigMap, []string{"web"})
		},
	} {
		if got := allocated(do); got > most {
			t.Errorf("%s: %d MiB", name, got>>20)
		}
	}
}

// The loop asks at each reconciliation.
func TestWhatMatchesNothingIsFoundWithoutReadingTheListAgain(t *testing.T) { //nolint:paralleltest // it counts what is allocated
	policy, _ := annotation.Read(annotation.DefaultKeys(), selectors{namedCM: "web-.*,api.v1,(a|b)+c,gone"}, nil)
	names := []string{"web-1", "api.v1", "ac"}
	var idle []string
	got := allocated(func() {
		for range 1000 {
			idle = policy.Idle(source.ConfigMap, names)
		}
	})
	if strings.Join(idle, ",") != "gone" {
		t.Errorf("idle: %q", idle)
	}
	if got > 1<<20 {
		t.Errorf("%d bytes each time", got/1000)
	}
}

// What is too much is said, and the rest counts.
func TestPatternsBeyondTheBound(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"one that repeats too much": "web,a" + strings.Repeat("b{1000}", 100) + ",x.*",
		"too many":                  "web,x.*," + listOf("a%d.*"),
	} {
		policy, problems := annotation.Read(annotation.DefaultKeys(), selectors{namedCM: list}, nil)
		if len(problems) == 0 || !strings.Contains(problems[0].Fault, "patterns") {
			t.Errorf("%s: %v", name, problems)
		}
		for _, want := range []string{"web", "x1"} {
			if got := policy.Select(configMap(want), false, false, false, false); got != annotation.Named {
				t.Errorf("%s: %s is %s", name, want, got)
			}
		}
	}
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("app.config-%d", i))
	}
	policy, problems := annotation.Read(annotation.DefaultKeys(), selectors{namedCM: strings.Join(names, ",")}, nil)
	if len(problems) > 0 || policy.Select(configMap(names[4999]), false, false, false, false) != annotation.Named {
		t.Errorf("a name with a dot counts as a name, however many there are: %v", problems)
	}
}
