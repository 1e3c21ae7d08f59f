package source_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func TestNewDigesterWantsAKeyOf32Bytes(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]bool{0: false, 31: false, 32: true, 64: true} {
		_, err := source.NewDigester(make([]byte, size))
		if (err == nil) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err != nil && !strings.Contains(err.Error(), "32 bytes") {
			t.Errorf("%d bytes: %q does not say what is wanted", size, err)
		}
	}
}

func TestDigesterKeepsItsKey(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	digester, err := source.NewDigester(key)
	if err != nil {
		t.Fatal(err)
	}
	before := digester.NamedLists(map[source.Kind][]string{source.Secret: {"a"}})
	clear(key)
	if digester.NamedLists(map[source.Kind][]string{source.Secret: {"a"}}) != before {
		t.Error("who clears the key that it gave to a digester changes all keyed digests")
	}
}

func TestIDNamesTheKey(t *testing.T) {
	t.Parallel()
	if a, again, b := digesterOf(t, 1).ID(), digesterOf(t, 1).ID(), digesterOf(t, 2).ID(); a != again || a == b || a == "" {
		t.Errorf("ids %q, %q for one key, %q for another", a, again, b)
	}
}

// keyedOf is the keyed digest of a key of a ConfigMap that is used as a whole.
func keyedOf(tb testing.TB, digester source.Digester, ref source.Ref, key, value string) source.KeyedDigest {
	tb.Helper()
	scope := source.SourceUsages{Ref: ref, Usages: []source.Usage{{Ref: ref, Via: source.ViaVolume}}}
	snapshot := source.Snapshot{Ref: ref, Keys: map[string]source.Entry{key: {Digest: source.DigestOf([]byte(value))}}}
	return digester.Record(source.SourceState{Usages: scope, Snapshot: &snapshot}).Keys[key]
}

func TestKeyedDigestsRevealNothing(t *testing.T) {
	t.Parallel()
	one, other := digesterOf(t, 1), digesterOf(t, 2)
	base := keyedOf(t, one, secRef("a"), "k", "hunter2")
	if again := keyedOf(t, one, secRef("a"), "k", "hunter2"); again != base {
		t.Errorf("one content has two keyed digests, %q and %q", base, again)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{12}$`).MatchString(string(base)) {
		t.Errorf("keyed digest %q, want 12 characters", base)
	}
	elsewhere := secRef("a")
	elsewhere.Namespace = "elsewhere"
	for name, keyed := range map[string]source.KeyedDigest{
		"another value":           keyedOf(t, one, secRef("a"), "k", "hunter3"),
		"another digest key":      keyedOf(t, other, secRef("a"), "k", "hunter2"),
		"another key":             keyedOf(t, one, secRef("a"), "l", "hunter2"),
		"another source":          keyedOf(t, one, secRef("b"), "k", "hunter2"),
		"another kind":            keyedOf(t, one, cmRef("a"), "k", "hunter2"),
		"another namespace":       keyedOf(t, one, elsewhere, "k", "hunter2"),
		"names that run together": keyedOf(t, one, secRef("ak"), "", "hunter2"),
	} {
		if keyed == base {
			t.Errorf("%s has the same keyed digest, %q", name, keyed)
		}
	}
}

// Reloader hashes "k=v" joined by ";", so that these are the same to it.
func TestContentIsFramed(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	pairs := map[string][2]*corev1.ConfigMap{
		"separators in a value":      {obj.ConfigMap("a", "a", "1;b=2"), obj.ConfigMap("a", "a", "1", "b", "2")},
		"names that run into values": {obj.ConfigMap("a", "ab", "c"), obj.ConfigMap("a", "a", "bc")},
		"an empty key more":          {obj.ConfigMap("a", "a", "1"), obj.ConfigMap("a", "a", "1", "b", "")},
	}
	many := func(key, value string) *corev1.ConfigMap { return with(keys(101), key, value) }
	pairs["separators in a value of many"] = [2]*corev1.ConfigMap{many("a", "1;b=2"), with(many("a", "1"), "b", "2")}
	for name, pair := range pairs {
		first, second := state{parts(obj.Mount(obj.CM("a"))), pair[0]}.use(t), state{parts(obj.Mount(obj.CM("a"))), pair[1]}.use(t)
		if digester.Record(first).Equal(digester.Record(second)) {
			t.Errorf("%s: the records are equal", name)
		}
		if len(digester.Diff(second, digester.Record(first)).Changes) == 0 {
			t.Errorf("%s: no change is seen", name)
		}
		if digester.ConfigHash([]source.SourceState{first}, "") == digester.ConfigHash([]source.SourceState{second}, "") {
			t.Errorf("%s: the config hashes are equal", name)
		}
	}
}

func TestConfigHash(t *testing.T) {
	t.Parallel()
	digester := digesterOf(t, 1)
	volume, env := parts(obj.Mount(obj.CM("a"))), parts(obj.Env(obj.CM("a").Optional(), "k"))
	use := func(parts []obj.Part, cm *corev1.ConfigMap) source.SourceState { return state{parts, cm}.use(t) }
	another := use(volume, obj.ConfigMap("a", "k", "1"))
	another.Usages.Ref = secRef("a")

	base := []source.SourceState{use(volume, obj.ConfigMap("a", "k", "1"))}
	hash := digester.ConfigHash(base, "")
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(hash) {
		t.Errorf("config hash %q, want 40 hex digits like Reloader's", hash)
	}
	if again := digester.ConfigHash(base, ""); again != hash {
		t.Errorf("one content has two config hashes, %s and %s", hash, again)
	}
	same := []source.SourceState{use(env, obj.ConfigMap("a", "k", "1", "unused", "x"))}
	if got := digester.ConfigHash(same, ""); got != hash {
		t.Error("a key that is not used enters the config hash")
	}
	for name, other := range map[string]string{
		"another value":      digester.ConfigHash([]source.SourceState{use(volume, obj.ConfigMap("a", "k", "2"))}, ""),
		"another key":        digester.ConfigHash([]source.SourceState{use(volume, obj.ConfigMap("a", "l", "1"))}, ""),
		"empty":              digester.ConfigHash([]source.SourceState{use(volume, obj.ConfigMap("a"))}, ""),
		"absent":             digester.ConfigHash([]source.SourceState{use(volume, nil)}, ""),
		"another source":     digester.ConfigHash([]source.SourceState{another}, ""),
		"two sources":        digester.ConfigHash([]source.SourceState{base[0], another}, ""),
		"none":               digester.ConfigHash(nil, ""),
		"a salt":             digester.ConfigHash(base, "salt"),
		"another salt":       digester.ConfigHash(base, "pepper"),
		"another digest key": digesterOf(t, 2).ConfigHash(base, ""),
	} {
		if other == hash {
			t.Errorf("%s: the config hash is the same", name)
		}
	}
	absent, empty := use(volume, nil), use(volume, obj.ConfigMap("a"))
	if digester.ConfigHash([]source.SourceState{absent}, "") == digester.ConfigHash([]source.SourceState{empty}, "") {
		t.Error("an absent and an empty source have the same config hash")
	}
	if salted, again := digester.ConfigHash(base, "salt"), digester.ConfigHash(base, "salt"); salted != again {
		t.Errorf("one content and one salt have two config hashes, %s and %s", salted, again)
	}
}
