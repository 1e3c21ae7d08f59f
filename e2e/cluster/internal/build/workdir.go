package build

import (
	"os"
	"path/filepath"
)

// WorkDir makes a folder to build something in, next to where the result goes: a rename does not cross file systems. It
// removes those of earlier builds of the same thing that were killed; the caller holds the lock, so no other build uses
// them.
func WorkDir(parent, name string) (string, error) {
	pattern := ".building-" + name + "-"
	abandoned, err := filepath.Glob(filepath.Join(parent, pattern+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range abandoned {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, pattern)
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
