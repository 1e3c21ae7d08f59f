package source_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// A text of version 1 says the same as before, and what it does not say is not known.
func TestVersion1IsRead(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 7)
	const text = `{"v":1,"key":"75TRAZSb","named":"tyhff-FNW0OK","sources":{` +
		`"ConfigMap/a":{"all":true,"binary":true,"keys":{"b":"_CxQxjJTG4t3~","k":"TPaX8jLdzLgS"}},"Secret/b":{"absent":true}}}`
	got, fault := digester.Read(obj.Namespace, text)
	use := state{parts(obj.Mount(obj.CM("a"))), obj.Binary(obj.ConfigMap("a", "k", "1"), "b", "2")}.use(t)
	want := source.Baseline{
		Version: 1, Named: "tyhff-FNW0OK",
		Records: map[source.Ref]source.Record{cmRef("a"): digester.Record(use), secRef("b"): {Absent: true}},
	}
	if diff := cmp.Diff(want, got); fault != source.Readable || diff != "" {
		t.Errorf("%q (-want +got):\n%s", fault, diff)
	}
}

// A later version may add fields everywhere. This one keeps them.
func TestUnknownFieldsSurviveARoundTrip(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	text := strings.ReplaceAll(`{"v":3,"key":"KEY","sources":{"ConfigMap/a":{"all":true,"later":[1]},"Bucket/b":{"x":1}},`+
		`"asked":{"action":"Swap","sources":{"ConfigMap/a":{"all":true,"later":2}},"later":{"y":null}},"later":"z"}`, "KEY", digester.ID())
	b, fault := digester.Read(obj.Namespace, text)
	if fault != source.Readable {
		t.Fatalf("%q: %s", fault, text)
	}
	again, err := digester.Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	var before, after any
	if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal([]byte(again), &after) != nil {
		t.Fatalf("no JSON: %s", again)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestReadSaysWhyATextIsOfNoUse(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	for text, want := range map[string]source.Unreadable{
		"":  source.NoText,
		"x": source.NotJSON,
		`{"v":2,"key":"other","sources":{"ConfigMap/a":{}}}`:                                       source.OtherKey,
		`{"v":-1,"key":"` + digester.ID() + `"}`:                                                   source.OldVersion,
		`{"v":2,"key":"` + digester.ID() + `","sources":{"Bucket/a":{}}}`:                          source.NoRecord,
		`{"v":2,"key":"` + digester.ID() + `","sources":{"ConfigMap/a":1}}`:                        source.NotJSON,
		`{"v":2,"key":"` + digester.ID() + `","sources":{"ConfigMap/a":{}},"asked":{"batch":"x"}}`: source.NotJSON,
	} {
		if _, got := digester.Read(obj.Namespace, text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// many is what a workload uses that mounts so many ConfigMaps with so many keys.
func many(tb testing.TB, sources, keys int) []source.SourceState {
	tb.Helper()
	var uses []source.SourceState
	for i := range sources {
		name := fmt.Sprintf("config-of-the-service-%04d", i)
		cm := obj.ConfigMap(name)
		cm.Data = map[string]string{}
		for k := range keys + i {
			cm.Data[fmt.Sprintf("key-%04d-of-the-configuration", k)] = "v"
		}
		snapshot := source.OfConfigMap(cm)
		uses = append(uses, source.SourceState{Usages: scopeOf(tb, snapshot.Ref, obj.Mount(obj.CM(name))), Snapshot: &snapshot})
	}
	return uses
}

func baselineOf(digester source.Digester, uses []source.SourceState) (source.Baseline, []source.SourceUsages) {
	b := source.Baseline{UID: "uid", Records: map[source.Ref]source.Record{}}
	var scopes []source.SourceUsages
	for _, use := range uses {
		b.Records[use.Usages.Ref] = digester.Record(use)
		scopes = append(scopes, use.Usages)
	}
	return b, scopes
}

func TestABaselineFitsItsBudget(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	for _, c := range []struct {
		sources, keys int
		partial       bool
	}{{1, 10, false}, {50, 50, false}, {20, 90, false}, {1500, 1, true}} {
		uses := many(t, c.sources, c.keys)
		whole, scopes := baselineOf(digester, uses)
		whole.Asked = &source.Asked{Action: "Rollout", Records: map[source.Ref]source.Record{uses[0].Usages.Ref: whole.Records[uses[0].Usages.Ref]}}
		b, err := digester.Fit(whole, scopes, source.Budget)
		if err != nil {
			t.Fatal(err)
		}
		text, err := digester.Encode(b)
		if err != nil || len(text) > source.Budget || b.Partial != c.partial {
			t.Errorf("%d sources of %d keys: %d bytes, partial %t (%v)", c.sources, c.keys, len(text), b.Partial, err)
		}
		read, ok := digester.Decode(obj.Namespace, text)
		if !ok {
			t.Fatal("it cannot be read any more")
		}
		for _, use := range uses {
			record, has := read.Records[use.Usages.Ref]
			if diff := digester.Diff(use, record); has && (len(diff.Changes) > 0 || diff.Uncovered) {
				t.Errorf("%s differs from its own record: %+v", use.Usages.Ref, diff)
			}
			if !has && !c.partial {
				t.Errorf("%s has no record", use.Usages.Ref)
			}
		}
	}
}

func TestTheLargestRecordsFoldFirst(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	uses := many(t, 30, 40) // each has one key more than the one before
	whole, scopes := baselineOf(digester, uses)
	b, err := digester.Fit(whole, scopes, source.Budget)
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for first < len(uses) && b.Records[uses[first].Usages.Ref].Fold == "" {
		first++
	}
	if first == 0 || first == len(uses) {
		t.Fatalf("%d of %d records are not folded, which shows nothing", first, len(uses))
	}
	for _, use := range uses[first:] {
		record := b.Records[use.Usages.Ref]
		if record.Fold == "" {
			t.Errorf("%s is larger than one that is folded", use.Usages.Ref)
		}
		edited := *use.Snapshot
		edited.Keys = map[string]source.Entry{"k": {Digest: source.DigestOf([]byte("x"))}}
		if diff := digester.Diff(source.SourceState{Usages: use.Usages, Snapshot: &edited}, record); len(diff.Changes) != 1 {
			t.Errorf("an edit of %s, which is folded: %+v", use.Usages.Ref, diff)
		}
	}
	if len(whole.Records[uses[29].Usages.Ref].Keys) != 69 {
		t.Error("the baseline that was given has changed")
	}
}

// A text of another key says everything but the content.
func TestReadATextOfAnotherKey(t *testing.T) {
	t.Parallel()
	ref := source.ConfigMap.Ref(obj.Namespace, "a")
	text, err := digesterOf(t, 1).Encode(source.Baseline{
		UID: "u", Records: map[source.Ref]source.Record{ref: {All: true}}, Seen: map[source.Ref]int64{ref: 7},
		Asked: &source.Asked{Action: "Rollout", Hashes: []string{"h"}, Records: map[source.Ref]source.Record{ref: {All: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, fault := digesterOf(t, 2).Read(obj.Namespace, text)
	if fault != source.OtherKey || b.UID != "u" || !b.Records[ref].All || b.Seen[ref] != 7 || b.Asked == nil || b.Asked.Hashes[0] != "h" {
		t.Errorf("%q, %+v", fault, b)
	}
	broken := strings.Replace(text, `{"all":true}`, `7`, 1)
	if b, fault := digesterOf(t, 2).Read(obj.Namespace, broken); fault != source.OtherKey || len(b.Records) > 0 {
		t.Errorf("a damaged one: %q, %+v", fault, b)
	}
}

// Only a field manager that has content moves the time of the content.
func TestContentAt(t *testing.T) {
	t.Parallel()
	at := func(second int64, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: fields, Time: &metav1.Time{Time: time.Unix(second, 0)}, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const label = `{"f:metadata":{"f:labels":{"f:data-of":{}}}}`
	for want, entries := range map[int64][]metav1.ManagedFieldsEntry{
		0: {at(9, label)},
		5: {at(4, `{"f:data":{"f:k":{}}}`), at(5, `{"f:binaryData":{"f:b":{}}}`), at(9, label)},
		6: {at(6, `{"f:data":{"f:k":{}},"f:metadata":{}}`), {Manager: "old"}},
	} {
		cm := obj.ConfigMap("a")
		cm.ManagedFields = entries
		if got := source.ContentAt(cm); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
}
