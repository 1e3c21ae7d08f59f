package source_test

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// randomUse returns a use of the ConfigMap "a" by a random template; false if that does not use it.
func randomUse(r *rand.Rand, cm *corev1.ConfigMap) (source.SourceState, bool) {
	for _, scope := range source.GroupUsages(source.Usages(obj.Namespace, obj.Spec(obj.RandomParts(r, obj.CM("a"))...))) {
		if scope.Ref == cmRef("a") {
			return source.SourceState{Usages: scope, Snapshot: of(cm)}, true
		}
	}
	return source.SourceState{}, false
}

func randomConfigMap(r *rand.Rand) *corev1.ConfigMap {
	if r.IntN(8) == 0 {
		return nil
	}
	return obj.RandomConfigMap(r, "a")
}

// What was just recorded has not changed, and says the same after it was text.
func TestPropertyRecordedIsUnchanged(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		use, used := randomUse(r, randomConfigMap(r))
		if !used {
			continue
		}
		record := digester.Record(use)
		if diff := digester.Diff(use, record); !cmp.Equal(diff, source.Diff{}) {
			t.Fatalf("seed %d: %+v in %+v", seed, diff, use)
		}
		text, err := digester.Encode(source.Baseline{Records: map[source.Ref]source.Record{cmRef("a"): record}})
		if err != nil {
			t.Fatal(err)
		}
		decoded, ok := digester.Decode(obj.Namespace, text)
		if !ok || !decoded.Records[cmRef("a")].Equal(record) {
			t.Fatalf("seed %d: %+v became %+v", seed, record, decoded)
		}
	}
}

// seen is what the pods get of a source: by each usage, the content of each key.
func seen(use source.SourceState) map[string]source.Digest {
	all := map[string]source.Digest{}
	if use.Snapshot == nil {
		return all
	}
	for _, u := range use.Usages.Usages {
		for key, entry := range use.Snapshot.Keys {
			alone := source.SourceUsages{Ref: u.Ref, Usages: []source.Usage{u}}
			if live, frozen := alone.Reach(key, entry.Binary); live || frozen {
				all[string(u.Via)+"/"+u.Container+"/"+key] = entry.Digest
			}
		}
	}
	return all
}

// edited is a ConfigMap with one key edited or removed, or another one altogether.
func edited(r *rand.Rand, cm *corev1.ConfigMap) *corev1.ConfigMap {
	if cm == nil || r.IntN(4) == 0 {
		return randomConfigMap(r)
	}
	cm = cm.DeepCopy()
	key := obj.RandomKeys()[r.IntN(len(obj.RandomKeys()))]
	delete(cm.Data, key)
	delete(cm.BinaryData, key)
	switch r.IntN(3) {
	case 0:
		cm.Data[key] = "new"
	case 1:
		cm.BinaryData[key] = []byte("new")
	}
	return cm
}

// One template, two contents: a change is seen if, and only if, the pods get something else.
func TestPropertyChangesAreThoseThatPodsSee(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	counts := map[bool]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 2))
		cm := randomConfigMap(r)
		before, used := randomUse(r, cm)
		if !used {
			continue
		}
		after := source.SourceState{Usages: before.Usages, Snapshot: of(edited(r, cm))}
		record := digester.Record(before)
		diff := digester.Diff(after, record)
		if diff.Uncovered {
			t.Fatalf("seed %d: uncovered, although the template is the same: %+v", seed, before.Usages)
		}
		want := !cmp.Equal(seen(before), seen(after))
		if got := len(diff.Changes) > 0; got != want {
			t.Fatalf("seed %d: change seen %t, want %t:\n%+v\n%+v\n%+v", seed, got, want, before, after.Snapshot, record)
		}
		for _, c := range diff.Changes {
			if !c.Live && !c.Frozen {
				t.Fatalf("seed %d: %+v arrives nowhere", seed, c)
			}
		}
		counts[want]++
	}
	if counts[true] < 300 || counts[false] < 300 {
		t.Errorf("changed or not: %v: the inputs are not varied", counts)
	}
}

// Two templates, one content: nothing of it is a change.
func TestPropertyAnEditOfTheTemplateIsNoChange(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		before, used := randomUse(r, randomConfigMap(r))
		after, usedToo := randomUse(r, nil)
		if !used || !usedToo {
			continue
		}
		after.Snapshot = before.Snapshot
		if diff := digester.Diff(after, digester.Record(before)); len(diff.Changes) > 0 {
			t.Fatalf("seed %d: %+v\n%+v\n%+v", seed, diff, before, after.Usages)
		}
	}
}

// Whatever somebody writes into the annotation, it is a baseline or it is none.
func FuzzDecode(f *testing.F) {
	digester := digesterOf(f, 1)
	text, err := digester.Encode(full(f, digester))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text + "}")
	f.Add(`{"v":1,"key":"` + digester.ID() + `","sources":{"ConfigMap/a/b":{"keys":{"":"x"}}}}`)
	f.Add(`{"v":1,"key":"` + digester.ID() + `","sources":{"Secret/a":null}}`)
	f.Add(`{"v":2,"key":"` + digester.ID() + `","uid":"u","sources":{"Secret/a":{"all":true,"x":[ 1]},"Bucket/b":{}},` +
		`"asked":{"action":"Rollout","hashes":["0a"],"sources":{"Secret/a":{"y":"<"}},"z":{}},"seen":{"Secret/a":-1},"w": {"a":1}}`)
	f.Add(`{"v":9,"key":"` + digester.ID() + `","sources":{"Secret/a":{"Keys":{"a":"b"},"keys":{"c":""}}},"asked":null,"asked":{}}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, text string) {
		first, ok := digester.Decode(obj.Namespace, text)
		if !ok {
			return
		}
		encoded, err := digester.Encode(first)
		if err != nil {
			t.Fatal(err)
		}
		again, ok := digester.Decode(obj.Namespace, encoded)
		first.Version = max(first.Version, 2)
		raw := cmpopts.IgnoreTypes(map[string]json.RawMessage{}) // they are compared as text
		if diff := cmp.Diff(first, again, cmpopts.EquateEmpty(), raw); !ok || diff != "" {
			t.Errorf("understood %t (-first +again):\n%s", ok, diff)
		}
		if twice, err := digester.Encode(again); err != nil || twice != encoded {
			t.Errorf("another text (%v):\n%s\n%s", err, encoded, twice)
		}
		for ref, record := range first.Records {
			scope := source.SourceUsages{Ref: ref, Usages: []source.Usage{{Ref: ref, Via: source.ViaVolume}}}
			digester.Diff(source.SourceState{Usages: scope, Snapshot: of(obj.ConfigMap("a", "k", "1"))}, record)
			scope.MissingKeys(of(obj.ConfigMap("a")), record)
		}
	})
}

// A pod template may hold anything that the API server lets pass, and more.
func FuzzUsages(f *testing.F) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 4))
		spec := obj.Spec(append(obj.RandomParts(r, obj.CM("a"), obj.Sec("b")), obj.CSI("c"))...)
		data, err := spec.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var spec corev1.PodSpec
		if spec.Unmarshal(data) != nil {
			return
		}
		before := spec.DeepCopy()
		usages := source.Usages(obj.Namespace, &spec)
		if diff := cmp.Diff(before, &spec); diff != "" {
			t.Errorf("the template was modified:\n%s", diff)
		}
		for _, u := range usages {
			switch {
			case u.Ref.Name == "" || u.Ref.Namespace != obj.Namespace:
				t.Errorf("%+v: no reference", u)
			case u.RunsOnce && !u.Init:
				t.Errorf("%+v: runs once and is no init container", u)
			case u.Keys != nil && len(u.Keys) == 0:
				t.Errorf("%+v: uses no key", u)
			case u.Live() && u.Via != source.ViaVolume && u.Via != source.ViaProjected && u.Via != source.ViaCSI:
				t.Errorf("%+v: live", u)
			}
		}
		count := 0
		for _, scope := range source.GroupUsages(usages) {
			count += len(scope.Usages)
		}
		if count != len(usages) {
			t.Errorf("%d usages, %d of them in a scope", len(usages), count)
		}
	})
}
