package source_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// stock is what sources there are.
type stock map[source.Ref]*corev1.ConfigMap

func (s stock) contents(secret bool, name string) map[string]obj.Value {
	ref := cmRef(name)
	if secret {
		ref = secRef(name)
	}
	object := s[ref]
	if object == nil {
		return nil
	}
	values := map[string]obj.Value{}
	for key, text := range object.Data {
		values[key] = obj.Value{Text: text}
	}
	for key, text := range object.BinaryData {
		values[key] = obj.Value{Text: string(text), Binary: !secret}
	}
	return values
}

// uses returns how a template uses what there is.
func (s stock) uses(spec *corev1.PodSpec) []source.SourceState {
	var uses []source.SourceState
	for _, scope := range source.GroupUsages(source.Usages(obj.Namespace, spec)) {
		use := source.SourceState{Usages: scope, Snapshot: of(s[scope.Ref])}
		if use.Snapshot != nil {
			use.Snapshot.Ref = scope.Ref
			if scope.Ref.Kind == source.Secret {
				for key, entry := range use.Snapshot.Keys {
					entry.Binary = false
					use.Snapshot.Keys[key] = entry
				}
			}
		}
		uses = append(uses, use)
	}
	return uses
}

func (s stock) records(digester source.Digester, spec *corev1.PodSpec) map[source.Ref]source.Record {
	records := map[source.Ref]source.Record{}
	for _, use := range s.uses(spec) {
		records[use.Usages.Ref] = digester.Record(use)
	}
	return records
}

// changesOf says what a Shadowing sees, as "ConfigMap a: k live frozen".
func changesOf(digester source.Digester, spec *corev1.PodSpec, before, after stock) []string {
	records := before.records(digester, spec)
	uses := after.uses(spec)
	shadowing := digester.Shadowing(uses, records)
	var lines []string
	for _, use := range uses {
		diff := shadowing.Diff(use, records[use.Usages.Ref])
		for _, c := range diff.Changes {
			line := fmt.Sprintf("%s %s: %s", use.Usages.Ref.Kind, use.Usages.Ref.Name, c.Key)
			line += wordIf(diff.Created, "created") + wordIf(diff.Deleted, "deleted")
			line += wordIf(c.Live, "live") + wordIf(c.Frozen, "frozen") + wordIf(diff.Replaces, "replaces")
			lines = append(lines, line)
		}
	}
	return lines
}

func wordIf(is bool, word string) string {
	if is {
		return " " + word
	}
	return ""
}

func TestWhatIsHiddenIsNoChange(t *testing.T) {
	t.Parallel()
	base, over := cmRef("base"), cmRef("over")
	cm := func(pairs ...string) *corev1.ConfigMap { return obj.ConfigMap("x", pairs...) }
	volume := parts(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	other := func(sources ...corev1.VolumeProjection) obj.Part {
		return obj.VolumeMount(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}, corev1.VolumeMount{})
	}
	ofBase := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "base"}}}
	ofOver := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "over"}}}
	token := corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "k"}}
	ofPod := corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "./k"}}}}
	variable := obj.EnvNamed
	for name, tc := range map[string]struct {
		template      []obj.Part
		before, after stock
		want          []string
	}{
		"a hidden key is edited": {
			volume, stock{base: cm("k", "1"), over: cm("k", "o")}, stock{base: cm("k", "2"), over: cm("k", "o")}, nil,
		},
		"the key that hides it is edited": {
			volume,
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "1"), over: cm("k", "p")},
			[]string{"ConfigMap over: k live"},
		},
		"both are edited": {
			volume,
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "p")},
			[]string{"ConfigMap over: k live"},
		},
		"a key beside the hidden one is edited": {
			volume,
			stock{base: cm("k", "1", "l", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2", "l", "2"), over: cm("k", "o")},
			[]string{"ConfigMap base: l live"},
		},
		"the key that hides it goes": {
			volume,
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "1"), over: cm()},
			[]string{"ConfigMap over: k live replaces"},
		},
		"the key that hides it goes, and had the same content": {
			volume, stock{base: cm("k", "1"), over: cm("k", "1")}, stock{base: cm("k", "1"), over: cm()}, nil,
		},
		"the key that hides it goes, and nothing is below": {
			volume, stock{base: cm(), over: cm("k", "o")}, stock{base: cm(), over: cm()}, []string{"ConfigMap over: k live"},
		},
		"a key moves to the source that hides it": {
			volume, stock{base: cm("k", "1"), over: cm("l", "1")}, stock{base: cm(), over: cm("k", "1", "l", "1")}, nil,
		},
		"a key comes in a record that may say nothing": {
			volume, stock{base: cm("k", "1"), over: cm()}, stock{base: cm("k", "1"), over: cm("k", "1")}, []string{"ConfigMap over: k live"},
		},
		"a source of that kind stays as it is above what is hidden": {
			parts(obj.Projected(obj.CM("base"), obj.CM("over"), obj.CM("empty"))),
			stock{base: cm("k", "1"), over: cm("k", "o"), cmRef("empty"): cm()},
			stock{base: cm("k", "2"), over: cm("k", "o"), cmRef("empty"): cm()},
			nil,
		},
		"the source that hides it is deleted": {
			volume,
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "1")},
			[]string{"ConfigMap over:  deleted live replaces"},
		},
		"a source of very many keys that hides it is deleted": {
			volume, stock{base: cm("key-001", "1"), over: keys(150)}, stock{base: cm("key-001", "1")}, []string{"ConfigMap over:  deleted live replaces"},
		},
		"a source of very many keys is deleted above one that is not there": {
			volume, stock{over: keys(150)}, stock{}, []string{"ConfigMap over:  deleted live"},
		},
		"a source of very many keys is deleted above one that has no key": {
			volume, stock{base: cm(), over: keys(150)}, stock{base: cm()}, []string{"ConfigMap over:  deleted live"},
		},
		"a source of very many keys is deleted below others": {
			parts(obj.Projected(obj.CM("over").Optional(), obj.CM("base"))),
			stock{base: cm("key-001", "1"), over: keys(150)},
			stock{base: cm("key-001", "1")},
			[]string{"ConfigMap over:  deleted live"},
		},
		"a source of very many variables is deleted above others with another prefix": {
			parts(obj.EnvFromPrefixed("A_", obj.CM("base")), obj.EnvFromPrefixed("B_", obj.CM("over").Optional())),
			stock{base: cm("key-001", "1"), over: keys(150)},
			stock{base: cm("key-001", "1")},
			[]string{"ConfigMap over:  deleted frozen"},
		},
		"a source of very many variables is deleted above others with its prefix": {
			parts(obj.EnvFromPrefixed("", obj.CM("base")), obj.EnvFromPrefixed("B_", obj.CM("over").Optional())),
			stock{base: cm("B_key-001", "1"), over: keys(150)},
			stock{base: cm("B_key-001", "1")},
			[]string{"ConfigMap over:  deleted frozen replaces"},
		},
		"a source of very many keys is deleted above a token": {
			parts(other(token, ofOver)), stock{over: keys(150)}, stock{}, []string{"ConfigMap over:  deleted live replaces"},
		},
		"a source comes that hides it": {
			volume,
			stock{base: cm("k", "1")},
			stock{base: cm("k", "1"), over: cm("k", "o")},
			[]string{"ConfigMap over:  created live replaces"},
		},
		"a source comes that says the same": {
			volume, stock{base: cm("k", "1")}, stock{base: cm("k", "1"), over: cm("k", "1")}, nil,
		},
		"a hidden key comes to be": {
			volume, stock{base: cm(), over: cm("k", "o")}, stock{base: cm("k", "1"), over: cm("k", "o")}, nil,
		},
		"a token has its path": {
			parts(other(ofBase, token)), stock{base: cm("k", "1", "l", "1")}, stock{base: cm("k", "2", "l", "1")}, nil,
		},
		"a file of the downward API has its path": {
			parts(other(ofBase, ofPod)), stock{base: cm("k", "1")}, stock{base: cm("k", "2")}, nil,
		},
		"it has the path of a token, which comes before it": {
			parts(other(token, ofBase)), stock{base: cm("k", "1")}, stock{base: cm("k", "2")}, []string{"ConfigMap base: k live"},
		},
		"two items have the same path": {
			parts(obj.Mount(obj.CM("base").Items("k:x", "l:x"))), stock{base: cm("k", "1", "l", "1")}, stock{base: cm("k", "2", "l", "1")}, nil,
		},
		"it is hidden in one volume and not in another": {
			append(parts(obj.Env(obj.CM("base"), "k")), volume...),
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "o")},
			[]string{"ConfigMap base: k frozen"},
		},
		"a subPath of it is hidden": {
			parts(obj.ProjectedSubPath("k", obj.CM("base"), obj.CM("over"))),
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "o")},
			nil,
		},
		"a subPath leads to an item through the folder of the kubelet": {
			parts(obj.ProjectedSubPath("..data/conf/k", obj.CM("base").Items("k:conf/k"), obj.CM("over"))),
			stock{base: cm("k", "1"), over: cm("l", "o")},
			stock{base: cm("k", "2"), over: cm("l", "o")},
			[]string{"ConfigMap base: k frozen"},
		},
		"such a subPath is hidden": {
			parts(obj.ProjectedSubPath("..data/k", obj.CM("base").Items("k"), obj.CM("over"))),
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "o")},
			nil,
		},
		"a subPath is the folder of the kubelet": {
			parts(obj.ProjectedSubPath("..data", obj.CM("base").Items("k"), obj.CM("over"))),
			stock{base: cm("k", "1"), over: cm("l", "o")},
			stock{base: cm("k", "2"), over: cm("l", "o")},
			[]string{"ConfigMap base: k frozen"},
		},
		"a later envFrom has the variable": {
			parts(obj.EnvFromPrefixed("", obj.CM("base")), obj.EnvFromPrefixed("", obj.CM("over"))),
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "o")},
			nil,
		},
		"a later envFrom has it in binaryData, where the environment does not see it": {
			parts(obj.EnvFromPrefixed("", obj.CM("base")), obj.EnvFromPrefixed("", obj.CM("over"))),
			stock{base: cm("k", "1"), over: obj.Binary(cm(), "k", "o")},
			stock{base: cm("k", "2"), over: obj.Binary(cm(), "k", "o")},
			[]string{"ConfigMap base: k frozen"},
		},
		"env has the variable, wherever it stands": {
			parts(obj.Var("k", "text"), obj.EnvFromPrefixed("", obj.CM("base"))), stock{base: cm("k", "1")}, stock{base: cm("k", "2")}, nil,
		},
		"a later entry of env has the variable": {
			parts(variable("A", obj.CM("base"), "k"), variable("A", obj.CM("over"), "k")),
			stock{base: cm("k", "1"), over: cm("k", "o")},
			stock{base: cm("k", "2"), over: cm("k", "o")},
			nil,
		},
		"a later entry of env is optional and has no content": {
			parts(variable("A", obj.CM("base"), "k"), variable("A", obj.CM("over").Optional(), "k")),
			stock{base: cm("k", "1"), over: cm()},
			stock{base: cm("k", "2"), over: cm()},
			[]string{"ConfigMap base: k frozen"},
		},
		"a text has the variable, and another one is made of it before": {
			parts(obj.EnvFromPrefixed("", obj.CM("base")), obj.Var("B", "of $(k)"), obj.Var("k", "text")),
			stock{base: cm("k", "1")},
			stock{base: cm("k", "2")},
			[]string{"ConfigMap base: k frozen"},
		},
		"a text has the variable, and a dollar sign is only a dollar sign": {
			parts(obj.EnvFromPrefixed("", obj.CM("base")), obj.Var("B", "of $$(k)"), obj.Var("k", "text")), stock{base: cm("k", "1")}, stock{base: cm("k", "2")}, nil,
		},
		"a source of very many keys hides it and stays as it is": {
			volume, stock{base: cm("key-001", "1"), over: keys(150)}, stock{base: cm("key-001", "2"), over: keys(150)}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := changesOf(digesterOf(t, 1), obj.Spec(tc.template...), tc.before, tc.after)
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Of a source that may be there without being seen it holds what is recorded, and without that nothing is known: it may hide
// what is below it, or not.
func TestWhatIsNotSeenIsTakenForNeitherThereNorGone(t *testing.T) {
	t.Parallel()
	base, over := cmRef("base"), cmRef("over")
	cm := func(pairs ...string) *corev1.ConfigMap { return obj.ConfigMap("x", pairs...) }
	digester := digesterOf(t, 1)
	volume := obj.Spec(obj.Projected(obj.CM("base"), obj.CM("over").Optional()))
	environment := obj.Spec(obj.EnvFromPrefixed("", obj.CM("base")), obj.EnvFromPrefixed("", obj.CM("over").Optional()))
	for name, tc := range map[string]struct {
		spec     *corev1.PodSpec
		over     *corev1.ConfigMap
		recorded bool
		want     []string
	}{
		"it is recorded with the key":               {volume, cm("k", "o"), true, nil},
		"it is recorded without the key":            {volume, cm("l", "o"), true, []string{"k"}},
		"it is recorded as one that is not there":   {volume, nil, true, []string{"k"}},
		"it is recorded with very many keys":        {volume, keys(150), true, []string{"k"}},
		"nothing is recorded of it":                 {volume, cm("k", "o"), false, []string{"k"}},
		"it is recorded with the variable":          {environment, cm("k", "o"), true, nil},
		"it is recorded without the variable":       {environment, cm("l", "o"), true, []string{"k"}},
		"it is recorded with the key in binaryData": {environment, obj.Binary(cm(), "k", "o"), true, []string{"k"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := stock{base: cm("k", "1"), over: tc.over}.records(digester, tc.spec)
			if !tc.recorded {
				delete(records, over)
			}
			uses := stock{base: cm("k", "2")}.uses(tc.spec)
			var got []string
			for i := range uses {
				uses[i].Unseen = uses[i].Usages.Ref == over
			}
			shadowing := digester.Shadowing(uses, records)
			for _, use := range uses {
				if use.Usages.Ref == base {
					for _, change := range shadowing.Diff(use, records[base]).Changes {
						got = append(got, change.Key)
					}
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// One template, two contents of all that it uses: there is a change if, and only if, a kubelet shows something else; and it
// is live, or frozen, where that is.
func TestPropertyAChangeIsWhatAKubeletShows(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	refs := []source.Ref{cmRef("a"), cmRef("b"), secRef("c")}
	counts := map[string]int{}
	for seed := range uint64(6000) {
		r := rand.New(rand.NewPCG(seed, 6))
		template := obj.RandomParts(r, obj.CM("a"), obj.Sec("c"))[:1]
		for range 1 + r.IntN(4) {
			template = append(template, obj.RandomMeeting(r, obj.CM("a"), obj.CM("b"), obj.Sec("c")))
			if r.IntN(4) == 0 {
				template = append(template, obj.RandomUsage(r, obj.CM("a")))
			}
		}
		spec := obj.Spec(template...)
		before, after := stock{}, stock{}
		for _, ref := range refs {
			before[ref] = randomConfigMap(r)
			after[ref] = before[ref]
			if r.IntN(2) == 0 {
				after[ref] = edited(r, before[ref])
			}
		}
		want, got := map[string]bool{}, map[string]bool{}
		was, is := obj.Kubelet(spec, before.contents), obj.Kubelet(spec, after.contents)
		for _, side := range []map[obj.Seen]string{was, is} {
			for at := range side {
				text, had := was[at]
				now, has := is[at]
				if had != has || text != now {
					want[map[bool]string{true: "live", false: "frozen"}[at.Live]] = true
				}
			}
		}
		records, uses := before.records(digester, spec), after.uses(spec)
		shadowing := digester.Shadowing(uses, records)
		unsure, raw := false, false
		for _, use := range uses {
			record := records[use.Usages.Ref]
			unsure = unsure || record.Fold != "" || record.All && record.Binary && len(record.Keys) == 0
			diff := shadowing.Diff(use, record)
			for _, c := range diff.Changes {
				got["live"], got["frozen"] = got["live"] || c.Live, got["frozen"] || c.Frozen
			}
			raw = raw || len(digester.Diff(use, record).Changes) > 0
			if diff.Uncovered {
				t.Fatalf("seed %d: uncovered, although the template is the same", seed)
			}
		}
		for _, how := range []string{"live", "frozen"} {
			if want[how] && !got[how] || got[how] && !want[how] && !unsure {
				t.Fatalf("seed %d: %s change seen %t, want %t:\n%+v\n%+v\n%+v\n%s", seed, how, got[how], want[how], spec, before, after, cmp.Diff(was, is))
			}
			counts[fmt.Sprint(how, want[how])]++
		}
		if raw && len(want) == 0 {
			counts["hidden"]++
		}
	}
	for _, what := range []string{"livetrue", "livefalse", "frozentrue", "frozenfalse", "hidden"} {
		if counts[what] < 200 {
			t.Errorf("%v: the inputs are not varied", counts)
		}
	}
}
