package process

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Blocked are the signals that the first thread of a process blocks.
func (t Table) Blocked(pid int) (mask uint64, known bool) {
	threads, err := t.masks(pid)
	if err != nil {
		return 0, false
	}
	return threads[0].Blocked, true
}

// Idle reports whether p has taken a signal that it was sent and is done with it: it sleeps, the signal is not waiting to
// be taken, and p blocks what it blocked before. A process without processor time is not idle: it is ready to run.
func (t Table) Idle(ctx context.Context, p Process, signal syscall.Signal, blocked uint64) bool {
	const checks, pause = 5, 40 * time.Millisecond
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for range checks {
		status, err := t.read(p.PID, "status")
		if err != nil || !idle(status, signal, blocked) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			timer.Reset(pause)
		}
	}
	return true
}

func idle(status []byte, signal syscall.Signal, blocked uint64) bool {
	sleeps, still := false, 0
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "State":
			sleeps = strings.HasPrefix(value, "S")
		case "SigPnd", "ShdPnd":
			if mask, err := strconv.ParseUint(value, 16, 64); err == nil && mask&bit(signal) == 0 {
				still++
			}
		case "SigBlk":
			if mask, err := strconv.ParseUint(value, 16, 64); err == nil && mask == blocked {
				still++
			}
		}
	}
	const all = 3
	return sleeps && still == all
}
