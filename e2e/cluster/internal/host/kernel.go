package host

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// kernelSettings are those of the whole machine that the kubelet changes when it starts.
var kernelSettings = []string{ //nolint:gochecknoglobals // a constant
	"/proc/sys/vm/overcommit_memory",
	"/proc/sys/vm/panic_on_oom",
	"/proc/sys/kernel/panic",
	"/proc/sys/kernel/panic_on_oops",
	"/proc/sys/kernel/keys/root_maxkeys",
	"/proc/sys/kernel/keys/root_maxbytes",
}

// SaveKernelSettings notes in a file how the machine was, unless that was noted before. The note of another cluster,
// whose folder lies next to this one's, is the right one: its kubelet has changed the settings already.
func SaveKernelSettings(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	others, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(file)), "*", filepath.Base(file)))
	if err != nil {
		return err
	}
	for _, other := range others {
		if content, err := os.ReadFile(other); err == nil {
			return os.WriteFile(file, content, 0o644)
		}
	}
	saved := map[string]string{}
	for _, name := range kernelSettings {
		if value, err := os.ReadFile(name); err == nil {
			saved[name] = string(value)
		}
	}
	content, err := json.Marshal(saved)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// RestoreKernelSettings makes the machine what SaveKernelSettings noted.
func RestoreKernelSettings(file string) error {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	saved := map[string]string{}
	if err := json.Unmarshal(content, &saved); err != nil {
		return nil //nolint:nilerr // half a note says nothing; the machine works with the kubelet's values as well
	}
	var problems []error
	for name, value := range saved {
		problems = append(problems, os.WriteFile(name, []byte(value), 0o644))
	}
	return errors.Join(problems...)
}
