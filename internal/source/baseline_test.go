package source_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// full is a baseline with every form of record.
func full(tb testing.TB, digester source.Digester) source.Baseline {
	tb.Helper()
	record := func(parts []obj.Part, s state) source.Record {
		s.uses = parts
		return digester.Record(s.use(tb))
	}
	a := obj.CM("a")
	return source.Baseline{
		Named: digester.NamedLists(map[source.Kind][]string{source.Secret: {"x"}}),
		Hides: true, UID: "uid-of-web", Template: "t", References: "r",
		Seen: map[source.Ref]int64{cmRef("some"): 1764583643},
		Asked: &source.Asked{Action: "Rollout", Hashes: []string{"0123"}, Batch: 2, Records: map[source.Ref]source.Record{
			cmRef("all"): record(parts(obj.Mount(a)), state{cm: obj.ConfigMap("a", "k", "2")}),
		}},
		Records: map[source.Ref]source.Record{
			cmRef("all"):      record(parts(obj.Mount(a)), state{cm: obj.Binary(obj.ConfigMap("a", "k", "1"), "b", "2")}),
			cmRef("some"):     record(parts(obj.Env(a.Optional(), "k"), obj.Env(a, "l")), state{cm: obj.ConfigMap("a", "l", "1")}),
			cmRef("empty"):    record(parts(obj.EnvFrom(a)), state{cm: obj.ConfigMap("a")}),
			cmRef("fold"):     record(parts(obj.Mount(a)), state{cm: keys(200)}),
			secRef("absent"):  record(parts(obj.Mount(a)), state{}),
			secRef("a.b-c"):   record(parts(obj.Mount(a)), state{cm: obj.ConfigMap("a", "k", "1")}),
			csiRef("classes"): record(parts(obj.Mount(a)), state{cm: obj.ConfigMap("a", "k", "1")}),
		},
	}
}

func TestBaselineSurvivesItsText(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	want := full(t, digester)
	text, err := digester.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := digester.Decode(obj.Namespace, text)
	if !ok {
		t.Fatalf("not understood: %s", text)
	}
	want.Version = 2
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-encoded +decoded):\n%s", diff)
	}
	again, err := digester.Encode(got)
	if err != nil || again != text {
		t.Errorf("the same baseline has two texts (%v):\n%s\n%s", err, text, again)
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, obj.Namespace) {
		t.Errorf("the text says more than it should: %s", text)
	}
}

// What is in the cluster has to be understood by later versions, or nothing that changes during an upgrade is seen.
func TestTextOfABaselineStaysTheSame(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 7)
	use := state{parts(obj.Mount(obj.CM("a"))), obj.Binary(obj.ConfigMap("a", "k", "1"), "b", "2")}.use(t)
	text, err := digester.Encode(source.Baseline{
		Records: map[source.Ref]source.Record{cmRef("a"): digester.Record(use), secRef("b"): {Absent: true}},
		Named:   digester.NamedLists(map[source.Kind][]string{source.ConfigMap: {"a"}}),
	})
	const want = `{"v":2,"key":"75TRAZSb","named":"tyhff-FNW0OK","sources":{` +
		`"ConfigMap/a":{"all":true,"binary":true,"keys":{"b":"_CxQxjJTG4t3~","k":"TPaX8jLdzLgS"}},"Secret/b":{"absent":true}}}`
	if err != nil || text != want {
		t.Errorf("%v\n got %s\nwant %s", err, text, want)
	}
}

func TestBaselineWithoutRecordsHasNoText(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	text, err := digester.Encode(source.Baseline{Named: "x", Records: map[source.Ref]source.Record{}})
	if text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, ok := digester.Decode(obj.Namespace, ""); ok {
		t.Error("no text is a baseline")
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	good, err := digester.Encode(source.Baseline{Records: map[source.Ref]source.Record{cmRef("a"): {All: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"garbage":                     "x",
		"half of it":                  good[:len(good)/2],
		"JSON of another kind":        `["a"]`,
		"null":                        "null",
		"an empty object":             "{}",
		"no version":                  strings.Replace(good, `"v":2`, `"v":0`, 1),
		"another key":                 strings.Replace(good, digester.ID(), digesterOf(t, 2).ID(), 1),
		"a field in upper case":       strings.Replace(good, `"sources"`, `"SOURCES"`, 1),
		"a field of another type":     strings.Replace(good, `"all":true`, `"all":"true"`, 1),
		"a kind that is not known":    strings.Replace(good, "ConfigMap/a", "Pod/a", 1),
		"a source without a kind":     strings.Replace(good, "ConfigMap/a", "a", 1),
		"a source without a name":     strings.Replace(good, "ConfigMap/a", "ConfigMap/", 1),
		"no sources":                  strings.Replace(good, `{"ConfigMap/a":{"all":true}}`, "{}", 1),
		"a second text behind it":     good + good,
		"a closing brace behind it":   good + "}",
		"a closing bracket behind it": good + "]",
		"something else behind it":    good + "x",
	} {
		if text == good {
			t.Errorf("%s: the case changes nothing in %s", name, good)
		}
		if b, ok := digester.Decode(obj.Namespace, text); ok {
			t.Errorf("%s: %s was understood as %+v", name, text, b)
		}
	}
	if _, ok := digester.Decode(obj.Namespace, " "+good+"\n"); !ok {
		t.Error("blanks around a text make it unreadable")
	}
	if _, ok := digesterOf(t, 2).Decode(obj.Namespace, good); ok {
		t.Error("a baseline of another key was understood")
	}
}

func TestDecodePutsSourcesIntoTheNamespaceOfTheWorkload(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	text, err := digester.Encode(source.Baseline{Records: map[source.Ref]source.Record{cmRef("a"): {All: true}}})
	if err != nil {
		t.Fatal(err)
	}
	b, ok := digester.Decode("elsewhere", text)
	want := map[source.Ref]source.Record{{Kind: source.ConfigMap, Namespace: "elsewhere", Name: "a"}: {All: true}}
	if diff := cmp.Diff(want, b.Records); !ok || diff != "" {
		t.Errorf("%t (-want +got):\n%s", ok, diff)
	}
}

func TestNamedLists(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	type lists = map[source.Kind][]string
	if got := digester.NamedLists(nil) + digester.NamedLists(lists{source.Secret: {}}); got != "" {
		t.Errorf("no lists have the keyed digest %q", got)
	}
	if digester.NamedLists(lists{source.ConfigMap: {"a"}, source.Secret: {}}) != digester.NamedLists(lists{source.ConfigMap: {"a"}}) {
		t.Error("an empty list makes a difference")
	}
	seen := map[source.KeyedDigest]string{}
	for name, l := range map[string]lists{
		"one":                          {source.ConfigMap: {"a"}},
		"the same for another kind":    {source.Secret: {"a"}},
		"for two kinds":                {source.ConfigMap: {"a"}, source.Secret: {"b"}},
		"one list that reads like two": {source.ConfigMap: {"a", "Secret", "b"}},
		"like two with their lengths":  {source.ConfigMap: {"a", "Secret", "1", "b"}},
		"two names":                    {source.ConfigMap: {"a", "b"}},
		"two names in another order":   {source.ConfigMap: {"b", "a"}},
		"one name that reads like two": {source.ConfigMap: {"a,b"}},
	} {
		keyed := digester.NamedLists(l)
		if other, taken := seen[keyed]; taken || keyed == "" {
			t.Errorf("%q and %q have the keyed digest %q", name, other, keyed)
		}
		seen[keyed] = name
	}
}
