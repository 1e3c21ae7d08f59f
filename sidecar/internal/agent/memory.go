package agent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/file"
)

// File is a Memory in a file that outlives the sidecar's container, such as one on an emptyDir. It holds a digest keyed
// with random bytes of its own, readable by its owner only.
type File struct {
	Path string
	// ReadOnly keeps the record as it is, for a dry run.
	ReadOnly bool
}

type record struct {
	Version int    `json:"version"`
	Salt    []byte `json:"salt"`
	Keyed   []byte `json:"keyed"`
	// Restart is of the content that needs a restart, empty for none.
	Restart []byte `json:"restart,omitempty"`
}

const recordVersion = 1

// Applied reports whether there is a record, and whether it is of sum. A record that cannot be understood is none.
func (f File) Applied(sum digest.Sum) (recorded, same bool) {
	r, recorded := f.read()
	return recorded, recorded && hmac.Equal(r.Keyed, keyed(r.Salt, sum))
}

// NeedsRestart reports whether the record says that sum needs a restart.
func (f File) NeedsRestart(sum digest.Sum) bool {
	r, recorded := f.read()
	return recorded && hmac.Equal(r.Restart, keyed(r.Salt, sum))
}

func (f File) read() (r record, recorded bool) {
	text, err := file.Read(f.Path)
	if err != nil {
		return record{}, false
	}
	if err := json.Unmarshal(text, &r); err != nil || r.Version != recordVersion || len(r.Salt) == 0 {
		return record{}, false
	}
	return r, true
}

// Record replaces the record as a whole, so that a crash leaves the old one or the new one.
func (f File) Record(applied, needsRestart digest.Sum) (err error) {
	if f.ReadOnly {
		return nil
	}
	r := record{Version: recordVersion, Salt: make([]byte, sha256.Size)}
	_, _ = rand.Read(r.Salt) // never fails (crypto/rand)
	r.Keyed = keyed(r.Salt, applied)
	if needsRestart != (digest.Sum{}) {
		r.Restart = keyed(r.Salt, needsRestart)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	temporary := filepath.Join(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".tmp")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write state file: %w", err)
	}
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	if err := os.Rename(temporary, f.Path); err != nil {
		return fmt.Errorf("write state file: %w", err)
	}
	return nil
}

func keyed(salt []byte, sum digest.Sum) []byte {
	mac := hmac.New(sha256.New, salt)
	mac.Write(sum[:])
	return mac.Sum(nil)
}
