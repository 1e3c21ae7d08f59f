package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// executable is the mode of the copied program: whatever user the application's image runs as may start it.
const executable = 0o555

// install copies the running program to path, as a whole or not at all. It is what an init container does to bring the
// sidecar into the application's own image, through a volume.
func install(path string) (err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer func() { err = errors.Join(err, self.Close()) }()
	copied, err := os.CreateTemp(filepath.Dir(path), ".sidecar-*")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	_, err = io.Copy(copied, self)
	err = errors.Join(err, copied.Chmod(executable), copied.Close())
	if err == nil {
		err = os.Rename(copied.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("install %s: %w", path, err), os.Remove(copied.Name()))
	}
	return nil
}
