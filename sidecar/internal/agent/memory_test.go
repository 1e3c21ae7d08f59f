package agent_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

func TestFileRemembers(t *testing.T) {
	t.Parallel()
	f := agent.File{Path: filepath.Join(t.TempDir(), "state")}
	if recorded, same := f.Applied(digest.Sum{1}); recorded || same {
		t.Error("a file that is not there remembers something")
	}
	for range 2 {
		if err := f.Record(digest.Sum{1}, digest.Sum{}); err != nil {
			t.Fatal(err)
		}
	}
	if recorded, same := f.Applied(digest.Sum{1}); !recorded || !same {
		t.Errorf("recorded %v, same %v", recorded, same)
	}
	if recorded, same := f.Applied(digest.Sum{2}); !recorded || same {
		t.Errorf("another content: recorded %v, same %v", recorded, same)
	}
	if f.NeedsRestart(digest.Sum{1}) || f.NeedsRestart(digest.Sum{}) {
		t.Error("something needs a restart that was not recorded as such")
	}
	if err := f.Record(digest.Sum{}, digest.Sum{2}); err != nil {
		t.Fatal(err)
	}
	if _, same := f.Applied(digest.Sum{2}); same || !f.NeedsRestart(digest.Sum{2}) || f.NeedsRestart(digest.Sum{1}) {
		t.Error("what needs a restart is taken for applied, or forgotten")
	}
	info, err := os.Stat(f.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want readable by the owner alone", info.Mode(), err)
	}
}

func TestFileThatIsNoRecord(t *testing.T) {
	t.Parallel()
	f := agent.File{Path: filepath.Join(t.TempDir(), "state")}
	for _, text := range []string{"", "{", "{}", `{"version":9,"salt":"AA==","keyed":"AA=="}`, strings.Repeat("x", 1000)} {
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if recorded, _ := f.Applied(digest.Sum{}); recorded {
			t.Errorf("%.20q is taken for a record", text)
		}
	}
	if err := (agent.File{Path: "/no/such/dir/state"}).Record(digest.Sum{}, digest.Sum{}); err == nil {
		t.Error("no error where nothing can be written")
	}
}
