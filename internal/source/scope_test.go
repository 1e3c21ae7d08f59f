package source_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// scopeOf returns how a template uses one source.
func scopeOf(tb testing.TB, ref source.Ref, parts ...obj.Part) source.SourceUsages {
	tb.Helper()
	for _, scope := range source.GroupUsages(source.Usages(obj.Namespace, obj.Spec(parts...))) {
		if scope.Ref == ref {
			return scope
		}
	}
	tb.Fatalf("the template does not use %s", ref)
	return source.SourceUsages{}
}

// of returns the snapshot of a ConfigMap; nil gives nil.
func of(cm *corev1.ConfigMap) *source.Snapshot {
	if cm == nil {
		return nil
	}
	return new(source.OfConfigMap(cm))
}

func TestScopes(t *testing.T) {
	t.Parallel()
	usages := source.Usages(obj.Namespace, obj.Spec(
		obj.Mount(obj.Sec("z")), obj.Mount(obj.CM("z")), obj.Env(obj.CM("a"), "k"), obj.EnvFrom(obj.CM("z")), obj.CSI("a"),
	))
	var got []string
	for _, scope := range source.GroupUsages(usages) {
		line := []string{scope.Ref.String()}
		for _, u := range scope.Usages {
			line = append(line, string(u.Via))
		}
		got = append(got, strings.Join(line, " "))
	}
	want := []string{
		"ConfigMap shop/a Env", "ConfigMap shop/z Volume EnvFrom", "Secret shop/z Volume", "SecretProviderClass shop/a CSI",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if source.GroupUsages(nil) != nil {
		t.Error("no usages have a scope")
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	a := obj.CM("a")
	for name, tc := range map[string]struct {
		parts        []obj.Part
		key          string
		binary       bool
		live, frozen bool
	}{
		"a volume":                               {parts: []obj.Part{obj.Mount(a)}, key: "k", live: true},
		"a volume, binaryData":                   {parts: []obj.Part{obj.Mount(a)}, key: "k", binary: true, live: true},
		"items, a key that they select":          {parts: []obj.Part{obj.Mount(a.Items("k"))}, key: "k", live: true},
		"items, another key":                     {parts: []obj.Part{obj.Mount(a.Items("k"))}, key: "l"},
		"a subPath":                              {parts: []obj.Part{obj.SubPath(a, "k")}, key: "k", frozen: true},
		"a subPath, another key":                 {parts: []obj.Part{obj.SubPath(a, "k")}, key: "l"},
		"a subPath, binaryData":                  {parts: []obj.Part{obj.SubPath(a, "k")}, key: "k", binary: true, frozen: true},
		"env":                                    {parts: []obj.Part{obj.Env(a, "k")}, key: "k", frozen: true},
		"env, binaryData":                        {parts: []obj.Part{obj.Env(a, "k")}, key: "k", binary: true},
		"envFrom":                                {parts: []obj.Part{obj.EnvFrom(a)}, key: "k", frozen: true},
		"envFrom, binaryData":                    {parts: []obj.Part{obj.EnvFrom(a)}, key: "k", binary: true},
		"a volume of an ordinary init container": {parts: []obj.Part{obj.Init("i"), obj.Mount(a)}, key: "k", frozen: true},
		"a volume and a subPath of another key":  {parts: []obj.Part{obj.Mount(a), obj.SubPath(a, "l")}, key: "k", live: true},
		"a volume and a subPath of the key":      {parts: []obj.Part{obj.Mount(a), obj.SubPath(a, "k")}, key: "k", live: true, frozen: true},
		"a volume and envFrom, binaryData":       {parts: []obj.Part{obj.Mount(a), obj.EnvFrom(a)}, key: "k", binary: true, live: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live, frozen := scopeOf(t, cmRef("a"), tc.parts...).Reach(tc.key, tc.binary)
			if live != tc.live || frozen != tc.frozen {
				t.Errorf("live %t, frozen %t, want %t, %t", live, frozen, tc.live, tc.frozen)
			}
		})
	}
}

func TestRequired(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		parts []obj.Part
		want  bool
	}{
		"a volume":                              {[]obj.Part{obj.Mount(obj.CM("a"))}, true},
		"an optional volume":                    {[]obj.Part{obj.Mount(obj.CM("a").Optional())}, false},
		"an optional volume and a required key": {[]obj.Part{obj.Mount(obj.CM("a").Optional()), obj.Env(obj.CM("a"), "k")}, true},
		"optional everywhere":                   {[]obj.Part{obj.EnvFrom(obj.CM("a").Optional()), obj.Env(obj.CM("a").Optional(), "k")}, false},
	} {
		if got := scopeOf(t, cmRef("a"), tc.parts...).Required(); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	named := source.SourceUsages{Ref: cmRef("a"), Usages: []source.Usage{{Ref: cmRef("a"), Via: source.ViaNamed}}}
	if named.Required() {
		t.Error("a source that an annotation names is required, although pods start without it")
	}
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()
	had := source.Record{Keys: map[string]source.KeyedDigest{"k": "abc", "l": ""}}
	full := obj.ConfigMap("a", "other", "x")
	for name, tc := range map[string]struct {
		parts  []obj.Part
		cm     *corev1.ConfigMap
		before source.Record
		want   []string
	}{
		"a volume without items needs no key":        {parts: []obj.Part{obj.Mount(obj.CM("a"))}, cm: full},
		"envFrom needs no key":                       {parts: []obj.Part{obj.EnvFrom(obj.CM("a"))}, cm: full},
		"env needs its key":                          {parts: []obj.Part{obj.Env(obj.CM("a"), "k")}, cm: full, want: []string{"k"}},
		"env with the key needs nothing":             {parts: []obj.Part{obj.Env(obj.CM("a"), "other")}, cm: full},
		"optional env needs nothing":                 {parts: []obj.Part{obj.Env(obj.CM("a").Optional(), "k")}, cm: full},
		"env does not see binaryData":                {parts: []obj.Part{obj.Env(obj.CM("a"), "k")}, cm: obj.Binary(obj.ConfigMap("a"), "k", "x"), want: []string{"k"}},
		"a volume sees binaryData":                   {parts: []obj.Part{obj.Mount(obj.CM("a").Items("k"))}, cm: obj.Binary(obj.ConfigMap("a"), "k", "x")},
		"items need their keys":                      {parts: []obj.Part{obj.Mount(obj.CM("a").Items("l", "other", "k"))}, cm: full, want: []string{"k", "l"}},
		"optional items need nothing":                {parts: []obj.Part{obj.Mount(obj.CM("a").Items("k").Optional())}, cm: full},
		"items of a projected volume need theirs":    {parts: []obj.Part{obj.Projected(obj.CM("a").Items("k"))}, cm: full, want: []string{"k"}},
		"a subPath needs no key that was never":      {parts: []obj.Part{obj.SubPath(obj.CM("a"), "k")}, cm: full},
		"a subPath needs no key that was not there":  {parts: []obj.Part{obj.SubPath(obj.CM("a"), "l")}, cm: full, before: had},
		"a subPath needs a key that was there":       {parts: []obj.Part{obj.SubPath(obj.CM("a"), "k")}, cm: full, before: had, want: []string{"k"}},
		"an optional subPath needs nothing":          {parts: []obj.Part{obj.SubPath(obj.CM("a").Optional(), "k")}, cm: full, before: had},
		"a subPath below items needs all items":      {parts: []obj.Part{obj.SubPath(obj.CM("a").Items("other", "k"), "other")}, cm: full, want: []string{"k"}},
		"a file of several sources may be another's": {parts: []obj.Part{obj.ProjectedSubPath("k", obj.CM("a"), obj.CM("b"))}, cm: full, before: had},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := scopeOf(t, cmRef("a"), tc.parts...).MissingKeys(of(tc.cm), tc.before)
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
