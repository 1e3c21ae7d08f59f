package annotation

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Domain is what inpod's own keys begin with.
const Domain = "inpod.dev/"

// Keys that inpod itself writes.
const (
	// InjectedLabel is a label, so that pods can be watched by it. Its value is "true" on pods that carry the sidecar, and "false"
	// on those that have asked for it and got none, for a reason that is worth a word.
	InjectedLabel = Domain + "injected"
	// InjectionRecord is an annotation of the pod: a [Record] as JSON.
	InjectionRecord = Domain + "injection"
	// Nudge is an annotation of the pod, patched so that its kubelet refreshes the volumes at once.
	Nudge = Domain + "nudge"
)

// InjectKey asks for the sidecar: as an annotation of a pod, or as a label of a namespace for all of its pods. It has
// to be a label there, because a webhook selects namespaces by labels only.
const InjectKey = Domain + "inject"

// Keys whose name is used more than once, without the domain.
const (
	keyPreset  = "preset"
	keySignal  = "reload-signal"
	keyURL     = "reload-url"
	keyCommand = "reload-command"
)

// Injection is what a pod asks of the injector, with the defaults of its namespace filled in.
type Injection struct {
	// Wanted reports whether the sidecar is asked for, and ByPod that the pod itself asks, rather than its namespace.
	Wanted, ByPod bool

	Preset    string
	Signal    string
	Process   string // the name of the executable
	Cmdline   string // a regular expression
	Container string // "": the only one that mounts something live
	URL       string
	Command   []string
	Validate  []string
	// Paths are the files and sockets that were named: the sidecar has to see them where the application does.
	Paths []NamedPath

	// Watch are the mounts, and the files and folders below mounts, that are watched as well as what is live by itself.
	Watch []string

	Image          string // in place of the sidecar's usual image
	CPURequest     *resource.Quantity
	CPULimit       *resource.Quantity
	MemoryRequest  *resource.Quantity
	MemoryLimit    *resource.Quantity
	StorageRequest *resource.Quantity // of ephemeral storage
	StorageLimit   *resource.Quantity
	RunAsUser      *int64
	Capabilities   Capabilities // "": the usual ones
	Native         *bool        // nil: as the cluster can
	InApplication  *bool        // run in the application's image; nil: where it is needed
	// ShareProcesses reports whether shareProcessNamespace may be set for the sidecar; nil: where the pod itself asks.
	ShareProcesses *bool
	// SaysHow reports that the pod itself says how its application reloads, rather than its namespace.
	SaysHow    bool
	StatusPort int32 // 0: the usual one

	// Arguments are the sidecar's flags for what was asked, such as --reload-signal=HUP, in a fixed order.
	Arguments []string
}

// Capabilities says which Linux capabilities the sidecar gets.
type Capabilities string

// The values of Capabilities.
const (
	CapabilitiesAsNeeded Capabilities = "as-needed" // what its task takes, for root alone
	NoCapabilities       Capabilities = "none"      // none, whatever its task takes
)

// NamedPath is a path as the application sees it, and the key that names it.
type NamedPath struct {
	Key, Path string
	// Socket reports whether a process listens there, so that no image has it.
	Socket bool
}

// ReadInjection returns what a pod asks for, and what cannot be understood in it. The namespace has a say in two ways:
// asks reports that its label asks for the sidecar in every pod, and its annotations are defaults for the pod's.
//
//	pod \ namespace | asks         | does not
//	enabled         | wanted       | wanted
//	disabled        | not wanted   | not wanted
//	nothing         | wanted       | not wanted
//	anything else   | problem      | problem
//
// How to reload is one thing: a pod that has a trigger of its own takes nothing of it from the namespace.
func ReadInjection(pod, namespace map[string]string, asks bool) (Injection, []Problem) {
	var i Injection
	value, said := pod[InjectKey]
	switch wish, known := parseWish(value); {
	case !said:
		i.Wanted = asks
	case !known:
		// A key that is written means to ask, and what is wrong with it is reported.
		i.Wanted, i.ByPod = true, true
		return i, []Problem{{Key: InjectKey, Value: value, Fault: quoted(value) + ` is not allowed; use "enabled" or "disabled"`}}
	default:
		i.Wanted, i.ByPod = wish, wish
	}
	if !i.Wanted {
		return i, nil
	}
	i.SaysHow = hasTrigger(pod)
	r := injectionReader{into: &i, pod: pod, defaults: namespace, ownTrigger: i.SaysHow}
	r.read()
	return i, Few(r.problems)
}

// parseWish reads the value of the key that asks for the sidecar.
func parseWish(value string) (wanted, known bool) {
	switch value {
	case "enabled", isTrue:
		return true, true
	case "disabled", "false":
		return false, true
	}
	return false, false
}

func hasTrigger(annotations map[string]string) bool {
	return slices.ContainsFunc([]string{keyPreset, keySignal, keyURL, keyCommand}, func(key string) bool {
		return annotations[Domain+key] != ""
	})
}

// injectionReader fills an Injection key by key.
type injectionReader struct {
	into          *Injection
	pod, defaults map[string]string
	ownTrigger    bool
	problems      []Problem
}

func (r *injectionReader) read() {
	rows := injectionRows()
	for _, row := range rows {
		value, fromNamespace := r.lookup(row)
		if value == "" {
			continue
		}
		fault := row.read(r.into, value)
		if fault != "" {
			if fromNamespace {
				fault = "as the default of the namespace, " + fault
			}
			r.problems = append(r.problems, Problem{Key: Domain + row.key, Value: value, Fault: fault})
			continue
		}
		if row.isFlag {
			r.into.Arguments = append(r.into.Arguments, "--"+row.key+"="+value)
		}
	}
	r.contradictions()
	r.unknown(rows)
}

// lookup returns the value of a key; empty means not set, as templates produce it.
func (r *injectionReader) lookup(row injectionRow) (value string, fromNamespace bool) {
	if value = strings.TrimSpace(r.pod[Domain+row.key]); value != "" {
		return value, false
	}
	if row.howTo && r.ownTrigger {
		return "", false
	}
	return strings.TrimSpace(r.defaults[Domain+row.key]), true
}

func (r *injectionReader) problem(key, value, fault string) {
	r.problems = append(r.problems, Problem{Key: Domain + key, Value: value, Fault: fault})
}

func (r *injectionReader) contradictions() {
	i := r.into
	triggers := []struct{ key, value string }{{keySignal, i.Signal}, {keyURL, i.URL}, {keyCommand, strings.Join(i.Command, " ")}}
	triggers = slices.DeleteFunc(triggers, func(t struct{ key, value string }) bool { return t.value == "" })
	if len(triggers) > 1 {
		r.problem(triggers[1].key, triggers[1].value, "excludes "+Domain+triggers[0].key+"; keep one of them")
	}
	for _, pair := range []struct {
		key            string
		request, limit *resource.Quantity
	}{
		{"sidecar-cpu-request", i.CPURequest, i.CPULimit},
		{"sidecar-memory-request", i.MemoryRequest, i.MemoryLimit},
		{"sidecar-ephemeral-storage-request", i.StorageRequest, i.StorageLimit},
	} {
		if pair.request != nil && pair.limit != nil && pair.request.Cmp(*pair.limit) > 0 {
			r.problem(pair.key, pair.request.String(), "is more than the limit of "+pair.limit.String())
		}
	}
}

// unknown reports keys of the pod that begin like ours and are none: they are misspelled, and without a word about it
// the pod would run with something else than its author believes.
func (r *injectionReader) unknown(rows []injectionRow) {
	var checker *Checker
	for _, key := range slices.Sorted(maps.Keys(r.pod)) {
		if tooMany(r.problems) {
			return
		}
		name, ours := strings.CutPrefix(key, Domain)
		if !ours || key == InjectKey || slices.ContainsFunc(rows, func(row injectionRow) bool { return row.key == name }) {
			continue
		}
		if checker == nil {
			checker = NewChecker(DefaultKeys())
		}
		if _, known := checker.table[key]; !known {
			r.problems = append(r.problems, Problem{Key: key, Value: r.pod[key], Unknown: true, Fault: checker.unknown(key, AtTemplate)})
		}
	}
}

// InjectionKeys are the keys that ReadInjection understands besides [InjectKey], sorted.
func InjectionKeys() []string {
	var keys []string
	for _, row := range injectionRows() {
		keys = append(keys, Domain+row.key)
	}
	slices.SortFunc(keys, cmp.Compare)
	return keys
}
