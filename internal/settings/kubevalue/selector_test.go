package kubevalue_test

import (
	"testing"

	"inpod.dev/inpod/internal/settings/kubevalue"
)

func TestSelector(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  []string
		want string
	}{
		"nothing":                           {[]string{""}, ""},
		"one label":                         {[]string{"team=shop"}, "team=shop"},
		"sets, whose commas are their own":  {[]string{"tier in (web, api),team in (web,api)"}, "team in (api,web),tier in (api,web)"},
		"a repeated flag has to match too":  {[]string{"a=b", "!c"}, "a=b,!c"},
		"Reloader's colon":                  {[]string{"team:shop, tier: web"}, "team=shop,tier=web"},
		"Reloader's stars":                  {[]string{"team:*,tier=*"}, "team,tier"},
		"a star as a value in other places": {[]string{"team,tier==*"}, "team,tier"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var field string
			value := kubevalue.Selector(&field)
			for _, text := range c.set {
				if err := value.Set(text); err != nil {
					t.Fatal(err)
				}
			}
			if field != c.want {
				t.Errorf("%q, want %q", field, c.want)
			}
		})
	}
	for _, wrong := range []string{"a in b", "a=b=c", "-a", "a=b c", "team:shop:x"} {
		if err := kubevalue.Selector(new(string)).Set(wrong); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}
