package decide_test

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

// Reloader's names, measured on it; a trailing run is what its code does, and no name of an object ends with one.
func TestVariable(t *testing.T) {
	t.Parallel()
	for ref, want := range map[source.Ref]string{
		cmRef("app"):     "STAKATER_APP_CONFIGMAP",
		secRef("app"):    "STAKATER_APP_SECRET",
		cmRef("foo.bar"): "STAKATER_FOO_BAR_CONFIGMAP",
		cmRef("foo-bar"): "STAKATER_FOO_BAR_CONFIGMAP",
		cmRef("a--b.c"):  "STAKATER_A_B_C_CONFIGMAP",
		cmRef("-.a"):     "STAKATER_A_CONFIGMAP",
		cmRef("a-"):      "STAKATER_A__CONFIGMAP",
		secRef("1a2"):    "STAKATER_1A2_SECRET",
		secRef("größe"):  "STAKATER_GR_E_SECRET",
		{Kind: source.SecretProviderClass, Name: "vault"}: "STAKATER_VAULT_SECRETPROVIDERCLASS",
	} {
		if got := decide.Variable(ref); got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}

// The container is the one that Reloader picks, so that whoever changes over sees its variables replaced and not doubled.
func TestContainerOfAConfigHash(t *testing.T) {
	t.Parallel()
	a := obj.CM("a")
	first, second := obj.Container("first"), obj.Container("second")
	for name, tc := range map[string]struct {
		parts []obj.Part
		want  string
	}{
		"the one that mounts it":                         {[]obj.Part{first, second, obj.Mount(a)}, "second"},
		"the first of those that mount it":               {[]obj.Part{first, obj.Mount(a), second, obj.Mount(a)}, "first"},
		"a subPath is a mount":                           {[]obj.Part{first, second, obj.SubPath(a, "k")}, "second"},
		"a projected volume is a mount":                  {[]obj.Part{first, second, obj.Projected(a, obj.Sec("s").Optional())}, "second"},
		"a mount comes before env":                       {[]obj.Part{first, obj.EnvFrom(a), second, obj.Mount(a)}, "second"},
		"the one that has it in env":                     {[]obj.Part{first, second, obj.Env(a, "k")}, "second"},
		"the one that has it in envFrom":                 {[]obj.Part{first, second, obj.EnvFrom(a)}, "second"},
		"the first, if only an init container mounts it": {[]obj.Part{first, second, obj.Init("i"), obj.Mount(a)}, "first"},
		"the first, if a restartable one mounts it":      {[]obj.Part{first, second, obj.Sidecar("i"), obj.Mount(a)}, "first"},
		"the first, if an init container mounts it and another has it in env": {
			[]obj.Part{first, second, obj.EnvFrom(a), obj.Init("i"), obj.Mount(a)}, "first",
		},
		"the first, if only an init container has it in env":              {[]obj.Part{first, second, obj.Init("i"), obj.EnvFrom(a)}, "first"},
		"the one that has it in env, though an init container has it too": {[]obj.Part{first, second, obj.EnvFrom(a), obj.Init("i"), obj.EnvFrom(a)}, "second"},
		"the first, if nobody uses it":                                    {[]obj.Part{obj.Annotation(namedCM, "a"), first, second}, "first"},
		"the one that carries the variable already, wherever it was mounted then": {
			[]obj.Part{first, obj.Mount(a), second, obj.Var("STAKATER_A_CONFIGMAP", "")}, "second",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, append(following(), tc.parts...), one()...)
			change(w)
			d := w.decide()
			if len(d.ConfigHashes) != 1 || d.ConfigHashes[0].Container != tc.want {
				t.Errorf("config hashes %+v, want one in %s", d.ConfigHashes, tc.want)
			}
		})
	}
}

func TestConfigHashes(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, following(obj.Env(obj.Sec("z"), "k"), obj.EnvFrom(obj.CM("b")), obj.EnvFrom(obj.CM("a"))), cm("a", "k", "1"), cm("b", "k", "1"), obj.Secret("z", "k", "1"))
	w.set(cm("a", "k", "2"), obj.Secret("z", "k", "2"))
	d := w.decide()
	want := []decide.ConfigHash{
		{Ref: cmRef("a"), Type: "CONFIGMAP", Container: "app", Variable: "STAKATER_A_CONFIGMAP"},
		{Ref: secRef("z"), Type: "SECRET", Container: "app", Variable: "STAKATER_Z_SECRET"},
	}
	if diff := cmp.Diff(want, d.ConfigHashes, cmpopts.IgnoreFields(decide.ConfigHash{}, "Hash")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, hash := range d.ConfigHashes {
		if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(hash.Hash) {
			t.Errorf("%s=%s, want 40 hex digits", hash.Variable, hash.Hash)
		}
	}
	if again := w.decide(); !cmp.Equal(again.ConfigHashes, d.ConfigHashes) {
		t.Error("decided twice, the config hashes differ")
	}
	w.apply(d)
	w.wantNothingLeft()
}

// The names a.b and a-b give one variable, which stands for both.
func TestConfigHashOfNamesThatCollide(t *testing.T) {
	t.Parallel()
	uses := following(obj.Mount(obj.CM("a-b")), obj.Mount(obj.CM("a.b")))
	w := withBaseline(t, uses, cm("a-b", "k", "1"), cm("a.b", "k", "1"))
	seen := map[string]string{}
	for i, next := range []string{"a-b", "a.b", "both"} {
		value := fmt.Sprint("new-", i)
		if next != "a.b" {
			w.set(cm("a-b", "k", value))
		}
		if next != "a-b" {
			w.set(cm("a.b", "k", value))
		}
		d := w.decide()
		if len(d.ConfigHashes) != 1 || d.ConfigHashes[0].Variable != "STAKATER_A_B_CONFIGMAP" {
			t.Fatalf("%s: config hashes %+v, want one variable", next, d.ConfigHashes)
		}
		if other, taken := seen[d.ConfigHashes[0].Hash]; taken {
			t.Errorf("%s: the config hash is that of %s", next, other)
		}
		seen[d.ConfigHashes[0].Hash] = next
		if want := w.digester.ConfigHash(w.gather().Uses, ""); d.ConfigHashes[0].Hash != want {
			t.Errorf("%s: the config hash is %s, want %s, which is made of both", next, d.ConfigHashes[0].Hash, want)
		}
		w.apply(d)
		w.wantNothingLeft()
		if got := len(w.variables()); got != 1 {
			t.Errorf("%s: the template has %d variables", next, got)
		}
	}
}

// The pods went A, B in place, A again: the template has the config hash of A already, and has to get another one, or
// nothing rolls.
func TestConfigHashThatIsThereAlready(t *testing.T) {
	t.Parallel()
	w := withBaseline(t, injected(obj.Mount(obj.CM("a"))), one()...)
	roll := func(value string) string {
		w.set(cm("a", "k", value))
		w.input.InPlace = decide.InPlace{}
		d := w.decide()
		if d.Action != decide.Rollout {
			t.Fatalf("%s (%s)", d.Action, d.Reason)
		}
		if again := w.decide(); !cmp.Equal(again.ConfigHashes, d.ConfigHashes) {
			t.Error("decided twice, the config hashes differ")
		}
		w.apply(d)
		w.wantNothingLeft()
		return w.variables()["app/STAKATER_A_CONFIGMAP"]
	}
	reload := func(value string) {
		w.set(cm("a", "k", value))
		w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: decide.Confirmed}
		d := w.decide()
		if d.Reason != decide.ReloadConfirmed {
			t.Fatalf("%s (%s)", d.Action, d.Reason)
		}
		w.apply(d)
	}
	last := roll("A")
	for i := range 4 {
		reload("B")
		next := roll("A")
		if next == last {
			t.Fatalf("time %d: the config hash of A is the one that is there, so that nothing rolls", i)
		}
		last = next
	}
	if back := roll("C"); back == last {
		t.Error("other content has the same config hash")
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef0123456789abcdef01234567"
	for name, tc := range map[string]struct {
		parts []obj.Part
		want  []string
	}{
		"nothing": {},
		"a variable of a source that is not used any more": {
			parts: []obj.Part{obj.Var("STAKATER_OLD_CONFIGMAP", hash), obj.Var("STAKATER_OLD_SECRET", hash)},
			want:  []string{"app/STAKATER_OLD_CONFIGMAP", "app/STAKATER_OLD_SECRET"},
		},
		"one of a class, in another container": {
			parts: []obj.Part{obj.Container("second"), obj.Var("STAKATER_OLD_SECRETPROVIDERCLASS", hash)},
			want:  []string{"second/STAKATER_OLD_SECRETPROVIDERCLASS"},
		},
		"one of a source that is used":             {parts: []obj.Part{obj.EnvFrom(obj.CM("b")), obj.Var("STAKATER_B_CONFIGMAP", hash)}},
		"one of a source that is used and ignored": {parts: []obj.Part{obj.EnvFrom(obj.CM("i")), obj.Var("STAKATER_I_CONFIGMAP", hash)}},
		"variables of a user": {parts: []obj.Part{
			obj.Var("STAKATER_TOKEN", hash), obj.Var("STAKATER_OLD_CONFIGMAP", "on"), obj.Var("STAKATER_OLD_SECRET", hash+"0"),
			obj.Var("STAKATER_CONFIGMAP", hash), obj.Var("STAKATER_old_CONFIGMAP", hash), obj.Var("STAKATER_X_SECRET", "0123456789ABCDEF0123456789abcdef01234567"),
			obj.FieldVar("STAKATER_POD_SECRET", "metadata.name"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := withBaseline(t, append(frozen(), tc.parts...), cm("a", "k", "1"), cm("b", "k", "1"), obj.Annotated(cm("i", "k", "1"), ignore, "true"))
			if d := w.decide(); len(d.Stale) > 0 {
				t.Errorf("without a rollout: %q", d.Stale)
			}
			change(w)
			d := w.decide()
			if diff := cmp.Diff(tc.want, d.Stale, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			w.apply(d)
			w.wantNothingLeft()
		})
	}
}
