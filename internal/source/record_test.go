package source_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// digesterOf returns a digester whose key is 32 times the same byte.
func digesterOf(tb testing.TB, b byte) source.Digester {
	tb.Helper()
	key := make([]byte, 32)
	for i := range key {
		key[i] = b
	}
	digester, err := source.NewDigester(key)
	if err != nil {
		tb.Fatal(err)
	}
	return digester
}

// state is a template and the ConfigMap "a", nil for none.
type state struct {
	uses []obj.Part
	cm   *corev1.ConfigMap
}

func (s state) use(tb testing.TB) source.SourceState {
	tb.Helper()
	return source.SourceState{Usages: scopeOf(tb, cmRef("a"), s.uses...), Snapshot: of(s.cm)}
}

// keys returns a ConfigMap "a" with so many keys.
func keys(n int) *corev1.ConfigMap {
	cm := obj.ConfigMap("a")
	cm.Data = map[string]string{}
	for i := range n {
		cm.Data[fmt.Sprintf("key-%03d", i)] = "x"
	}
	return cm
}

func with(cm *corev1.ConfigMap, key, value string) *corev1.ConfigMap {
	cm.Data[key] = value
	return cm
}

func parts(p ...obj.Part) []obj.Part { return p }

func live(key string) source.Change   { return source.Change{Key: key, Live: true} }
func frozen(key string) source.Change { return source.Change{Key: key, Frozen: true} }
func both(key string) source.Change   { return source.Change{Key: key, Live: true, Frozen: true} }

func changes(c ...source.Change) source.Diff { return source.Diff{Changes: c} }

func TestDiff(t *testing.T) {
	t.Parallel()
	a := obj.CM("a")
	opt := a.Optional()
	volume, subPath, env, envFrom := parts(obj.Mount(a)), parts(obj.SubPath(a, "k")), parts(obj.Env(a, "k")), parts(obj.EnvFrom(a))
	volumeAndEnvFrom := parts(obj.Mount(a), obj.EnvFrom(a))
	data := func(pairs ...string) *corev1.ConfigMap { return obj.ConfigMap("a", pairs...) }
	binary := func(pairs ...string) *corev1.ConfigMap { return obj.Binary(obj.ConfigMap("a"), pairs...) }
	for name, tc := range map[string]struct {
		before, after state
		want          source.Diff
	}{
		"nothing": {before: state{volume, data("k", "1")}, after: state{volume, data("k", "1")}},

		// key by key
		"a value in a volume":             {state{volume, data("k", "1")}, state{volume, data("k", "2")}, changes(live("k"))},
		"a value at a subPath":            {state{subPath, data("k", "1")}, state{subPath, data("k", "2")}, changes(frozen("k"))},
		"a value in env":                  {state{env, data("k", "1")}, state{env, data("k", "2")}, changes(frozen("k"))},
		"a value in a volume and envFrom": {state{volumeAndEnvFrom, data("k", "1")}, state{volumeAndEnvFrom, data("k", "2")}, changes(both("k"))},
		"a value that becomes empty":      {state{volume, data("k", "1")}, state{volume, data("k", "")}, changes(live("k"))},
		"a key that a subPath does not use": {
			before: state{subPath, data("k", "1", "l", "1")}, after: state{subPath, data("k", "1", "l", "2", "m", "1")},
		},
		"two keys, one live and one frozen": {
			state{parts(obj.Mount(a.Items("l")), obj.Env(a, "k")), data("k", "1", "l", "1", "m", "1")},
			state{parts(obj.Mount(a.Items("l")), obj.Env(a, "k")), data("k", "2", "l", "2", "m", "2")},
			changes(frozen("k"), live("l")),
		},
		"two values that are exchanged": {state{volume, data("k", "1", "l", "2")}, state{volume, data("k", "2", "l", "1")}, changes(live("k"), live("l"))},

		// every key
		"a key that is added where every key is used":   {state{volume, data("k", "1")}, state{volume, data("k", "1", "l", "")}, changes(live("l"))},
		"a key that is removed where every key is used": {state{volume, data("k", "1", "l", "")}, state{volume, data("k", "1")}, changes(live("l"))},
		"a key that is renamed":                         {state{envFrom, data("k", "1")}, state{envFrom, data("l", "1")}, changes(frozen("k"), frozen("l"))},
		"the last key goes":                             {state{volume, data("k", "1")}, state{volume, data()}, changes(live("k"))},

		// keys that are named
		"a key that is named and was absent appears":     {state{parts(obj.Env(opt, "k")), data()}, state{parts(obj.Env(opt, "k")), data("k", "1")}, changes(frozen("k"))},
		"a key that is named and is empty is not absent": {state{parts(obj.Env(opt, "k")), data()}, state{parts(obj.Env(opt, "k")), data("k", "")}, changes(frozen("k"))},
		"a key that is named disappears":                 {state{parts(obj.Env(opt, "k")), data("k", "1")}, state{parts(obj.Env(opt, "k")), data("l", "1")}, changes(frozen("k"))},
		"a key that is named stays absent":               {before: state{parts(obj.Env(opt, "k")), data()}, after: state{parts(obj.Env(opt, "k")), data("l", "1")}},

		// binaryData: files see it, the environment does not
		"binaryData in a volume":                    {state{volume, binary("k", "1")}, state{volume, binary("k", "2")}, changes(live("k"))},
		"binaryData does not reach the environment": {before: state{envFrom, binary("k", "1")}, after: state{envFrom, binary("k", "2", "l", "1")}},
		"binaryData in a volume beside envFrom":     {state{volumeAndEnvFrom, binary("k", "1")}, state{volumeAndEnvFrom, binary("k", "2", "l", "1")}, changes(live("k"), live("l"))},
		"data becomes binaryData under envFrom":     {state{envFrom, data("k", "1")}, state{envFrom, binary("k", "1")}, changes(frozen("k"))},
		"binaryData becomes data under envFrom":     {state{envFrom, binary("k", "1")}, state{envFrom, data("k", "1")}, changes(frozen("k"))},
		"data becomes binaryData under optional env": {
			state{parts(obj.Env(opt, "k")), data("k", "1")}, state{parts(obj.Env(opt, "k")), binary("k", "1")}, changes(frozen("k")),
		},
		"data becomes binaryData in a volume":                {before: state{volume, data("k", "1")}, after: state{volume, binary("k", "1")}},
		"data becomes binaryData in a volume beside envFrom": {state{volumeAndEnvFrom, data("k", "1")}, state{volumeAndEnvFrom, binary("k", "1")}, changes(frozen("k"))},
		"data becomes other binaryData in both":              {state{volumeAndEnvFrom, data("k", "1")}, state{volumeAndEnvFrom, binary("k", "2")}, changes(both("k"))},

		// a template that uses more or less than before: no change, since its own rollout carries the content
		"a usage of another key is added": {
			state{env, data("k", "1", "l", "1")}, state{parts(obj.Env(a, "k"), obj.Env(a, "l")), data("k", "1", "l", "1")}, source.Diff{Uncovered: true},
		},
		"a usage of another key is added, and both keys change": {
			state{env, data("k", "1", "l", "1")},
			state{parts(obj.Env(a, "k"), obj.Env(a, "l")), data("k", "2", "l", "2")},
			source.Diff{Uncovered: true, Changes: []source.Change{frozen("k")}},
		},
		"items are dropped": {state{parts(obj.Mount(a.Items("k"))), data("k", "1", "l", "1")}, state{volume, data("k", "1", "l", "1")}, source.Diff{Uncovered: true}},
		"items are dropped where there is no other key": {
			state{parts(obj.Mount(a.Items("k"))), data("k", "1")}, state{volume, data("k", "1")}, source.Diff{Uncovered: true},
		},
		"envFrom is added to env where there is no other key": {
			state{env, data("k", "1")}, state{parts(obj.Env(a, "k"), obj.EnvFrom(a)), data("k", "1")}, source.Diff{Uncovered: true},
		},
		"a volume is added to envFrom": {state{envFrom, data("k", "1")}, state{volumeAndEnvFrom, data("k", "1")}, source.Diff{Uncovered: true}},
		"a volume is added to envFrom, with binaryData": {
			state{envFrom, obj.Binary(data("k", "1"), "b", "1")}, state{volumeAndEnvFrom, obj.Binary(data("k", "1"), "b", "2")}, source.Diff{Uncovered: true},
		},
		"a volume is added to env that does not see its binaryData": {
			before: state{parts(obj.Env(opt, "k")), binary("k", "1")}, after: state{parts(obj.Env(opt, "k"), obj.Mount(a.Items("k"))), binary("k", "1")},
		},
		"envFrom is added to a volume":               {before: state{volume, data("k", "1")}, after: state{volumeAndEnvFrom, data("k", "1")}},
		"items are added":                            {before: state{volume, data("k", "1", "l", "1")}, after: state{parts(obj.Mount(a.Items("k"))), data("k", "1", "l", "2")}},
		"items are added, and the key changes":       {state{volume, data("k", "1", "l", "1")}, state{parts(obj.Mount(a.Items("k"))), data("k", "2")}, changes(live("k"))},
		"a volume becomes a subPath":                 {before: state{volume, data("k", "1")}, after: state{subPath, data("k", "1")}},
		"a volume becomes a subPath, and it changes": {state{volume, data("k", "1")}, state{subPath, data("k", "2")}, changes(frozen("k"))},

		// sources that come and go
		"still absent":            {before: state{volume, nil}, after: state{volume, nil}},
		"created":                 {state{volume, nil}, state{volume, data("k", "1", "l", "1")}, source.Diff{Created: true, Changes: []source.Change{live("")}}},
		"created under a subPath": {state{subPath, nil}, state{subPath, data("k", "1")}, source.Diff{Created: true, Changes: []source.Change{frozen("")}}},
		"created for two usages":  {state{volumeAndEnvFrom, nil}, state{volumeAndEnvFrom, data("k", "1")}, source.Diff{Created: true, Changes: []source.Change{both("")}}},
		"created without what env uses": {
			state{parts(obj.Mount(opt), obj.Env(opt, "k")), nil},
			state{parts(obj.Mount(opt), obj.Env(opt, "k")), data("l", "1")},
			source.Diff{Created: true, Changes: []source.Change{live("")}},
		},
		"created without a key that is used": {state{parts(obj.Env(opt, "k")), nil}, state{parts(obj.Env(opt, "k")), data("l", "1")}, source.Diff{Created: true}},
		"created empty":                      {state{volume, nil}, state{volume, data()}, source.Diff{Created: true}},
		"deleted":                            {state{volume, data("k", "1")}, state{volume, nil}, source.Diff{Deleted: true, Changes: []source.Change{live("")}}},
		"deleted under env":                  {state{env, data("k", "1")}, state{env, nil}, source.Diff{Deleted: true, Changes: []source.Change{frozen("")}}},
		"deleted for two usages":             {state{volumeAndEnvFrom, data("k", "1")}, state{volumeAndEnvFrom, nil}, source.Diff{Deleted: true, Changes: []source.Change{both("")}}},
		"deleted, and it had nothing that is used": {
			state{parts(obj.Env(opt, "k")), data("l", "1")}, state{parts(obj.Env(opt, "k")), nil}, source.Diff{Deleted: true},
		},

		// more than 100 keys are folded
		"100 keys, one changes":              {state{volume, keys(100)}, state{volume, with(keys(100), "key-007", "y")}, changes(live("key-007"))},
		"101 keys, nothing changes":          {before: state{volume, keys(101)}, after: state{volume, keys(101)}},
		"101 keys, one changes":              {state{volume, keys(101)}, state{volume, with(keys(101), "key-007", "y")}, changes(live(""))},
		"101 keys for two usages":            {state{volumeAndEnvFrom, keys(101)}, state{volumeAndEnvFrom, with(keys(101), "key-007", "y")}, changes(both(""))},
		"the 101st key comes":                {state{volume, keys(100)}, state{volume, keys(101)}, changes(live("key-100"))},
		"the 101st key goes":                 {state{volume, keys(101)}, state{volume, keys(100)}, changes(live(""))},
		"many keys, deleted":                 {state{volume, keys(101)}, state{volume, nil}, source.Diff{Deleted: true, Changes: []source.Change{live("")}}},
		"many keys, created":                 {state{volume, nil}, state{volume, keys(101)}, source.Diff{Created: true, Changes: []source.Change{live("")}}},
		"many keys, one of them used":        {before: state{parts(obj.Env(a, "key-007")), keys(500)}, after: state{parts(obj.Env(a, "key-007")), keys(400)}},
		"many keys, a usage of all is added": {state{parts(obj.Env(a, "key-007")), keys(101)}, state{volume, keys(101)}, source.Diff{Uncovered: true}},
		"many keys, all usages but one go":   {state{volume, keys(101)}, state{parts(obj.Env(a, "key-007")), keys(101)}, source.Diff{Uncovered: true}},
		"many keys, a usage of one is added": {
			state{volume, keys(101)}, state{parts(obj.Mount(a), obj.Env(a, "key-007")), keys(101)}, source.Diff{Uncovered: true},
		},
		"many keys in a volume, one becomes binaryData": {
			before: state{volume, with(keys(101), "b", "1")}, after: state{volume, obj.Binary(keys(101), "b", "1")},
		},
		"many keys, binaryData does not reach the environment": {
			before: state{envFrom, keys(101)}, after: state{envFrom, obj.Binary(keys(101), "b", "1")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			digester := digesterOf(t, 1)
			record := digester.Record(tc.before.use(t))
			if diff := cmp.Diff(tc.want, digester.Diff(tc.after.use(t), record), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			// Once recorded, nothing is left.
			if rest := digester.Diff(tc.after.use(t), digester.Record(tc.after.use(t))); !cmp.Equal(rest, source.Diff{}) {
				t.Errorf("right after it was recorded: %+v", rest)
			}
		})
	}
}

// Nothing is known of how a source that only an annotation names is used, so that its being there is a change.
func TestDiffOfANamedSource(t *testing.T) {
	t.Parallel()
	scope := source.SourceUsages{Ref: cmRef("a"), Usages: []source.Usage{{Ref: cmRef("a"), Via: source.ViaNamed}}}
	for name, tc := range map[string]struct {
		before, after *corev1.ConfigMap
		want          source.Diff
	}{
		"nothing":        {obj.ConfigMap("a", "k", "1"), obj.ConfigMap("a", "k", "1"), source.Diff{}},
		"a value":        {obj.ConfigMap("a", "k", "1"), obj.ConfigMap("a", "k", "2"), changes(frozen("k"))},
		"binaryData":     {obj.ConfigMap("a"), obj.Binary(obj.ConfigMap("a"), "k", "1"), changes(frozen("k"))},
		"created empty":  {nil, obj.ConfigMap("a"), source.Diff{Created: true, Changes: []source.Change{frozen("")}}},
		"deleted, empty": {obj.ConfigMap("a"), nil, source.Diff{Deleted: true, Changes: []source.Change{frozen("")}}},
	} {
		digester := digesterOf(t, 1)
		got := digester.Diff(source.SourceState{Usages: scope, Snapshot: of(tc.after)}, digester.Record(source.SourceState{Usages: scope, Snapshot: of(tc.before)}))
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRecordEqual(t *testing.T) {
	t.Parallel()
	base := source.Record{All: true, Binary: true, Keys: map[string]source.KeyedDigest{"k": "1"}}
	if !base.Equal(source.Record{All: true, Binary: true, Keys: map[string]source.KeyedDigest{"k": "1"}}) {
		t.Error("two records that say the same are not equal")
	}
	if !(source.Record{}).Equal(source.Record{Keys: map[string]source.KeyedDigest{}}) {
		t.Error("no keys and an empty list of keys are not equal")
	}
	for name, other := range map[string]source.Record{
		"absent":             {Absent: true},
		"not all":            {Binary: true, Keys: base.Keys},
		"not binary":         {All: true, Keys: base.Keys},
		"another key":        {All: true, Binary: true, Keys: map[string]source.KeyedDigest{"l": "1"}},
		"other keyed digest": {All: true, Binary: true, Keys: map[string]source.KeyedDigest{"k": "2"}},
		"fold":               {All: true, Binary: true, Keys: base.Keys, Fold: "1"},
		"folded":             {All: true, Binary: true, Keys: base.Keys, Folded: "1"},
	} {
		if base.Equal(other) {
			t.Errorf("%s: equal", name)
		}
	}
}

// Of a source some keys may be taken up and others not. What is recorded then differs in the others alone.
func TestSomeKeysOfASourceAreTakenUp(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	a := obj.CM("a")
	uses := map[string][]obj.Part{
		"every key":  {obj.Mount(a)},
		"named keys": {obj.Env(a.Optional(), "k"), obj.Env(a.Optional(), "l"), obj.Env(a.Optional(), "m")},
	}
	for name, tc := range map[string]struct {
		before, after *corev1.ConfigMap
		taken, rest   string
	}{
		"edited":  {obj.ConfigMap("a", "k", "1", "l", "1"), obj.ConfigMap("a", "k", "2", "l", "2"), "k", "l"},
		"new":     {obj.ConfigMap("a", "l", "1"), obj.ConfigMap("a", "k", "1", "l", "2"), "k", "l"},
		"removed": {obj.ConfigMap("a", "k", "1", "l", "1"), obj.ConfigMap("a", "l", "2"), "k", "l"},
		"both are removed": {
			obj.ConfigMap("a", "k", "1", "l", "1", "m", "1"), obj.ConfigMap("a", "m", "1"), "k", "l",
		},
	} {
		for use, parts := range uses {
			t.Run(name+", "+use, func(t *testing.T) {
				t.Parallel()
				before := digester.Record(state{uses: parts, cm: tc.before}.use(t))
				now := state{uses: parts, cm: tc.after}.use(t)
				copied := digester.Record(state{uses: parts, cm: tc.before}.use(t))
				record := digester.RecordChanges(now, before, []source.Change{{Key: tc.taken}})
				var left []string
				for _, change := range digester.Diff(now, record).Changes {
					left = append(left, change.Key)
				}
				if diff := cmp.Diff([]string{tc.rest}, left); diff != "" {
					t.Errorf("what is left (-want +got):\n%s", diff)
				}
				if !before.Equal(copied) {
					t.Error("the record of before was modified")
				}
				all := digester.RecordChanges(now, record, []source.Change{{Key: tc.rest}})
				if want := digester.Record(now); !all.Equal(want) {
					t.Errorf("all keys are taken up: %+v, want %+v", all, want)
				}
			})
		}
	}
}
