package judge

import (
	"regexp"
	"strings"
	"time"
)

// Decisions are the lines of a log of the controller about one workload since a time, and those about the whole program,
// such as the election. A line whose time cannot be read is kept.
func Decisions(log, kind, namespace, name string, since time.Time) []string {
	about := regexp.MustCompile(regexp.QuoteMeta(kind+" "+namespace+"/"+name) + `(?:[^0-9A-Za-z.-]|$)`)
	another := regexp.MustCompile(`workload=|object=|placeholder=`)
	stamp := regexp.MustCompile(`^(?:time=|\{"time":)"?([^" ]+)`)
	var lines []string
	for line := range strings.Lines(log) {
		line = strings.TrimRight(line, "\n")
		if line == "" || another.MatchString(line) && !about.MatchString(line) {
			continue
		}
		if found := stamp.FindStringSubmatch(line); found != nil {
			if at, err := time.Parse(time.RFC3339Nano, found[1]); err == nil && at.Before(since) {
				continue
			}
		}
		lines = append(lines, line)
	}
	return lines
}
