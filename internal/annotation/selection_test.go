package annotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

type selectors = map[string]string

const (
	auto        = "reloader.stakater.com/auto"
	autoCM      = "configmap.reloader.stakater.com/auto"
	autoSecret  = "secret.reloader.stakater.com/auto"
	namedCM     = "configmap.reloader.stakater.com/reload"
	namedSecret = "secret.reloader.stakater.com/reload"
	namedClass  = "secretproviderclass.reloader.stakater.com/reload"
	excludeCM   = "configmaps.exclude.reloader.stakater.com/reload"
	search      = "reloader.stakater.com/search"
	match       = "reloader.stakater.com/match"
	ignore      = "reloader.stakater.com/ignore"
	onFailure   = "inpod.dev/on-failure"
	inject      = "inpod.dev/inject"
)

func configMap(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: name}
}

// selectionCase is one ConfigMap "cm1" that changes, and that the template references unless said otherwise.
type selectionCase struct {
	name               string
	workload, template selectors
	source             selectors
	autoAll            bool
	unreferenced       bool
	want               annotation.Selection
	// differs says why Reloader answers otherwise; docs/adr/0004-annotation-semantics.md has the same reasons.
	differs string
}

func (tc selectionCase) check(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	policy, _ := annotation.Read(keys, tc.workload, tc.template)
	ignored, matched := keys.ReadSourceAnnotations(tc.source)
	if got := policy.Select(configMap("cm1"), ignored, matched, !tc.unreferenced, tc.autoAll); got != tc.want {
		t.Errorf("%s, want %s (%s)", got, tc.want, tc.differs)
	}
}

// The cases of Reloader v1.4.21 that were measured on it, in the order in which its ShouldReload looks at them.
func TestReloaderCases(t *testing.T) {
	t.Parallel()
	const yes = annotation.Auto
	for _, tc := range []selectionCase{
		{
			name: "auto=false and named", workload: selectors{auto: "false", namedCM: "cm1"}, want: annotation.Named,
		},
		{
			name: "auto=false under auto-reload-all", workload: selectors{auto: "false"}, autoAll: true, want: annotation.NotSelected,
		},
		{
			name: "empty auto under auto-reload-all", workload: selectors{auto: ""}, autoAll: true, want: yes,
		},
		{
			name: "auto=maybe under auto-reload-all", workload: selectors{auto: "maybe"}, autoAll: true, want: annotation.NotSelected,
		},
		{
			name: "auto=false and auto of the kind =true", workload: selectors{auto: "false", autoCM: "true"}, want: yes,
		},
		{
			name: "auto=true and auto of the kind =false", workload: selectors{auto: "true", autoCM: "false"}, want: yes,
		},
		{
			name: "auto of the kind =false under auto-reload-all", workload: selectors{autoCM: "false"}, autoAll: true, want: annotation.NotSelected,
		},
		{
			name: "auto of another kind =true under auto-reload-all", workload: selectors{autoSecret: "true"}, autoAll: true, want: yes,
		},
		{
			name: "auto of another kind =false under auto-reload-all", workload: selectors{autoSecret: "false"}, autoAll: true, want: yes,
		},
		{
			name: "another is named, under auto-reload-all", workload: selectors{namedCM: "other"}, autoAll: true, want: yes,
		},
		{
			name: "search without match under auto-reload-all", workload: selectors{search: "true"}, autoAll: true, want: yes,
		},
		{
			name: "excluded and named", workload: selectors{excludeCM: "cm1", namedCM: "cm1"}, want: annotation.Excluded,
		},
		{
			name: "excluded by a pattern", workload: selectors{excludeCM: "cm.*", auto: "true"}, want: annotation.Excluded,
			differs: "exclude lists take patterns as named lists do",
		},
		{
			name: "excluded on the template, auto there too", template: selectors{excludeCM: "cm1", auto: "true"}, want: annotation.Excluded,
			differs: "who can only edit the template can exclude as well",
		},
		{
			name: "excluded on the workload, auto on the template", workload: selectors{excludeCM: "cm1"}, template: selectors{auto: "true"}, want: annotation.Excluded,
		},
		{
			name: "auto=false on the workload, named on the template", workload: selectors{auto: "false"}, template: selectors{namedCM: "cm1"}, want: annotation.NotSelected,
		},
		{
			name: "Secrets named on the workload, the ConfigMap on the template", workload: selectors{namedSecret: "s"}, template: selectors{namedCM: "cm1"}, want: annotation.Named,
		},
		{
			name: "another named on the workload, auto on the template", workload: selectors{namedCM: "other"}, template: selectors{auto: "true"}, want: annotation.NotSelected,
		},
		{
			name: "named with blanks around it", workload: selectors{namedCM: "x, cm1 ,y"}, want: annotation.Named,
		},
		{
			name: "named with a comma in braces", workload: selectors{namedCM: "cm{1,2}1"}, want: annotation.Named,
			differs: "a comma inside brackets that close belongs to the pattern: c, one or two m, 1",
		},
		{
			name: "named by an alternative", workload: selectors{namedCM: "cm|zz"}, want: annotation.NotSelected,
			differs: "Reloader compiles ^cm|zz$, begins with cm or ends with zz; an item is a pattern for the whole name",
		},
		{
			name: "named behind an item that is no pattern", workload: selectors{namedCM: "[,cm1"}, want: annotation.Named,
			differs: "the released version panics",
		},
		{
			name: "named true", workload: selectors{namedCM: "true"}, want: annotation.NotSelected,
		},
	} {
		t.Run(tc.name, tc.check)
	}
}

// The order of the decision, as the comment of Select has it, and what the cases above leave out.
func TestSelect(t *testing.T) {
	t.Parallel()
	everything := selectors{auto: "true", namedCM: "cm1", search: "true"}
	matched := selectors{match: "true"}
	for _, tc := range []selectionCase{
		{name: "nothing said", want: annotation.NotSelected},
		{name: "nothing said, auto-reload-all", autoAll: true, want: annotation.Auto},
		{name: "nothing said, auto-reload-all, not referenced", autoAll: true, unreferenced: true, want: annotation.NotSelected},
		{name: "auto", workload: selectors{auto: "true"}, want: annotation.Auto},
		{name: "auto, not referenced", workload: selectors{auto: "true"}, unreferenced: true, want: annotation.NotSelected},
		{name: "auto=1, as Go reads booleans", workload: selectors{auto: "1"}, want: annotation.Auto},
		{name: "auto with a blank is no boolean", workload: selectors{auto: " true"}, want: annotation.NotSelected},
		{name: "auto of the kind", workload: selectors{autoCM: "T"}, want: annotation.Auto},
		{name: "auto of another kind", workload: selectors{autoSecret: "true"}, want: annotation.NotSelected},
		{name: "auto on the template", template: selectors{auto: "true"}, want: annotation.Auto},
		{name: "auto=false on the workload hides the template", workload: selectors{auto: "false"}, template: selectors{auto: "true"}, want: annotation.NotSelected},
		{name: "empty auto on the workload hides the template", workload: selectors{auto: ""}, template: selectors{auto: "true"}, want: annotation.NotSelected},
		{name: "auto of another kind on the workload does not", workload: selectors{autoSecret: "true"}, template: selectors{auto: "true"}, want: annotation.Auto},
		{name: "search on the workload hides the template", workload: selectors{search: ""}, template: selectors{namedCM: "cm1"}, want: annotation.NotSelected},

		{name: "named, referenced", workload: selectors{namedCM: "cm1"}, want: annotation.Named},
		{name: "named, not referenced", workload: selectors{namedCM: "cm1"}, unreferenced: true, want: annotation.Named},
		{name: "named by a pattern", workload: selectors{namedCM: "cm[0-9]"}, unreferenced: true, want: annotation.Named},
		{name: "a pattern is for the whole name", workload: selectors{namedCM: "cm"}, want: annotation.NotSelected},
		{name: "dots of a named item match any character", workload: selectors{namedCM: "c.1"}, want: annotation.Named},
		{name: "dots of an excluded name do not", workload: selectors{excludeCM: "c.1", auto: "true"}, want: annotation.Auto, differs: "both read it as a name"},
		{name: "a pattern of alternatives in a group", workload: selectors{namedCM: "(cm1|zz)"}, want: annotation.Named},
		{name: "an item that closes a group it has not opened is no pattern", workload: selectors{namedCM: "cm)|(zz"}, want: annotation.NotSelected},
		{name: "named for another kind", workload: selectors{namedSecret: "cm1"}, want: annotation.NotSelected},

		{name: "search and match", workload: selectors{search: "true"}, source: matched, want: annotation.Search},
		{name: "search and match, not referenced", workload: selectors{search: "true"}, source: matched, unreferenced: true, want: annotation.NotSelected},
		{name: "search and match=yes", workload: selectors{search: "true"}, source: selectors{match: "yes"}, want: annotation.NotSelected},
		{name: "search=True and match", workload: selectors{search: "True"}, source: matched, want: annotation.NotSelected},
		{name: "match without search", source: matched, want: annotation.NotSelected},
		{name: "search on the template", template: selectors{search: "true"}, source: matched, want: annotation.Search},

		{name: "named comes before search and auto", workload: everything, source: matched, want: annotation.Named},
		{name: "search comes before auto", workload: selectors{auto: "true", search: "true"}, source: matched, want: annotation.Search},
		{name: "excluded comes before named", workload: selectors{excludeCM: "cm1", namedCM: "cm1", auto: "true"}, source: matched, want: annotation.Excluded},
		{name: "excluded under auto-reload-all", workload: selectors{excludeCM: "a,cm1"}, autoAll: true, want: annotation.Excluded},
		{name: "excluded in both places", workload: selectors{excludeCM: "a", auto: "true"}, template: selectors{excludeCM: "cm1"}, want: annotation.Excluded},
		{name: "another is excluded", workload: selectors{excludeCM: "a", auto: "true"}, want: annotation.Auto},
		{name: "ignored comes before excluded", workload: selectors{excludeCM: "cm1"}, source: selectors{ignore: "true"}, want: annotation.Ignored},
		{name: "ignored comes before named", workload: everything, source: selectors{ignore: "true", match: "true"}, want: annotation.Ignored},
		{name: "ignore=1 does not ignore", workload: selectors{auto: "true"}, source: selectors{ignore: "1"}, want: annotation.Auto},
		{
			name: "ignore on the workload comes first", workload: selectors{ignore: "true", namedCM: "cm1"}, source: selectors{ignore: "true"}, autoAll: true,
			want: annotation.OptedOut, differs: "it means nothing to Reloader; people expect it who write it there",
		},
		{name: "ignore on the template", workload: selectors{auto: "true"}, template: selectors{ignore: "true"}, want: annotation.OptedOut, differs: "the same"},
		{name: "ignore=false on the workload", workload: selectors{auto: "true", ignore: "false"}, want: annotation.Auto},

		{name: "injected, nothing said", template: selectors{inject: "enabled"}, want: annotation.Auto},
		{name: "injected=true, nothing said", template: selectors{inject: "true"}, want: annotation.Auto},
		{name: "injected, not referenced", template: selectors{inject: "enabled"}, unreferenced: true, want: annotation.NotSelected},
		{name: "injected, auto=false", workload: selectors{auto: "false"}, template: selectors{inject: "enabled"}, want: annotation.NotSelected},
		{name: "injection disabled", template: selectors{inject: "disabled"}, want: annotation.NotSelected},
		{name: "inject on the workload says nothing about pods", workload: selectors{inject: "enabled"}, want: annotation.NotSelected},
	} {
		t.Run(tc.name, tc.check)
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	for selection, want := range map[annotation.Selection]bool{
		annotation.Named: true, annotation.Search: true, annotation.Auto: true,
		annotation.OptedOut: false, annotation.Ignored: false, annotation.Excluded: false, annotation.NotSelected: false, "": false,
	} {
		if selection.Follows() != want {
			t.Errorf("%q: %t", selection, !want)
		}
	}
}

func TestEachKindHasItsOwnLists(t *testing.T) {
	t.Parallel()
	policy, problems := annotation.Read(annotation.DefaultKeys(),
		selectors{namedCM: "b, a,x.*,,a.b", namedSecret: "db", "secretproviderclass.reloader.stakater.com/auto": "true"}, selectors{namedClass: "vault"})
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	if diff := cmp.Diff(map[source.Kind][]string{source.ConfigMap: {"b", "a", "x.*", "a.b"}, source.Secret: {"db"}}, policy.Lists()); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
	for kind, want := range map[source.Kind]struct {
		literals []string
		patterns bool
	}{
		source.ConfigMap:           {[]string{"a", "a.b", "b"}, true},
		source.Secret:              {[]string{"db"}, false},
		source.SecretProviderClass: {nil, false}, // the workload says auto, so the template is not asked
	} {
		if diff := cmp.Diff(want.literals, policy.Literals(kind), cmpopts.EquateEmpty()); diff != "" || policy.HasPatterns(kind) != want.patterns {
			t.Errorf("%s: patterns %t, literals (-want +got):\n%s", kind, policy.HasPatterns(kind), diff)
		}
	}
	class := source.Ref{Kind: source.SecretProviderClass, Namespace: "shop", Name: "vault"}
	if got := policy.Select(class, false, false, true, false); got != annotation.Auto {
		t.Errorf("%s: %s", class, got)
	}
}

func TestSearches(t *testing.T) {
	t.Parallel()
	policy, _ := annotation.Read(annotation.DefaultKeys(), selectors{autoCM: "true"}, selectors{search: "true"})
	if policy.Searches(source.ConfigMap) || !policy.Searches(source.Secret) {
		t.Error("the template's search counts for the kinds that the workload does not mention, and for no other")
	}
}

func TestZeroPolicyFollowsNothing(t *testing.T) {
	t.Parallel()
	var policy annotation.Policy
	if got := policy.Select(configMap("cm1"), false, true, true, false); got != annotation.NotSelected {
		t.Errorf("got %s", got)
	}
	if len(policy.Lists()) != 0 || policy.HasPatterns(source.Secret) || len(policy.Literals(source.Secret)) != 0 {
		t.Error("it names something")
	}
}

func TestPrefixOfKeysCanBeReplaced(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	keys.Auto, keys.Named = "example.com/auto", map[source.Kind]string{source.ConfigMap: "example.com/cm"}
	policy, _ := annotation.Read(keys, selectors{"example.com/cm": "cm1", auto: "true"}, nil)
	if got := policy.Select(configMap("cm1"), false, false, false, false); got != annotation.Named {
		t.Errorf("by its own key: %s", got)
	}
	if got := policy.Select(configMap("other"), false, false, true, false); got != annotation.NotSelected {
		t.Errorf("by the key that was replaced: %s", got)
	}
	if !keys.OnWorkload("example.com/cm") || keys.OnWorkload(namedCM) || keys.OnWorkload(auto) {
		t.Error("OnWorkload does not go by the keys that are set")
	}
}

func TestKeysOnWorkload(t *testing.T) {
	t.Parallel()
	keys := annotation.DefaultKeys()
	for _, key := range []string{
		auto, autoCM, autoSecret, namedCM, namedSecret, namedClass, excludeCM, search, ignore, onFailure, inject,
		"secrets.exclude.reloader.stakater.com/reload", "secretproviderclasses.exclude.reloader.stakater.com/reload",
		"secretproviderclass.reloader.stakater.com/auto", annotation.Baseline, annotation.LastReloadedFrom,
	} {
		if !keys.OnWorkload(key) {
			t.Errorf("%s is not kept", key)
		}
	}
	for _, key := range []string{"", match, "kubectl.kubernetes.io/last-applied-configuration", "reloader.stakater.com/Auto"} {
		if keys.OnWorkload(key) {
			t.Errorf("%s is kept", key)
		}
	}
}
