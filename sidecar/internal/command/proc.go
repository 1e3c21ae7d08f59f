package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// proc is one process at one moment, as /proc/PID/stat shows it.
type proc struct {
	pid, parent, group int
	state              byte
	// start is when it began, in clock ticks since boot; with the number it is an identity.
	start uint64
}

// zombie is the state of a process that has ended and waits to be reaped.
const zombie = 'Z'

const root = "/proc"

// list returns all processes, none where /proc shows another PID namespace than that of this process.
func list() []proc {
	self, err := os.Readlink(filepath.Join(root, "self"))
	if err != nil || self != strconv.Itoa(os.Getpid()) {
		return nil
	}
	dir, err := os.Open(root)
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, _ := dir.Readdirnames(-1)
	var all []proc
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := read(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

func read(pid int) (p proc, ok bool) {
	text, err := os.ReadFile(filepath.Join(root, strconv.Itoa(pid), "stat"))
	if err != nil {
		return proc{}, false
	}
	return parse(pid, text)
}

// parse reads a line such as "7 (a) b) S 1 7 7 0 -1 …". The name may hold anything, so what counts is after the last ")".
func parse(pid int, stat []byte) (p proc, ok bool) {
	// Field numbers of proc_pid_stat(5), counted from the state, which is the third.
	const state, parent, group, start = 0, 1, 2, 19
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= start {
		return proc{}, false
	}
	p = proc{pid: pid, state: fields[state][0]}
	var errs [3]error
	p.parent, errs[0] = strconv.Atoi(string(fields[parent]))
	p.group, errs[1] = strconv.Atoi(string(fields[group]))
	p.start, errs[2] = strconv.ParseUint(string(fields[start]), 10, 64)
	return p, errs == [3]error{}
}

// descendants are the living processes that p started, and theirs. Orphans have become children of this process: those
// that began after p are taken for its descendants, since only one command runs at a time.
func (p proc) descendants() []proc {
	self, below := os.Getpid(), map[int][]proc{}
	for _, each := range list() {
		below[each.parent] = append(below[each.parent], each)
	}
	var found []proc
	add := func(parent int, wanted func(proc) bool) {
		for _, each := range below[parent] {
			if each.pid != p.pid && each.state != zombie && wanted(each) {
				found = append(found, each)
			}
		}
	}
	own := syscall.Getpgrp()
	add(p.pid, func(proc) bool { return true })
	add(self, func(orphan proc) bool { return orphan.start >= p.start && orphan.group != own })
	for next := 0; next < len(found); next++ { //nolint:intrange // it grows
		add(found[next].pid, func(proc) bool { return true })
	}
	return found
}

// signal signals p and no other process: its number is bound to a pidfd first, then p is checked again.
func (p proc) signal(signal syscall.Signal) {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	defer func() { _ = handle.Release() }()
	if now, ok := read(p.pid); ok && now.start == p.start {
		_ = handle.Signal(signal)
	}
}
