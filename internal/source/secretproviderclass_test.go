package source_test

import (
	"testing"
	"time"

	"inpod.dev/inpod/internal/source"
)

func TestWhichVersionsOfAClassCount(t *testing.T) {
	t.Parallel()
	at := func(second int, version uint64) source.Moment {
		return source.Moment{Time: time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC), Version: version}
	}
	pod := func(version string, rotated bool, written source.Moment) source.Mounted {
		return source.Mounted{Versions: map[string]string{"password": version}, Rotated: rotated, Written: written}
	}
	for name, tc := range map[string]struct {
		pods  []source.Mounted
		want  string // "" for none
		fresh bool
	}{
		"no pod has mounted it":                            {},
		"every pod has what it started with":               {[]source.Mounted{pod("1", false, at(1, 1)), pod("2", false, at(2, 2))}, "2", true},
		"one has something rotated in":                     {[]source.Mounted{pod("1", false, at(1, 1)), pod("2", true, at(2, 2)), pod("1", false, at(3, 3))}, "2", false},
		"what was rotated in last counts":                  {[]source.Mounted{pod("3", true, at(3, 3)), pod("2", true, at(2, 2)), pod("4", false, at(4, 4))}, "3", false},
		"a write of the metadata does not make it newer":   {[]source.Mounted{pod("2", true, at(2, 9)), pod("3", true, at(3, 3))}, "3", false},
		"in the same second the later write is the newest": {[]source.Mounted{pod("3", true, at(2, 4)), pod("2", true, at(2, 3))}, "3", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := csiRef("vault")
			got := source.OfSecretProviderClass(ref, tc.pods)
			if got == nil || tc.want == "" {
				if got != nil || tc.want != "" {
					t.Errorf("got %+v", got)
				}
				return
			}
			if got.Ref != ref || got.Fresh != tc.fresh || got.Keys["password"].Digest != source.DigestOf([]byte(tc.want)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestWhatAPodHasOfAClass(t *testing.T) {
	t.Parallel()
	mounted := func(versions ...string) source.Mounted {
		m := source.Mounted{Versions: map[string]string{}, Rotated: true}
		for i := 0; i < len(versions); i += 2 {
			m.Versions[versions[i]] = versions[i+1]
		}
		return m
	}
	wanted := source.OfSecretProviderClass(csiRef("vault"), []source.Mounted{mounted("a", "1", "b", "2")})
	for name, tc := range map[string]struct {
		has  source.Mounted
		of   *source.Snapshot
		want bool
	}{
		"all of it":             {mounted("a", "1", "b", "2"), wanted, true},
		"one version differs":   {mounted("a", "1", "b", "1"), wanted, false},
		"one object is missing": {mounted("a", "1"), wanted, false},
		"one object too many":   {mounted("a", "1", "b", "2", "c", "3"), wanted, false},
		"another object":        {mounted("a", "1", "c", "2"), wanted, false},
		"nothing is wanted":     {mounted("a", "1"), nil, false},
	} {
		if got := tc.has.Has(tc.of); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}
