package decide

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// ConfigHash is what a rollout writes into the pod template for one changed source.
type ConfigHash struct {
	Ref source.Ref
	// Type is Reloader's word for the kind of source: CONFIGMAP, SECRET or SECRETPROVIDERCLASS; and CLUSTERTRUSTBUNDLE.
	Type string
	// Container is the one that gets the config hash.
	Container string
	// Variable is the name of the environment variable of the strategy "env-vars".
	Variable string
	// Hash is 40 hex digits made from the content that is used.
	Hash string
}

// configHashes returns one config hash for each variable that the changed sources map to, sorted by variable.
func (a *evaluation) configHashes() []ConfigHash {
	byVariable := map[string]ConfigHash{}
	for _, cause := range a.changed {
		variable := Variable(cause.Ref)
		if _, done := byVariable[variable]; done {
			continue // names that collide, such as a.b and a-b: one variable stands for both
		}
		hash := ConfigHash{Ref: cause.Ref, Type: typeOf(cause.Ref.Kind), Variable: variable, Container: a.container(cause.Ref, variable)}
		uses := a.usesOf(variable)
		hash.Hash = a.Digester.ConfigHash(uses, "")
		if a.Workload.Variables[hash.Container+"/"+variable] == hash.Hash {
			// The template has the config hash of this content from an earlier time, and the pods have other content.
			// The record that is replaced distinguishes the two times.
			hash.Hash = a.Digester.ConfigHash(uses, a.saltOf(cause.Ref))
		}
		byVariable[variable] = hash
	}
	var hashes []ConfigHash
	for _, variable := range slices.Sorted(maps.Keys(byVariable)) {
		hashes = append(hashes, byVariable[variable])
	}
	return hashes
}

// usesOf returns the followed sources that map to a variable.
func (a *evaluation) usesOf(variable string) []source.SourceState {
	var uses []source.SourceState
	for _, u := range a.uses {
		if u.selection.Follows() && Variable(u.Usages.Ref) == variable {
			uses = append(uses, u.SourceState)
		}
	}
	return uses
}

func (a *evaluation) saltOf(ref source.Ref) string {
	old := source.Baseline{Records: map[source.Ref]source.Record{ref: a.known[ref]}}
	if since, seen := a.before.Seen[ref]; seen {
		old.Seen = map[source.Ref]int64{ref: since}
	}
	text, err := a.Digester.Encode(old)
	if err != nil {
		return "again"
	}
	return text
}

// container picks the container as Reloader does: the one that has the variable; else the first that mounts the source;
// the first regular one if only an init container mounts it; the first that has it in its environment; the first.
func (a *evaluation) container(ref source.Ref, variable string) string {
	for _, name := range a.Workload.Containers {
		if _, has := a.Workload.Variables[name+"/"+variable]; has {
			return name
		}
	}
	mounts, initMounts := "", false
	environment := ""
	for _, u := range a.Workload.Usages {
		if u.Ref != ref {
			continue
		}
		isEnv := u.Via == source.ViaEnv || u.Via == source.ViaEnvFrom
		switch {
		case u.Init && !isEnv:
			initMounts = true
		case u.Init:
		case isEnv && environment == "":
			environment = u.Container
		case !isEnv && mounts == "":
			mounts = u.Container
		}
	}
	switch {
	case mounts != "":
		return mounts
	case initMounts, environment == "":
		return a.firstContainer()
	}
	return environment
}

func (a *evaluation) firstContainer() string {
	if len(a.Workload.Containers) == 0 {
		return ""
	}
	return a.Workload.Containers[0]
}

// Variable is the name of the environment variable for a source, as Reloader makes it.
func Variable(ref source.Ref) string {
	return workload.VariablePrefix + mangled(ref.Name) + "_" + typeOf(ref.Kind)
}

// typeOf is Reloader's word for a kind of source.
func typeOf(kind source.Kind) string { return strings.ToUpper(string(kind)) }

// mangled makes a name fit for a variable: upper case, each run of other characters one underscore, none at the start
// (Reloader, internal/pkg/util/util.go ConvertToEnvVarName).
func mangled(name string) string {
	var out strings.Builder
	fit := false
	for _, r := range strings.ToUpper(name) {
		wasFit := fit
		fit = (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
		switch {
		case fit:
			out.WriteRune(r)
		case wasFit:
			out.WriteByte('_')
		}
	}
	return out.String()
}

// stale returns the variables that a rollout of inpod or of Reloader once set for a source that is not used any more.
// Reloader leaves them for ever.
func (a *evaluation) stale() []string {
	used := map[string]bool{}
	for _, u := range a.uses {
		used[Variable(u.Usages.Ref)] = true
	}
	var stale []string
	for at, value := range a.Workload.Variables {
		_, variable, _ := strings.Cut(at, "/")
		if !used[variable] && isConfigHash(variable, value) {
			stale = append(stale, at)
		}
	}
	slices.Sort(stale)
	return stale
}

// isConfigHash distinguishes a variable of a rollout from one that a user happened to name like it.
func isConfigHash(variable, value string) bool {
	return hashVariable.MatchString(variable) && hashValue.MatchString(value)
}

var (
	hashVariable = regexp.MustCompile(`^STAKATER_[A-Z0-9_]+_(CONFIGMAP|SECRET|SECRETPROVIDERCLASS|CLUSTERTRUSTBUNDLE)$`)
	hashValue    = regexp.MustCompile(`^[0-9a-f]{40}$`)
)
