package source_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func TestRef(t *testing.T) {
	t.Parallel()
	if got := secRef("db").String(); got != "Secret shop/db" {
		t.Errorf("got %q", got)
	}
	ordered := []source.Ref{
		{Kind: source.ConfigMap, Namespace: "a", Name: "z"},
		{Kind: source.ConfigMap, Namespace: "b", Name: "a"},
		{Kind: source.ConfigMap, Namespace: "b", Name: "b"},
		{Kind: source.Secret, Namespace: "a", Name: "a"},
	}
	shuffled := []source.Ref{ordered[3], ordered[1], ordered[0], ordered[2]}
	slices.SortFunc(shuffled, source.Ref.Compare)
	if diff := cmp.Diff(ordered, shuffled); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	want := []source.Kind{source.ConfigMap, source.Secret, source.SecretProviderClass, source.ClusterTrustBundle}
	if diff := cmp.Diff(want, source.Kinds()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	got := source.OfConfigMap(obj.Binary(obj.ConfigMap("a", "text", "x"), "bytes", "\xff"))
	want := source.Snapshot{Ref: cmRef("a"), Keys: map[string]source.Entry{
		"text": {Digest: source.DigestOf([]byte("x"))}, "bytes": {Digest: source.DigestOf([]byte("\xff")), Binary: true},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ConfigMap (-want +got):\n%s", diff)
	}
	got = source.OfSecret(obj.Secret("b", "k", "x"))
	want = source.Snapshot{Ref: secRef("b"), Keys: map[string]source.Entry{"k": {Digest: source.DigestOf([]byte("x"))}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Secret (-want +got):\n%s", diff)
	}
	if source.DigestOf(nil) != source.DigestOf([]byte{}) || source.DigestOf([]byte("a")) == source.DigestOf([]byte("b")) {
		t.Error("digests do not distinguish contents")
	}
}

// What is not known is never later, and what contradicts itself is not known.
func TestMomentAfter(t *testing.T) {
	t.Parallel()
	early := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	late := early.Add(time.Second)
	var unknown time.Time
	for _, tc := range []struct {
		name     string
		m, other source.Moment
		want     bool
	}{
		{"nothing is known", source.Moment{}, source.Moment{}, false},
		{"only ours is known", source.Moment{Version: 9, Time: late}, source.Moment{}, false},
		{"only the other is known", source.Moment{}, source.Moment{Version: 9, Time: early}, false},
		{"only times are known", source.Moment{Time: late}, source.Moment{Time: early}, false},
		{"later version", source.Moment{Version: 9}, source.Moment{Version: 8}, true},
		{"same version", source.Moment{Version: 9}, source.Moment{Version: 9}, false},
		{"earlier version", source.Moment{Version: 8}, source.Moment{Version: 9}, false},
		{"later version and time", source.Moment{Version: 9, Time: late}, source.Moment{Version: 8, Time: early}, true},
		{"later version in the same second", source.Moment{Version: 9, Time: early}, source.Moment{Version: 8, Time: early}, true},
		{"later version at an earlier time", source.Moment{Version: 9, Time: early}, source.Moment{Version: 8, Time: late}, false},
		{"earlier version at a later time", source.Moment{Version: 8, Time: late}, source.Moment{Version: 9, Time: early}, false},
		{"later version, our time unknown", source.Moment{Version: 9, Time: unknown}, source.Moment{Version: 8, Time: late}, true},
		{"later version, the other time unknown", source.Moment{Version: 9, Time: early}, source.Moment{Version: 8, Time: unknown}, true},
	} {
		if got := tc.m.After(tc.other); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}
