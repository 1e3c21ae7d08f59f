package preset_test

import (
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
)

func TestRowsAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range preset.All() {
		t.Run(p.Name, func(t *testing.T) {
			if seen[p.Name] {
				t.Error("the name is there twice")
			}
			seen[p.Name] = true
			if p.Refusal != "" {
				if p.Signal != "" || p.URL != "" {
					t.Error("a refused server has a trigger")
				}
				return
			}
			if (p.Signal == "") == (p.URL == "") {
				t.Error("want one trigger, a signal or a URL")
			}
			if len(p.Processes) == 0 || p.Proof.Kind == "" || p.BadFile == "" || p.NotReread == "" {
				t.Errorf("incomplete: %+v", p)
			}
			if !slices.Contains([]preset.BadFile{preset.Keeps, preset.KeepsPart, preset.Partly}, p.BadFile) && (!p.Guard && (!p.MustValidate || len(p.Validators) == 0) || p.Linger == 0) {
				t.Error("a server that does not survive a bad file needs a validator, or a guard, and a time to stay alive")
			}
		})
	}
}

func TestByName(t *testing.T) {
	t.Parallel()
	if p, err := preset.ByName("nginx"); err != nil || p.Signal != "HUP" {
		t.Errorf("nginx: %+v, %v", p, err)
	}
	_, err := preset.ByName("nginks")
	if err == nil || !strings.Contains(err.Error(), "nginks") || !strings.Contains(err.Error(), "haproxy") {
		t.Errorf("error = %v, want one with the name and the allowed ones", err)
	}
}

func TestWhatAPodNeeds(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct{ signals, needsImage, usesImage bool }{
		"nginx":      {signals: true, usesImage: true}, // for the words of nginx -t
		"apache2":    {signals: true, needsImage: true, usesImage: true},
		"postgresql": {signals: true}, // it is asked through its socket
		"mosquitto":  {signals: true},
		"prometheus": {},
		"redis":      {},
	} {
		p, err := preset.ByName(name)
		if err != nil {
			t.Error(err)
		}
		if p.Signals() != want.signals || p.NeedsImage() != want.needsImage || p.UsesImage() != want.usesImage {
			t.Errorf("%s: signals %v, needs image %v, uses image %v; want %+v", name, p.Signals(), p.NeedsImage(), p.UsesImage(), want)
		}
	}
}
