// Package daemon starts the long-running processes of a cluster, remembers them, and finds them again.
//
// A process id alone names nothing: ids are reused. A record holds the time at which the process started as well, and
// the boot it belongs to; only a process that matches all three is ever sent a signal.
package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Record is what is remembered of a started process.
type Record struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Started is the kernel's start time of the process, in clock ticks since the boot.
	Started string `json:"started"`
	Boot    string `json:"boot"`
	// Version is the Daemon's version.
	Version string `json:"version"`
}

// Table keeps one file per record in a folder.
type Table struct {
	Dir string
	// Proc is the folder of the process file system, normally /proc.
	Proc string
}

// Running returns the record of a process that is alive now.
func (t Table) Running(name string) (Record, bool) {
	record, err := t.read(name)
	return record, err == nil && t.alive(record)
}

// Remember records a process that was just started.
func (t Table) Remember(name string, pid int, version string) error {
	started, err := t.startTime(pid)
	if err != nil {
		return fmt.Errorf("%s ended at once: %w", name, err)
	}
	content, err := json.Marshal(Record{Name: name, PID: pid, Started: started, Boot: t.boot(), Version: version})
	if err != nil {
		return err
	}
	temporary := t.file(name) + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, t.file(name))
}

func (t Table) read(name string) (Record, error) {
	content, err := os.ReadFile(t.file(name))
	if err != nil {
		return Record{}, err
	}
	var record Record
	err = json.Unmarshal(content, &record)
	return record, err
}

func (t Table) file(name string) string { return filepath.Join(t.Dir, name+".json") }

func (t Table) alive(record Record) bool {
	started, err := t.startTime(record.PID)
	return err == nil && started == record.Started && record.Boot == t.boot()
}

func (t Table) boot() string {
	id, err := os.ReadFile(filepath.Join(t.Proc, "sys", "kernel", "random", "boot_id"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

var errDead = errors.New("the process is dead")

// startTime reads field 22 of the process's stat file. Field 2, the name, is in parentheses and may hold anything, also
// blanks and parentheses: the fields are counted from the last one. A zombie counts as dead.
func (t Table) startTime(pid int) (string, error) {
	stat, err := os.ReadFile(filepath.Join(t.Proc, strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", err
	}
	end := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat)[end+1:])
	if end < 0 || len(fields) < 20 {
		return "", fmt.Errorf("do not understand the stat file of process %d", pid)
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", errDead
	}
	return fields[19], nil
}
