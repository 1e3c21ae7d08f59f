package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func TestActionsAndReasonsAreListed(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]decide.Action{decide.None, decide.Reload, decide.Replace, decide.Rollout, decide.Resume, decide.Recreate}, decide.Actions()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	reasons := decide.Reasons()
	if sorted := slices.Compact(slices.Sorted(slices.Values(reasons))); len(sorted) != len(reasons) || slices.Contains(reasons, "") {
		t.Errorf("a reason is empty or there twice: %q", reasons)
	}
}

func TestCausesSayWhatChangedAndWhyItCounts(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, []obj.Part{
		obj.Annotation(namedCM, "named"), obj.Annotation(search, "true"), obj.Annotation("secret.reloader.stakater.com/auto", "true"),
		obj.EnvFrom(obj.Sec("auto")), obj.Mount(obj.CM("found")),
	}, cm("named", "k", "1"), obj.Annotated(cm("found", "k", "1"), match, "true"), obj.Secret("auto", "k", "1"))
	w.set(cm("named", "k", "2"), obj.Annotated(cm("found", "k", "2"), match, "true"), obj.Secret("auto", "k", "2"))
	want := []decide.Cause{
		{Ref: cmRef("found"), Selection: annotation.Search, Diff: source.Diff{Changes: []source.Change{{Key: "k", Live: true}}}},
		{Ref: cmRef("named"), Selection: annotation.Named, Diff: source.Diff{Changes: []source.Change{{Key: "k", Frozen: true}}}},
		{Ref: secRef("auto"), Selection: annotation.Auto, Diff: source.Diff{Changes: []source.Change{{Key: "k", Frozen: true}}}},
	}
	if diff := cmp.Diff(want, w.decide().Causes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Sources may be many and have many keys; a message says how many it leaves out.
func TestMessageIsShort(t *testing.T) {
	t.Parallel()
	var parts []obj.Part
	var before, after []any
	for i := range 8 {
		name := fmt.Sprint("cm-", i)
		parts = append(parts, obj.EnvFrom(obj.CM(name)))
		before = append(before, cm(name))
		pairs := []string{}
		for k := range i {
			pairs = append(pairs, fmt.Sprint("key-", k), "1")
		}
		after = append(after, cm(name, pairs...))
	}
	w := withBaseline(t, following(parts...), before...)
	w.set(after...)
	const want = "Rolling update started: ConfigMap cm-1 changed (key-0), ConfigMap cm-2 changed (key-0, key-1), ConfigMap cm-3 changed (key-0, key-1, key-2), " +
		"ConfigMap cm-4 changed (key-0, key-1, key-2, key-3), ConfigMap cm-5 changed (key-0, key-1, key-2, key-3, key-4), and 2 more"
	if got := w.decide().Message; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w = withBaseline(t, following(obj.EnvFrom(obj.CM("cm-7"))), before...)
	w.set(after...)
	if got := w.decide().Message; !strings.HasSuffix(got, "changed (key-0, key-1, key-2, key-3, key-4 and 2 more)") {
		t.Error(got)
	}
}

// Of a source with very many keys it is only known that it changed.
func TestChangeOfAFoldedSource(t *testing.T) {
	t.Parallel()
	many := func(value string) any {
		c := cm("a", "k", value)
		for i := range 150 {
			c.Data[fmt.Sprint("key-", i)] = "x"
		}
		return c
	}
	w := withBaseline(t, injected(obj.Mount(obj.CM("a"))), many("1"))
	w.set(many("2"))
	w.input.InPlace.Sidecar = true
	if d := w.decide(); d.Reason != decide.LiveChanged || d.Message != "Reloading in place: ConfigMap a changed" {
		t.Errorf("%s: %s", d.Reason, d.Message)
	}
}

func TestWorkloadWithoutContainersIsNoReasonToPanic(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, []obj.Part{obj.Annotation(namedCM, "a")}, one()...)
	w.deployment.Spec.Template.Spec.Containers = nil
	change(w)
	if d := w.decide(); d.Action != decide.Rollout || len(d.ConfigHashes) != 1 || d.ConfigHashes[0].Container != "" {
		t.Errorf("%s, config hashes %+v", d.Action, d.ConfigHashes)
	}
}
