package preset_test

import (
	"path"
	"testing"

	"inpod.dev/inpod/internal/preset"
)

func TestEndsLike(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, glob string
		want       bool
	}{
		"a name":                        {file: "/etc/x/a.pem", glob: "*.pem", want: true},
		"another name":                  {file: "/etc/x/a.pem.bak", glob: "*.pem"},
		"a name in its folder":          {file: "/etc/nginx/templates/a.template", glob: "templates/*.template", want: true},
		"a name in another folder":      {file: "/etc/nginx/a.template", glob: "templates/*.template"},
		"a folder that only ends alike": {file: "/etc/mytemplates/a.template", glob: "templates/*.template"},
		"a whole path":                  {file: "/etc/x", glob: "/etc/x", want: true},
		"a whole path, deeper":          {file: "/mnt/etc/x", glob: "/etc/x"},
		"more segments than there are":  {file: "a", glob: "b/c/a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := preset.EndsLike(tc.file, tc.glob); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFileRulesAreComplete(t *testing.T) {
	t.Parallel()
	for _, p := range preset.All() {
		seen := map[string]bool{}
		for _, rule := range p.Files {
			at := p.Name + ", " + rule.Name
			if rule.Name == "" || seen[rule.Name] {
				t.Errorf("%s: want a name of its own", at)
			}
			seen[rule.Name] = true
			if len(rule.Globs)+len(rule.Options)+len(rule.Defaults)+len(rule.Directives) == 0 {
				t.Errorf("%s: matches nothing", at)
			}
			if (rule.Effect == preset.AtStart) != (rule.Reason != "") {
				t.Errorf("%s: effect %q with reason %q; a reason belongs to %q", at, rule.Effect, rule.Reason, preset.AtStart)
			}
			for _, glob := range rule.Globs {
				if _, err := path.Match(glob, "x"); err != nil {
					t.Errorf("%s: %q: %v", at, glob, err)
				}
			}
		}
	}
}
