// Package memtrim returns memory to the kernel in a program that waits most of the time.
package memtrim

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
)

// GiveBack returns memory that start-up or a reload needed and waiting does not: the free part of the heap, and the
// pages of the program's code and constants; those that are used again come back from the page cache.
//
// Only pages that were never written are given back: a page that was written would come back without it.
func GiveBack() error {
	constants, err := mappings()
	// After the search, which leaves garbage, and before the pages, which it uses. Once: what pools keep and half of a grown
	// stack goes with the next round, while each collection in a row has the runtime set up further lists of spans, two pages
	// for each size of object, that it never gives back (spanSet in runtime/mspanset.go).
	debug.FreeOSMemory()
	for _, m := range constants {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.begin, m.end-m.begin, syscall.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("give back pages of the program: %w", errno)
		}
	}
	return err
}

// mappings are those of the program's own file that were never written.
func mappings() ([]mapping, error) {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, fmt.Errorf("find the pages of the program: %w", err)
	}
	defer func() { _ = smaps.Close() }()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, fmt.Errorf("find the pages of the program: %w", err)
	}
	return constant(smaps, program)
}

// mapping is a part of the address space.
type mapping struct{ begin, end uintptr }

// constant finds the mappings of program that are read-only and have no page of their own, in the text of /proc/self/smaps
// (proc_pid_smaps(5)): a line for each mapping, then one for each of its properties.
func constant(smaps io.Reader, program string) ([]mapping, error) {
	var found []mapping
	var candidate mapping
	isCandidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") {
			candidate, isCandidate = readOnly(fields, program)
			continue
		}
		if isCandidate && fields[0] == "Anonymous:" && len(fields) > 1 && fields[1] == "0" {
			found = append(found, candidate)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("find the pages of the program: %w", err)
	}
	return found, nil
}

// readOnly reads the first line of a mapping, and reports whether it is one of program that cannot be written.
func readOnly(fields []string, program string) (m mapping, ok bool) {
	// The columns of proc_pid_maps(5).
	const addresses, permissions, path = 0, 1, 5
	if len(fields) <= path || fields[path] != program || fields[permissions] != "r-xp" && fields[permissions] != "r--p" {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(fields[addresses], "-")
	low, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	high, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	if err1 != nil || err2 != nil || low >= high {
		return mapping{}, false
	}
	return mapping{uintptr(low), uintptr(high)}, true
}
