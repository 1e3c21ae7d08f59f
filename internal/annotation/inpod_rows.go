package annotation

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// injectionRow is one key: how it is read, and whether it is handed to the sidecar as the flag of the same name.
type injectionRow struct {
	key string
	// howTo tells that the key says how to reload, see [ReadInjection].
	howTo bool
	// isFlag tells that the sidecar has a flag of this name, which understands the value as it is.
	isFlag bool
	// read stores the value, or returns the end of a sentence that begins with the key: why it cannot be.
	read func(i *Injection, value string) (fault string)
}

// injectionRows is the table of all keys, in the order of docs/injecting.md.
func injectionRows() []injectionRow {
	const how, flag = true, true
	return []injectionRow{
		{keyPreset, how, flag, text(func(i *Injection) *string { return &i.Preset })},
		{keySignal, how, flag, readSignal},
		{"reload-process", how, flag, text(func(i *Injection) *string { return &i.Process })},
		{"reload-cmdline", how, flag, readRegexp},
		{"reload-container", how, !flag, readContainer}, // the injector always names one
		{"signal-handled", how, flag, readBoolean},
		{keyURL, how, flag, readReloadURL},
		{"reload-method", how, flag, readMethod},
		{"reload-status", how, flag, readStatus},
		{"reload-body-from", how, flag, readPath("reload-body-from")},
		{"reload-header-from", how, !flag, readHeaders},
		{"reload-ca-file", how, flag, readPath("reload-ca-file")},
		{"reload-skip-verify", how, flag, readBoolean},
		{"reload-timeout", how, flag, readDuration},
		{"reload-attempts", how, flag, readCount},
		{keyCommand, how, flag, readCommand(func(i *Injection) *[]string { return &i.Command })},
		{"validate-command", how, flag, readCommand(func(i *Injection) *[]string { return &i.Validate })},
		{"command-timeout", how, flag, readDuration},
		{"verify-url", how, flag, readURL("verify-url")},
		{"verify-timeout", how, flag, readDuration},
		{"require-proof", how, flag, readBoolean},
		{"probe-url", how, flag, readURL("probe-url")},
		{"watch", !how, !flag, readWatch},
		{"settle", !how, flag, readDuration},
		{"sidecar-image", !how, !flag, readImage},
		{"sidecar-cpu-request", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.CPURequest })},
		{"sidecar-cpu-limit", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.CPULimit })},
		{"sidecar-memory-request", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.MemoryRequest })},
		{"sidecar-memory-limit", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.MemoryLimit })},
		{"sidecar-ephemeral-storage-request", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.StorageRequest })},
		{"sidecar-ephemeral-storage-limit", !how, !flag, readQuantity(func(i *Injection) **resource.Quantity { return &i.StorageLimit })},
		{"sidecar-run-as-user", !how, !flag, readUser},
		{"sidecar-capabilities", !how, !flag, readCapabilities},
		{"native-sidecar", !how, !flag, readSwitch(func(i *Injection) **bool { return &i.Native })},
		{"application-image", !how, !flag, readSwitch(func(i *Injection) **bool { return &i.InApplication })},
		{"share-processes", !how, !flag, readSwitch(func(i *Injection) **bool { return &i.ShareProcesses })},
		{"status-port", !how, !flag, readPort},
	}
}

type reading = func(i *Injection, value string) string

func text(field func(*Injection) *string) reading {
	return func(i *Injection, value string) string {
		*field(i) = value
		return ""
	}
}

func quoted(value string) string { return strconv.Quote(value) }

// signalNames are those that the sidecar sends.
func signalNames() []string {
	return []string{"HUP", "USR1", "USR2", "INT", "QUIT", "TERM", "ALRM", "WINCH", "CONT", "IO", "PWR"}
}

func readSignal(i *Injection, value string) string {
	if !slices.Contains(signalNames(), strings.TrimPrefix(strings.ToUpper(value), "SIG")) {
		return quoted(value) + " is not a signal that may ask for a reload; use one of " + strings.Join(signalNames(), ", ")
	}
	i.Signal = value
	return ""
}

func readRegexp(i *Injection, value string) string {
	if len(value) > longestPattern {
		return fmt.Sprintf("is a regular expression of %d bytes; at most %d are taken", len(value), longestPattern)
	}
	if _, err := regexp.Compile(value); err != nil {
		return quoted(value) + " is not a regular expression: " + regexpFault(err)
	}
	i.Cmdline = value
	return ""
}

func readContainer(i *Injection, value string) string {
	if len(validation.IsDNS1123Label(value)) > 0 {
		return quoted(value) + " cannot be the name of a container"
	}
	i.Container = value
	return ""
}

func readBoolean(_ *Injection, value string) string {
	if _, ok := boolean(value); !ok {
		return quoted(value) + ` is not a boolean; use "true" or "false"`
	}
	return ""
}

func boolean(value string) (is, ok bool) {
	switch value {
	case isTrue:
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func readSwitch(field func(*Injection) **bool) reading {
	return func(i *Injection, value string) string {
		is, ok := boolean(value)
		if !ok {
			return quoted(value) + ` is not a boolean; use "true" or "false"`
		}
		*field(i) = &is
		return ""
	}
}

// unixSocket returns the socket of unix:/path/to.sock:/path/in/request.
func unixSocket(text string) (socket string, ok bool) {
	rest, ok := strings.CutPrefix(text, "unix:")
	if !ok {
		return "", false
	}
	socket, inRequest, _ := strings.Cut(rest, ":")
	return socket, isPath(socket) && (inRequest == "" || strings.HasPrefix(inRequest, "/"))
}

func readReloadURL(i *Injection, value string) string {
	fault := readURL(keyURL)(i, value)
	if fault == "" {
		i.URL = value
	}
	return fault
}

// readURL never repeats the value, which may hold a password.
func readURL(key string) reading {
	return func(i *Injection, value string) string {
		const fault = "is not a URL; use http://…, https://… or unix:/path/to.sock:/path/in/request"
		if !strings.HasPrefix(value, "unix:") {
			if u, err := url.Parse(value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				return fault
			}
			return ""
		}
		socket, ok := unixSocket(value)
		if !ok {
			return fault
		}
		i.Paths = append(i.Paths, NamedPath{Key: Domain + key, Path: socket, Socket: true})
		return ""
	}
}

func readMethod(_ *Injection, value string) string {
	if !regexp.MustCompile(`^[A-Z]+$`).MatchString(value) {
		return quoted(value) + " is not an HTTP method; use capitals, such as POST or PUT"
	}
	return ""
}

func readStatus(_ *Injection, value string) string {
	for part := range strings.SplitSeq(value, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return quoted(value) + " is not a list of HTTP status codes; use such as 200,204 or 200-299"
		}
	}
	return ""
}

// isPath tells whether a text names a file as the containers see it.
func isPath(text string) bool { return path.IsAbs(text) && path.Clean(text) == text && text != "/" }

func readPath(key string) reading {
	return func(i *Injection, value string) string {
		if !isPath(value) {
			return quoted(value) + " is not a file; use a whole path, without // and .. in it"
		}
		i.Paths = append(i.Paths, NamedPath{Key: Domain + key, Path: value})
		return ""
	}
}

// mostWatched bounds the paths that one pod may have watched.
const mostWatched = 100

// readWatch reads paths, separated by commas. That one names a folder may be shown by a slash at its end.
func readWatch(i *Injection, value string) string {
	for item := range strings.SplitSeq(value, ",") {
		named := strings.TrimSpace(item)
		if len(named) > 1 {
			named = strings.TrimSuffix(named, "/")
		}
		switch {
		case !isPath(named):
			return quoted(named) + " is not a mount or a file in one; use whole paths, without // and .. in them, separated by commas"
		case len(i.Watch) == mostWatched:
			return fmt.Sprintf("names more than %d paths", mostWatched)
		case slices.Contains(i.Watch, named):
			return "names " + quoted(named) + " twice; keep one of them"
		}
		i.Watch = append(i.Watch, named)
	}
	return ""
}

// readHeaders reads one NAME=FILE per line. The sidecar's flag is repeated for each.
func readHeaders(i *Injection, value string) string {
	const key = "reload-header-from"
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		name, file, _ := strings.Cut(line, "=")
		if name == "" || strings.ContainsAny(name, " :\t") || !isPath(file) {
			return quoted(line) + " is not NAME=FILE; use such as Authorization=/etc/secrets/token, one per line"
		}
		i.Paths = append(i.Paths, NamedPath{Key: Domain + key, Path: file})
		i.Arguments = append(i.Arguments, "--"+key+"="+line)
	}
	return ""
}

func readDuration(_ *Injection, value string) string {
	if d, err := time.ParseDuration(value); err != nil || d <= 0 {
		return quoted(value) + " is not a duration above zero; use a number with a unit, such as 500ms or 3s"
	}
	return ""
}

func readCount(_ *Injection, value string) string {
	if n, err := strconv.Atoi(value); err != nil || n < 1 {
		return quoted(value) + " is not a number of at least 1"
	}
	return ""
}

// readCommand reads a JSON array: no shell is involved, so there is nothing to quote.
func readCommand(field func(*Injection) *[]string) reading {
	return func(i *Injection, value string) string {
		var argv []string
		if err := json.Unmarshal([]byte(value), &argv); err != nil || len(argv) == 0 || argv[0] == "" {
			return quoted(value) + ` is not a command; use a JSON array of strings, such as ["nginx","-t"]`
		}
		*field(i) = argv
		return ""
	}
}

func readImage(i *Injection, value string) string {
	if strings.ContainsAny(value, " \t\n") {
		return quoted(value) + " is not the name of an image"
	}
	i.Image = value
	return ""
}

func readQuantity(field func(*Injection) **resource.Quantity) reading {
	return func(i *Injection, value string) string {
		q, err := resource.ParseQuantity(value)
		if err != nil || q.Sign() <= 0 {
			return quoted(value) + " is not a quantity above zero; use such as 5m for processors or 32Mi for memory"
		}
		*field(i) = &q
		return ""
	}
}

func readUser(i *Injection, value string) string {
	uid, err := strconv.ParseInt(value, 10, 32)
	if err != nil || uid < 0 {
		return quoted(value) + " is not the number of a user; use 0 to 2147483647"
	}
	i.RunAsUser = &uid
	return ""
}

func readCapabilities(i *Injection, value string) string {
	switch c := Capabilities(value); c {
	case CapabilitiesAsNeeded, NoCapabilities:
		i.Capabilities = c
		return ""
	}
	return quoted(value) + ` is not allowed; use "none" or "as-needed"`
}

func readPort(i *Injection, value string) string {
	port, err := strconv.ParseInt(value, 10, 32)
	if err != nil || port < 1024 || port > 65535 {
		return quoted(value) + " is not a port that needs no privilege; use 1024 to 65535"
	}
	i.StatusPort = int32(port)
	return ""
}
