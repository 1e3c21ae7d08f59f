package annotation_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

// Each value that cannot be understood is one problem, whose line names the annotation, the value and what would be right.
func TestProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		workload, template selectors
		want               []string // what the line of each problem says
		key, value         string
		onTemplate         bool
	}{
		"auto=maybe, which counts for every kind, is reported once": {
			workload: selectors{auto: "maybe"}, key: auto, value: "maybe",
			want: []string{`annotation reloader.stakater.com/auto: "maybe" is not a boolean and counts as false; use "true" or "false"`},
		},
		"auto of a kind": {
			template: selectors{autoSecret: " true"}, key: autoSecret, value: " true", onTemplate: true,
			want: []string{`annotation secret.reloader.stakater.com/auto on the pod template: " true" is not a boolean and counts as false; use "true" or "false"`},
		},
		"search=True": {
			workload: selectors{search: "True"}, key: search, value: "True",
			want: []string{`annotation reloader.stakater.com/search: "True" counts as false; only "true" switches it on`},
		},
		"ignore=yes on the workload": {
			workload: selectors{ignore: "yes"}, key: ignore, value: "yes",
			want: []string{`annotation reloader.stakater.com/ignore: "yes" counts as false; only "true" switches it on`},
		},
		"ignore with a blank on the template": {
			template: selectors{ignore: "true "}, key: ignore, value: "true ", onTemplate: true,
			want: []string{`annotation reloader.stakater.com/ignore on the pod template: "true " counts as false; only "true" switches it on`},
		},
		"a named item that is no pattern": {
			workload: selectors{namedCM: "a,[,*b"}, key: namedCM, value: "a,[,*b",
			want: []string{
				`annotation configmap.reloader.stakater.com/reload: "[" is not a regular expression: missing closing ]; write names or patterns, separated by commas`,
				`annotation configmap.reloader.stakater.com/reload: "*b" is read as a regular expression, in which * repeats what is before it; write ".*b"`,
			},
		},
		"an item that closes a group it has not opened": {
			workload: selectors{namedCM: "a)|(b"}, key: namedCM, value: "a)|(b",
			want: []string{`annotation configmap.reloader.stakater.com/reload: "a)|(b" is not a regular expression: unexpected ); write names or patterns, separated by commas`},
		},
		"an item that ends with a backslash": {
			workload: selectors{namedCM: `a\`}, key: namedCM, value: `a\`,
			want: []string{`annotation configmap.reloader.stakater.com/reload: "a\\" is not a regular expression: trailing backslash at end of expression; write names or patterns, separated by commas`},
		},
		"an item that begins a quotation and does not end it": {
			workload: selectors{namedCM: `\Qa`}, key: namedCM, value: `\Qa`,
			want: []string{`annotation configmap.reloader.stakater.com/reload: "\\Qa" is not a regular expression: missing closing ); write names or patterns, separated by commas`},
		},
		"an excluded item that is no pattern": {
			template: selectors{excludeCM: "(,b"}, key: excludeCM, value: "(,b", onTemplate: true,
			want: []string{`annotation configmaps.exclude.reloader.stakater.com/reload on the pod template: "(" is not a regular expression: missing closing ); write names or patterns, separated by commas`},
		},
		"named true": {
			workload: selectors{namedSecret: "true"}, key: namedSecret, value: "true",
			want: []string{`annotation secret.reloader.stakater.com/reload: "true" is read as the name of a Secret; to follow every Secret use secret.reloader.stakater.com/auto: "true"`},
		},
		"on-failure=retry": {
			workload: selectors{onFailure: "retry"}, key: onFailure, value: "retry",
			want: []string{`annotation inpod.dev/on-failure: "retry" is not allowed and counts as "rollout"; use "rollout", "evict" or "none"`},
		},
		"on-failure=None on the template": {
			template: selectors{onFailure: "None"}, key: onFailure, value: "None", onTemplate: true,
			want: []string{`annotation inpod.dev/on-failure on the pod template: "None" is not allowed and counts as "rollout"; use "rollout", "evict" or "none"`},
		},
		"rollout-strategy=Restart": {
			workload: selectors{annotation.RolloutStrategyKey: "Restart"}, key: annotation.RolloutStrategyKey, value: "Restart",
			want: []string{`annotation reloader.stakater.com/rollout-strategy: "Restart" is not allowed and counts as "rollout"; use "rollout" or "restart"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := annotation.Read(annotation.DefaultKeys(), tc.workload, tc.template)
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
				if p.Key != tc.key || p.Value != tc.value || p.OnTemplate != tc.onTemplate {
					t.Errorf("problem of %s: %q, on the template: %t", p.Key, p.Value, p.OnTemplate)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ workload, template selectors }{
		"nothing said":                       {},
		"good values":                        {workload: selectors{auto: "TRUE", search: "true", namedCM: "a, b.*", excludeCM: "c", ignore: "false", onFailure: "none"}},
		"empty values":                       {workload: selectors{auto: "", search: "", namedCM: "", excludeCM: " , ", ignore: "", onFailure: ""}},
		"false where only true means much":   {workload: selectors{search: "false", ignore: "FALSE"}},
		"bad values that the workload hides": {workload: selectors{auto: "true"}, template: selectors{auto: "maybe", search: "maybe", namedCM: "["}},
		"annotations of others":              {workload: selectors{"example.com/auto": "maybe"}, template: selectors{"prometheus.io/scrape": "yes"}},
	} {
		if _, problems := annotation.Read(annotation.DefaultKeys(), tc.workload, tc.template); len(problems) > 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

// A value that cannot be understood leaves all others as they are.
func TestABadValueConcernsItself(t *testing.T) {
	t.Parallel()
	policy, problems := annotation.Read(annotation.DefaultKeys(), selectors{
		auto: "maybe", namedCM: "(,good,*", namedSecret: "db", excludeCM: "[,bad", search: "yes", onFailure: "x",
	}, nil)
	if len(problems) != 6 {
		t.Errorf("%d problems: %v", len(problems), problems)
	}
	secret := source.Ref{Kind: source.Secret, Namespace: "shop", Name: "db"}
	for ref, want := range map[source.Ref]annotation.Selection{
		configMap("good"): annotation.Named, configMap("bad"): annotation.Excluded, configMap("other"): annotation.NotSelected, secret: annotation.Named,
	} {
		if got := policy.Select(ref, false, true, true, true); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}

func TestProblemsComeInAFixedOrder(t *testing.T) {
	t.Parallel()
	workload := selectors{auto: "maybe", namedCM: "[", namedSecret: "[", namedClass: "true", excludeCM: "[", search: "yes", ignore: "yes", onFailure: "x"}
	_, want := annotation.Read(annotation.DefaultKeys(), workload, nil)
	for range 20 {
		if _, got := annotation.Read(annotation.DefaultKeys(), maps.Clone(workload), nil); !slices.Equal(got, want) {
			t.Fatalf("%v\n%v", got, want)
		}
	}
}

func TestPolicyOfTheWholeWorkload(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		workload, template selectors
		optedOut, injected bool
		onFailure          annotation.OnFailure
	}{
		"nothing said":                      {},
		"ignore on the workload":            {workload: selectors{ignore: "true"}, optedOut: true},
		"ignore on the template":            {template: selectors{ignore: "true"}, optedOut: true},
		"inject":                            {template: selectors{inject: "enabled"}, injected: true},
		"inject=true":                       {template: selectors{inject: "true"}, injected: true},
		"inject=false":                      {template: selectors{inject: "false"}},
		"on-failure on the workload":        {workload: selectors{onFailure: "none"}, onFailure: "none"},
		"on-failure on the template":        {template: selectors{onFailure: "none"}, onFailure: "none"},
		"on-failure, the workload before":   {workload: selectors{onFailure: "rollout"}, template: selectors{onFailure: "none"}, onFailure: "rollout"},
		"on-failure: evict":                 {template: selectors{onFailure: "evict"}, onFailure: "evict"},
		"on-failure, empty on the workload": {workload: selectors{onFailure: ""}, template: selectors{onFailure: "none"}, onFailure: "none"},
		"on-failure that is not understood": {workload: selectors{onFailure: "None"}, onFailure: "rollout"},
	} {
		p, _ := annotation.Read(annotation.DefaultKeys(), tc.workload, tc.template)
		if p.OptedOut != tc.optedOut || p.Injected != tc.injected || p.OnFailure != tc.onFailure {
			t.Errorf("%s: opted out %t, injected %t, on failure %q", name, p.OptedOut, p.Injected, p.OnFailure)
		}
	}
}

func TestRolloutStrategy(t *testing.T) {
	t.Parallel()
	says := func(value string) selectors { return selectors{annotation.RolloutStrategyKey: value} }
	for name, tc := range map[string]struct {
		workload, template selectors
		want               annotation.RolloutStrategy
	}{
		"nothing said":        {},
		"on the workload":     {workload: says("restart"), want: annotation.Restart},
		"on the template":     {template: says("restart"), want: annotation.Restart},
		"the workload before": {workload: says("rollout"), template: says("restart"), want: annotation.Rollout},
		"empty":               {workload: says(""), template: says("restart"), want: annotation.Restart},
		"not understood":      {workload: says("restart "), want: annotation.Rollout},
	} {
		if p, _ := annotation.Read(annotation.DefaultKeys(), tc.workload, tc.template); p.RolloutStrategy != tc.want {
			t.Errorf("%s: %q, want %q", name, p.RolloutStrategy, tc.want)
		}
	}
}

// Whatever somebody writes, it is read in time that is in proportion to its length.
func TestLongListsAreReadQuickly(t *testing.T) {
	t.Parallel()
	const size = 1 << 16
	for name, text := range map[string]string{
		"opening brackets":        strings.Repeat("(", size),
		"all opening brackets":    strings.Repeat("([{", size/3),
		"classes":                 strings.Repeat("[", size),
		"opening, then closing":   strings.Repeat("{", size/2) + strings.Repeat(")", size/2),
		"opening, closing, mixed": strings.Repeat("{(", size/4) + strings.Repeat(")", size/2),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := annotation.Read(annotation.DefaultKeys(), selectors{excludeCM: text}, nil)
			if len(problems) == 0 {
				t.Error("no problem")
			}
		})
	}
}
