package reload

import (
	"log/slog"
	"testing"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// A preset that guards may be reached by a URL or a command, from where its process cannot be seen.
func TestTheGuardOfAServerThatIsNotSeenLetsAMissingFilePass(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"squid", "uwsgi"} {
		row, err := preset.ByName(name)
		if err != nil {
			t.Fatal(err)
		}
		r := &Reloader{Plan: Plan{Row: row}, Log: slog.New(slog.DiscardHandler)}
		c := &changedFiles{reloader: r, change: agent.Change{Files: []string{t.TempDir() + "/gone.conf"}}}
		if c.needed(c.change.Files[0]) {
			t.Errorf("%s: a file is needed that is not known", name)
		}
	}
}
