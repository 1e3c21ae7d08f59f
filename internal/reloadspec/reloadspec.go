// Package reloadspec reads what a user writes about reloads: signals, URLs, HTTP status codes, commands, headers and times.
//
// The injector reads it in annotations and the sidecar in its settings, and both accept the same text. An error is the end of a
// sentence that begins with the name of the annotation or setting. It never repeats what may hold a password.
package reloadspec

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxPattern bounds the memory of a regular expression, in bytes of its text: a hundred times a{1000} takes some megabytes.
const MaxPattern = 1 << 10

// SignalNames are the signals that may ask for a reload. Signals that cannot be caught, and those by which a program reports
// its own faults, are not among them.
func SignalNames() []string {
	return []string{"HUP", "USR1", "USR2", "INT", "QUIT", "TERM", "ALRM", "WINCH", "CONT", "IO", "PWR"}
}

// ParseSignal returns the short name of a signal, one of [SignalNames], from such as "HUP", "SIGHUP" or "sighup".
func ParseSignal(text string) (string, error) {
	name := strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(text)), "SIG")
	if !slices.Contains(SignalNames(), name) {
		return "", fmt.Errorf("%q is not a signal that may ask for a reload; use one of %s", text, strings.Join(SignalNames(), ", "))
	}
	return name, nil
}

// ParsePattern compiles a regular expression.
func ParsePattern(text string) (*regexp.Regexp, error) {
	if len(text) > MaxPattern {
		return nil, fmt.Errorf("is a regular expression of %d bytes; the limit is %d", len(text), MaxPattern)
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a regular expression: %s", text, patternFault(err))
	}
	return pattern, nil
}

// patternFault is what is wrong with a regular expression, without the expression.
func patternFault(err error) string {
	if fault, ok := errors.AsType[*syntax.Error](err); ok {
		return fault.Code.String()
	}
	return err.Error()
}

// The errors of a URL and of a command do not quote it: both may hold a password.
var (
	errCommand = errors.New(`is not a command; use a JSON array of strings, such as ["nginx","-t"], that is not empty`)
	errURL     = errors.New("is not a URL; use http://…, https://… or unix:/path/to.sock:/path/in/request")
	errEscape  = errors.New("is not a URL; in a user, a password or a query, write other characters than letters and digits as % and two digits")
)

// CheckURL returns what is wrong with a URL, nil when nothing is.
func CheckURL(text string) error {
	if socket, inRequest, ok := SplitUnix(text); ok {
		if !IsFile(socket) || !strings.HasPrefix(inRequest, "/") {
			return errURL
		}
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil && strings.HasPrefix(text, "http"):
		return errEscape
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errURL
	}
	return nil
}

// SplitUnix splits unix:/path/to.sock:/path/in/request. The second path is "/" where none is written. It reports whether the
// text begins with "unix:".
func SplitUnix(text string) (socket, inRequest string, ok bool) {
	rest, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return "", "", false
	}
	if strings.HasPrefix(rest, "///") { // as in unix:///path/to.sock
		rest = rest[len("//"):]
	}
	socket, inRequest, _ = strings.Cut(rest, ":")
	if inRequest == "" {
		inRequest = "/"
	}
	return socket, inRequest, true
}

// IsFile reports whether a text can be the path of a file: absolute, clean, and not the root.
func IsFile(text string) bool { return path.IsAbs(text) && path.Clean(text) == text && text != "/" }

// CheckMethod returns what is wrong with an HTTP method, nil when nothing is.
func CheckMethod(text string) error {
	isCapital := func(r rune) bool { return r >= 'A' && r <= 'Z' }
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !isCapital(r) }) {
		return fmt.Errorf("%q is not an HTTP method; use capitals, such as POST or PUT", text)
	}
	return nil
}

// Statuses is a list of ranges of HTTP status codes, both ends included. None means 200 to 299.
type Statuses [][2]int

// ParseStatuses understands such as "200", "200,204" and "200-299,304".
func ParseStatuses(text string) (Statuses, error) {
	var list Statuses
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("%q is not a list of HTTP status codes; use such as 200,204 or 200-299", text)
		}
		list = append(list, [2]int{from, to})
	}
	return list, nil
}

// Contain reports whether a status code is in the list.
func (s Statuses) Contain(code int) bool {
	if len(s) == 0 {
		return code >= 200 && code < 300
	}
	return slices.ContainsFunc(s, func(r [2]int) bool { return code >= r[0] && code <= r[1] })
}

// ParseCommand reads a command as a JSON array of strings. No shell runs it, so that nothing in it is quoted.
func ParseCommand(text string) ([]string, error) {
	var argv []string
	if err := json.Unmarshal([]byte(text), &argv); err != nil || len(argv) == 0 || argv[0] == "" {
		return nil, errCommand
	}
	return argv, nil
}

// ParseHeader reads NAME=FILE: a header whose value is the content of a file. The error does not repeat the text, which may be
// the value itself.
func ParseHeader(text string) (name, file string, err error) {
	name, file, _ = strings.Cut(text, "=")
	if name == "" || strings.ContainsAny(name, " :\t") || !IsFile(file) {
		return "", "", errors.New("is not NAME=FILE; use such as Authorization=/etc/secrets/token, with a file that holds the value, and not the value itself")
	}
	return name, file, nil
}

// ParseDuration reads a duration above zero.
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a duration above zero; use a number with a unit, such as 500ms or 3s", text)
	}
	return d, nil
}

// ParseCount reads a number of at least 1.
func ParseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a number of at least 1", text)
	}
	return n, nil
}
