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

func TestNewSealerWantsAKeyOf32Bytes(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]bool{0: false, 31: false, 32: true, 64: true} {
		_, err := source.NewSealer(make([]byte, size))
		if (err == nil) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err != nil && !strings.Contains(err.Error(), "32 bytes") {
			t.Errorf("%d bytes: %q does not say what is wanted", size, err)
		}
	}
}

func TestSealerKeepsItsKey(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{1}, 32)
	sealer, err := source.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	before := sealer.NamedLists(map[source.Kind][]string{source.Secret: {"a"}})
	clear(key)
	if sealer.NamedLists(map[source.Kind][]string{source.Secret: {"a"}}) != before {
		t.Error("who clears the key that it gave to a sealer changes all seals")
	}
}

func TestIDNamesTheKey(t *testing.T) {
	t.Parallel()
	if a, again, b := sealerOf(t, 1).ID(), sealerOf(t, 1).ID(), sealerOf(t, 2).ID(); a != again || a == b || a == "" {
		t.Errorf("ids %q, %q for one key, %q for another", a, again, b)
	}
}

// sealOf is the seal of a key of a ConfigMap of which everything is used.
func sealOf(tb testing.TB, sealer source.Sealer, ref source.Ref, key, value string) source.Seal {
	tb.Helper()
	scope := source.Scope{Ref: ref, Usages: []source.Usage{{Ref: ref, Via: source.ViaVolume}}}
	snapshot := source.Snapshot{Ref: ref, Keys: map[string]source.Entry{key: {Digest: source.DigestOf([]byte(value))}}}
	return sealer.Record(source.Use{Scope: scope, Snapshot: &snapshot}).Keys[key]
}

func TestSealsTellNothing(t *testing.T) {
	t.Parallel()
	one, other := sealerOf(t, 1), sealerOf(t, 2)
	base := sealOf(t, one, secRef("a"), "k", "hunter2")
	if again := sealOf(t, one, secRef("a"), "k", "hunter2"); again != base {
		t.Errorf("one content has two seals, %q and %q", base, again)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{12}$`).MatchString(string(base)) {
		t.Errorf("seal %q, want 12 characters", base)
	}
	elsewhere := secRef("a")
	elsewhere.Namespace = "elsewhere"
	for name, seal := range map[string]source.Seal{
		"another value":           sealOf(t, one, secRef("a"), "k", "hunter3"),
		"another sealing key":     sealOf(t, other, secRef("a"), "k", "hunter2"),
		"another key":             sealOf(t, one, secRef("a"), "l", "hunter2"),
		"another source":          sealOf(t, one, secRef("b"), "k", "hunter2"),
		"another kind":            sealOf(t, one, cmRef("a"), "k", "hunter2"),
		"another namespace":       sealOf(t, one, elsewhere, "k", "hunter2"),
		"names that run together": sealOf(t, one, secRef("ak"), "", "hunter2"),
	} {
		if seal == base {
			t.Errorf("%s has the same seal, %q", name, seal)
		}
	}
}

// Reloader hashes "k=v" joined by ";", so that these are the same to it.
func TestContentIsFramed(t *testing.T) {
	t.Parallel()
	sealer := sealerOf(t, 1)
	pairs := map[string][2]*corev1.ConfigMap{
		"separators in a value":      {obj.ConfigMap("a", "a", "1;b=2"), obj.ConfigMap("a", "a", "1", "b", "2")},
		"names that run into values": {obj.ConfigMap("a", "ab", "c"), obj.ConfigMap("a", "a", "bc")},
		"an empty key more":          {obj.ConfigMap("a", "a", "1"), obj.ConfigMap("a", "a", "1", "b", "")},
	}
	many := func(key, value string) *corev1.ConfigMap { return with(keys(101), key, value) }
	pairs["separators in a value of many"] = [2]*corev1.ConfigMap{many("a", "1;b=2"), with(many("a", "1"), "b", "2")}
	for name, pair := range pairs {
		first, second := state{parts(obj.Mount(obj.CM("a"))), pair[0]}.use(t), state{parts(obj.Mount(obj.CM("a"))), pair[1]}.use(t)
		if sealer.Record(first).Equal(sealer.Record(second)) {
			t.Errorf("%s: the records are equal", name)
		}
		if len(sealer.Diff(second, sealer.Record(first)).Changes) == 0 {
			t.Errorf("%s: no change is seen", name)
		}
		if sealer.Mark([]source.Use{first}, "") == sealer.Mark([]source.Use{second}, "") {
			t.Errorf("%s: the marks are equal", name)
		}
	}
}

func TestMark(t *testing.T) {
	t.Parallel()
	sealer := sealerOf(t, 1)
	volume, env := parts(obj.Mount(obj.CM("a"))), parts(obj.Env(obj.CM("a").Optional(), "k"))
	use := func(parts []obj.Part, cm *corev1.ConfigMap) source.Use { return state{parts, cm}.use(t) }
	another := use(volume, obj.ConfigMap("a", "k", "1"))
	another.Scope.Ref = secRef("a")

	base := []source.Use{use(volume, obj.ConfigMap("a", "k", "1"))}
	mark := sealer.Mark(base, "")
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(mark) {
		t.Errorf("mark %q, want 40 hex digits like Reloader's", mark)
	}
	if again := sealer.Mark(base, ""); again != mark {
		t.Errorf("one content has two marks, %s and %s", mark, again)
	}
	same := []source.Use{use(env, obj.ConfigMap("a", "k", "1", "unused", "x"))}
	if got := sealer.Mark(same, ""); got != mark {
		t.Error("a key that is not used enters the mark")
	}
	for name, other := range map[string]string{
		"another value":       sealer.Mark([]source.Use{use(volume, obj.ConfigMap("a", "k", "2"))}, ""),
		"another key":         sealer.Mark([]source.Use{use(volume, obj.ConfigMap("a", "l", "1"))}, ""),
		"empty":               sealer.Mark([]source.Use{use(volume, obj.ConfigMap("a"))}, ""),
		"absent":              sealer.Mark([]source.Use{use(volume, nil)}, ""),
		"another source":      sealer.Mark([]source.Use{another}, ""),
		"two sources":         sealer.Mark([]source.Use{base[0], another}, ""),
		"none":                sealer.Mark(nil, ""),
		"a salt":              sealer.Mark(base, "salt"),
		"another salt":        sealer.Mark(base, "pepper"),
		"another sealing key": sealerOf(t, 2).Mark(base, ""),
	} {
		if other == mark {
			t.Errorf("%s: the mark is the same", name)
		}
	}
	absent, empty := use(volume, nil), use(volume, obj.ConfigMap("a"))
	if sealer.Mark([]source.Use{absent}, "") == sealer.Mark([]source.Use{empty}, "") {
		t.Error("an absent and an empty source have the same mark")
	}
	if salted, again := sealer.Mark(base, "salt"), sealer.Mark(base, "salt"); salted != again {
		t.Errorf("one content and one salt have two marks, %s and %s", salted, again)
	}
}
