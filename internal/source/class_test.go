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
