package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Find returns the live processes with a daemon's command line, recorded or not. A daemon begins as the program that puts
// it where it belongs (nsenter …) and becomes the program that the end of the command line names, so both are its.
func (t Table) Find(args []string) []int {
	entries, err := os.ReadDir(t.Proc)
	if err != nil {
		return nil
	}
	var found []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		content, err := os.ReadFile(filepath.Join(t.Proc, entry.Name(), "cmdline"))
		if err != nil || !runs(content, args) {
			continue
		}
		if _, err := t.startTime(pid); err == nil { // neither gone nor a zombie
			found = append(found, pid)
		}
	}
	return found
}

// runs reports whether a command line is the given one or its part behind a "--".
func runs(commandLine []byte, args []string) bool {
	have := strings.Split(strings.TrimSuffix(string(commandLine), "\x00"), "\x00")
	if slices.Equal(have, args) {
		return true
	}
	separator := slices.Index(args, "--")
	return separator >= 0 && slices.Equal(have, args[separator+1:])
}
