package preset_test

import (
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/preset"
	"inpod.dev/inpod/sidecar/internal/process"
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
			if p.Signal != "" {
				if _, err := process.ParseSignal(p.Signal); err != nil {
					t.Error(err)
				}
			}
			if len(p.Processes) == 0 || p.Proof.Kind == "" || p.BadFile == "" || p.NotReread == "" {
				t.Errorf("incomplete: %+v", p)
			}
			if p.BadFile != preset.Keeps && (!p.MustValidate || len(p.Validators) == 0 || p.Linger == 0) {
				t.Error("a server that does not survive a bad file needs a validator and a time to stay alive")
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
