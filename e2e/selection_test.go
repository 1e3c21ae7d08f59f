//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"inpod.dev/inpod/e2e/internal/framework"
)

// selectionCase says what is written on a workload, its pod template and a source, and whether an edit of the source
// rolls the workload. NAME stands for the name of the source.
type selectionCase struct {
	why                        string
	workload, template, source map[string]string
	secret                     bool // the source is a Secret, not a ConfigMap
	unused                     bool // the workload does not reference it
	want                       bool
}

// selectionCases follow the order of the decision: docs/reference of Reloader's annotations, and where inpod differs.
func selectionCases(k keys) []selectionCase {
	type is = map[string]string
	return []selectionCase{
		{why: "nothing said", want: false},
		{why: "auto", workload: is{k.auto: "true"}, want: true},
		{why: "auto in another spelling of true", workload: is{k.auto: "T"}, want: true},
		{why: "auto false", workload: is{k.auto: "false"}, want: false},
		{why: "auto for ConfigMaps", workload: is{k.configmapAuto: "true"}, want: true},
		{why: "auto for ConfigMaps and a Secret", workload: is{k.configmapAuto: "true"}, secret: true, want: false},
		{why: "auto for Secrets", workload: is{k.secretAuto: "true"}, secret: true, want: true},
		{why: "auto for Secrets and a ConfigMap", workload: is{k.secretAuto: "true"}, want: false},
		{why: "auto false does not take back the form for ConfigMaps", workload: is{k.auto: "false", k.configmapAuto: "true"}, want: true},
		{why: "auto without a reference", workload: is{k.auto: "true"}, unused: true, want: false},

		{why: "search and match", workload: is{k.search: "true"}, source: is{k.match: "true"}, want: true},
		{why: "search without match", workload: is{k.search: "true"}, want: false},
		{why: "match without search", source: is{k.match: "true"}, want: false},
		{why: "search and match without a reference", workload: is{k.search: "true"}, source: is{k.match: "true"}, unused: true, want: false},

		{why: "named", workload: is{k.configmap: "NAME"}, want: true},
		{why: "named without a reference", workload: is{k.configmap: "NAME"}, unused: true, want: true},
		{why: "named Secret", workload: is{k.secret: "NAME"}, secret: true, want: true},
		{why: "named among others with blanks", workload: is{k.configmap: "other, NAME ,another"}, want: true},
		{why: "another one named", workload: is{k.configmap: "other"}, want: false},
		{why: "regular expression", workload: is{k.configmap: "other|NAME"}, want: true},
		{why: "regular expression with a repeat count", workload: is{k.configmap: "another,NAME{1,2}"}, want: true},
		{why: "regular expression for a part of the name", workload: is{k.configmap: "source"}, want: false},
		{why: "auto false does not take back a name", workload: is{k.auto: "false", k.configmap: "NAME"}, want: true},

		{why: "ignored source", workload: is{k.auto: "true"}, source: is{k.ignore: "true"}, want: false},
		{why: "ignored source that is named", workload: is{k.configmap: "NAME"}, source: is{k.ignore: "true"}, want: false},
		{why: "excluded ConfigMap", workload: is{k.auto: "true", configmapsExclude: "other,NAME"}, want: false},
		{why: "excluded Secret", workload: is{k.auto: "true", secretsExclude: "NAME"}, secret: true, want: false},
		{why: "excluded and named", workload: is{k.configmap: "NAME", configmapsExclude: "NAME"}, want: false},

		{why: "auto on the pod template", template: is{k.auto: "true"}, want: true},
		{why: "name on the pod template", template: is{k.configmap: "NAME"}, want: true},
		{why: "pod template is not asked when the workload speaks", workload: is{k.auto: "false"}, template: is{k.configmap: "NAME"}, want: false},
		{why: "pod template is asked for the other kind", workload: is{k.secret: "other"}, template: is{k.configmap: "NAME"}, want: true},
		{why: "excluded on the workload, auto on the pod template", workload: is{configmapsExclude: "NAME"}, template: is{k.auto: "true"}, want: false},
	}
}

func TestSelectionOfSources(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	cases := selectionCases(s.keys)
	name := func(i int) string { return fmt.Sprintf("source-%d", i) }
	edit := func(value string) {
		for i, c := range cases {
			if c.secret {
				source := secret(name(i), "key", value)
				source.Annotations = c.source
				s.apply(source)
				continue
			}
			source := configMap(name(i), "key", value)
			source.Annotations = c.source
			s.apply(source)
		}
	}
	edit("1")
	var all, want []framework.Workload
	why := map[framework.Workload]string{}
	for i, c := range cases {
		a := deployment(fmt.Sprintf("case-%d", i)).idle()
		if !c.unused {
			from := ofConfigMap(name(i))
			if c.secret {
				from = ofSecret(name(i))
			}
			a.uses = append(a.uses, env("KEY", from, "key"))
		}
		for key, value := range c.workload {
			a = a.annotated(key, strings.ReplaceAll(value, "NAME", name(i)))
		}
		for key, value := range c.template {
			a = a.onTemplate(key, strings.ReplaceAll(value, "NAME", name(i)))
		}
		s.apply(a.object())
		w := a.in(s.ns)
		why[w] = c.why
		all = append(all, w)
		if c.want {
			want = append(want, w)
		}
	}
	s.hasBaseline(want...)

	before := s.rollouts()
	edit("2")
	for _, w := range want {
		t.Log("waiting for:", why[w]) // the last one shows which case fails
		s.rolled(before, w)
	}
	s.marker()
	after := s.rollouts()
	for i, w := range all {
		if rolled := after[w] - before[w]; rolled != once(cases[i].want) {
			t.Errorf("%s: rolled %d times, want %d", cases[i].why, rolled, once(cases[i].want))
		}
	}
}

func once(want bool) int {
	if want {
		return 1
	}
	return 0
}

func TestEditsThatChangeNothingThatIsUsedRollNothing(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	auto := func(name string, uses ...use) app {
		return deployment(name, uses...).idle().annotated(s.keys.auto, "true")
	}
	s.apply(
		configMap("keyed", "used", "1", "unused", "1"), secret("items", "used", "1", "unused", "1"),
		configMap("meta", "used", "1"), configMap("gone", "used", "1"),
		auto("env", env("USED", ofConfigMap("keyed"), "used")).object(),
		auto("sub-path", subPath(ofConfigMap("keyed"), "used")).object(),
		auto("items", projected(ofSecret("items"), "used")).object(),
		auto("meta", volume(ofConfigMap("meta"))).object(),
		auto("appears", volume(ofConfigMap("meta")), envFrom(ofConfigMap("later").ifPresent())).object(),
		auto("disappears", volume(ofConfigMap("meta")), envFrom(ofConfigMap("gone").ifPresent())).object(),
	)
	before := s.rollouts()
	s.hasBaseline(before.workloads()...)

	labeled := configMap("meta", "used", "1")
	labeled.Labels, labeled.Annotations = map[string]string{"team": "blue"}, map[string]string{"note": "new"}
	s.apply(
		configMap("keyed", "used", "1", "unused", "2"), // a key that nobody uses changes
		secret("items", "used", "1", "other", "1"),     // one disappears, one appears
		labeled,
		configMap("later", "used", "1"), // appears; --reload-on-create is off
	)
	s.must(s.Delete(s.ctx, s.ns, configMap("gone"))) // disappears; --reload-on-delete is off
	s.onlyRolled(before)

	s.apply(configMap("gone", "used", "1")) // as it was
	s.onlyRolled(before)

	// The same sources, and now what is used.
	s.apply(configMap("keyed", "used", "2", "unused", "2"), secret("items", "used", "2"), configMap("meta", "used", "2"))
	s.onlyRolled(before, before.workloads()...)
}
