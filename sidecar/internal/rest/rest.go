// Package rest makes a program that waits most of its life small while it waits.
package rest

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
)

// GiveBack returns memory that start-up or a reload needed and waiting does not: the free part of the heap, and the
// pages of the program's code, of which those that are used again come back from the page cache.
//
// Only code is given back, which nobody ever writes to: a page of data would come back without what was written.
func GiveBack() error {
	debug.FreeOSMemory()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("give back code pages: %w", err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("give back code pages: %w", err)
	}
	begin, end, ok := code(maps, program)
	if !ok {
		return nil
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, begin, end-begin, syscall.MADV_DONTNEED); errno != 0 {
		return fmt.Errorf("give back code pages: %w", errno)
	}
	return nil
}

// code finds the executable mapping of program in the text of /proc/self/maps.
func code(maps []byte, program string) (begin, end uintptr, ok bool) {
	// The columns of proc_pid_maps(5).
	const addresses, permissions, path = 0, 1, 5
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) <= path || string(fields[permissions]) != "r-xp" || string(fields[path]) != program {
			continue
		}
		from, to, _ := bytes.Cut(fields[addresses], []byte("-"))
		low, err1 := strconv.ParseUint(string(from), 16, strconv.IntSize)
		high, err2 := strconv.ParseUint(string(to), 16, strconv.IntSize)
		if err1 != nil || err2 != nil || low >= high {
			return 0, 0, false
		}
		return uintptr(low), uintptr(high), true
	}
	return 0, 0, false
}
