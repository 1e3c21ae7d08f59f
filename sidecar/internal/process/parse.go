package process

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// userHz is the unit of times in /proc/PID/stat, in ticks per second: USER_HZ, 100 on every architecture Go runs on.
const userHz = 100

// parseStat reads the name, parent, state and start time out of /proc/PID/stat. The name in parentheses may itself
// hold spaces, parentheses and newlines, so the fields are counted from the last ")".
func parseStat(text []byte) (p Process, err error) {
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return Process{}, fmt.Errorf("stat without a name: %.40q", text)
	}
	p.Comm = string(text[begin+1 : end])
	fields := bytes.Fields(text[end+1:])
	const stateField, parentField, groupField, startField = 0, 1, 2, 19 // fields 3, 4, 5 and 22 of proc_pid_stat(5)
	if len(fields) <= startField {
		return Process{}, fmt.Errorf("stat with %d fields", len(fields))
	}
	p.state = fields[stateField][0]
	p.Parent, err = strconv.Atoi(string(fields[parentField]))
	if err != nil {
		return Process{}, fmt.Errorf("parent in stat: %w", err)
	}
	if p.group, err = strconv.Atoi(string(fields[groupField])); err != nil {
		return Process{}, fmt.Errorf("process group in stat: %w", err)
	}
	ticks, err := strconv.ParseUint(string(fields[startField]), 10, 39) // 39 bits are 174 years, which a time.Duration still holds
	if err != nil {
		return Process{}, fmt.Errorf("start time in stat: %w", err)
	}
	p.Start = time.Duration(ticks/userHz)*time.Second + time.Duration(ticks%userHz)*(time.Second/userHz)
	return p, nil
}

// Masks are the signal sets of one thread; bit n-1 stands for signal n.
type Masks struct {
	Blocked, Ignored, Caught uint64
	// Rests is true while the thread waits for something. What it blocks then it blocks for good, and not in the middle
	// of something that it could not go on with because the machine is busy.
	Rests bool
}

// parseStatus reads the real user and the signal sets out of /proc/PID/status.
func parseStatus(text []byte) (uid int, masks Masks, err error) {
	found := 0
	for line := range bytes.Lines(text) {
		key, value, ok := strings.Cut(string(line), ":")
		if !ok {
			continue
		}
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		var set *uint64
		switch key {
		case "State":
			masks.Rests = fields[0] == "S"
			continue
		case "Uid":
			if uid, err = strconv.Atoi(fields[0]); err != nil {
				return 0, Masks{}, fmt.Errorf("user in status: %w", err)
			}
			found++
			continue
		case "SigBlk":
			set = &masks.Blocked
		case "SigIgn":
			set = &masks.Ignored
		case "SigCgt":
			set = &masks.Caught
		default:
			continue
		}
		if *set, err = strconv.ParseUint(fields[0], 16, 64); err != nil {
			return 0, Masks{}, fmt.Errorf("%s in status: %w", key, err)
		}
		found++
	}
	const wanted = 4
	if found < wanted {
		return 0, Masks{}, fmt.Errorf("status lacks a user or signal line (%d of %d found)", found, wanted)
	}
	return uid, masks, nil
}

// parseCmdline splits /proc/PID/cmdline. A process that set its own title, such as nginx, has one argument that is a
// sentence.
func parseCmdline(text []byte) []string {
	text = bytes.TrimRight(text, "\x00 \n")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), "\x00")
}

// containerMount is the kubelet's directory of one container, which is the source of its termination log mount:
// ".../pods/UID/containers/NAME/HASH". It gives a container's name without asking the API server.
var containerMount = regexp.MustCompile(`/pods/[^/ ]+/containers/([^/ ]+)/[0-9a-f]+ `)

// parseContainer reads the name of the container out of /proc/PID/mountinfo, "" when there is none.
func parseContainer(mountinfo []byte) string {
	if m := containerMount.FindSubmatch(mountinfo); m != nil {
		return string(m[1])
	}
	return ""
}
