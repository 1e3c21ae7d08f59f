package annotation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/internal/reloadspec"
)

// injectionRow is one key: how it is read, and whether it is handed to the sidecar as the flag of the same name.
type injectionRow struct {
	key string
	// howTo reports whether the key says how to reload, see [ReadInjection].
	howTo bool
	// isFlag reports whether the sidecar has a flag of this name, which understands the value as it is.
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
		{"reload-method", how, flag, checked(reloadspec.CheckMethod)},
		{"reload-status", how, flag, parsed(reloadspec.ParseStatuses)},
		{"reload-body-from", how, flag, readPath("reload-body-from")},
		{"reload-header-from", how, !flag, readHeaders},
		{"reload-ca-file", how, flag, readPath("reload-ca-file")},
		{"reload-skip-verify", how, flag, readBoolean},
		{"reload-timeout", how, flag, parsed(reloadspec.ParseDuration)},
		{"reload-attempts", how, flag, parsed(reloadspec.ParseCount)},
		{keyCommand, how, flag, readCommand(func(i *Injection) *[]string { return &i.Command })},
		{"validate-command", how, flag, readCommand(func(i *Injection) *[]string { return &i.Validate })},
		{"command-timeout", how, flag, parsed(reloadspec.ParseDuration)},
		{"verify-url", how, flag, readURL("verify-url")},
		{"verify-timeout", how, flag, parsed(reloadspec.ParseDuration)},
		{"require-proof", how, flag, readBoolean},
		{"probe-url", how, flag, readURL("probe-url")},
		{"watch", !how, !flag, readWatch},
		{"settle", !how, flag, parsed(reloadspec.ParseDuration)},
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

// fault is the text of an error, "" for none.
func fault(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// checked reads a value that is handed on as it is.
func checked(check func(value string) error) reading {
	return func(_ *Injection, value string) string { return fault(check(value)) }
}

// parsed is checked with a function that returns a value too.
func parsed[T any](parse func(value string) (T, error)) reading {
	return checked(func(value string) error {
		_, err := parse(value)
		return err
	})
}

func readSignal(i *Injection, value string) string {
	_, err := reloadspec.ParseSignal(value)
	if err == nil {
		i.Signal = value
	}
	return fault(err)
}

func readRegexp(i *Injection, value string) string {
	_, err := reloadspec.ParsePattern(value)
	if err == nil {
		i.Cmdline = value
	}
	return fault(err)
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

func readReloadURL(i *Injection, value string) string {
	wrong := readURL(keyURL)(i, value)
	if wrong == "" {
		i.URL = value
	}
	return wrong
}

// readURL never repeats the value, which may hold a password.
func readURL(key string) reading {
	return func(i *Injection, value string) string {
		if err := reloadspec.CheckURL(value); err != nil {
			return err.Error()
		}
		if socket, _, ok := reloadspec.SplitUnix(value); ok {
			i.Paths = append(i.Paths, NamedPath{Key: Domain + key, Path: socket, Socket: true})
		}
		return ""
	}
}

func readPath(key string) reading {
	return func(i *Injection, value string) string {
		if !reloadspec.IsFile(value) {
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
		case !reloadspec.IsFile(named):
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
		_, file, err := reloadspec.ParseHeader(line)
		if err != nil {
			return err.Error() + ", one per line"
		}
		i.Paths = append(i.Paths, NamedPath{Key: Domain + key, Path: file})
		i.Arguments = append(i.Arguments, "--"+key+"="+line)
	}
	return ""
}

func readCommand(field func(*Injection) *[]string) reading {
	return func(i *Injection, value string) string {
		argv, err := reloadspec.ParseCommand(value)
		if err == nil {
			*field(i) = argv
		}
		return fault(err)
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
