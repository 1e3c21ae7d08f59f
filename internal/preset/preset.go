// Package preset holds what is known about reloading each server: one row per server, in one table.
//
// The sidecar carries the rows out, the injector reads from them what a pod needs for it. The package decides nothing,
// touches nothing, and imports the standard library only. What the rows say is tested against the real servers by
// "make test-presets".
package preset

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Preset is one row.
type Preset struct {
	Name string
	// Processes are the names of the executable.
	Processes []string
	// Signal asks the master process to reload. Assured says that the program handles it although the kernel's tables
	// cannot know (Go programs).
	Signal  string
	Assured bool
	// URL asks for a reload instead, with Method (POST when empty) and Body.
	URL, Method, Body, ContentType string
	// Headers are sent with it.
	Headers map[string]string
	// BodyFrom is the name of the watched file that is sent as the body.
	BodyFrom string
	// Validators are commands; the first that exists must accept the configuration before anything is sent.
	// MustValidate means that without one nothing is sent, because the server does not survive a bad file.
	Validators   [][]string
	MustValidate bool
	// Grammar is how the server reads its arguments; nil where that is not known.
	Grammar *Grammar
	// SameUser means that the validators, or the questions of the proof, only work for the user that the server runs as.
	SameUser bool
	// Explainers are commands; the first that exists is asked why, after a rejection. They are not asked before, since
	// they can fail for reasons of their own (nginx -t wants to open logs).
	Explainers [][]string
	// Internal are variables that the server sets for itself when it starts itself again, and that make its own check
	// another program.
	Internal []string
	Proof    Proof
	// Guard means that the server does not survive a file that is gone although its configuration names it, which its
	// validator does not notice, or there is none: so the sidecar itself looks.
	Guard bool
	// NeedsDirectory means that it does not survive a reload without its working directory.
	NeedsDirectory bool
	// NeedsWorkers refuses a process without children: a mode in which the trigger means something else.
	NeedsWorkers bool
	// Linger is how long the process must stay alive after the trigger.
	Linger time.Duration
	// BadFile is what the server does with a file that it does not understand.
	BadFile BadFile
	// Configuration is where its configuration begins; nil where that is not known.
	Configuration *Configuration
	// Files are the kinds of files that the server takes, and what a reload does with each.
	Files []FileRule
	// NotReread says in a sentence what a reload leaves as it was.
	NotReread string
	// Refusal is why this server is not reloaded at all; then nothing else is set.
	Refusal string
}

// Signals reports whether the server reloads by a signal, for which the sidecar must see its processes and may have to
// run as its user.
func (p Preset) Signals() bool { return p.Signal != "" }

// NeedsImage reports whether the sidecar must run in the application's own image: without the validator that is there,
// nothing is ever sent.
func (p Preset) NeedsImage() bool { return p.MustValidate }

// UsesImage reports whether the sidecar knows more in the application's own image: a validator refuses a bad file
// before anything is sent, or a command says what is wrong with one that was refused.
func (p Preset) UsesImage() bool { return len(p.Validators)+len(p.Explainers) > 0 }

// BadFile is what a server does with a file that it does not understand, without validation.
type BadFile string

// The kinds of BadFile.
const (
	Keeps    BadFile = "keeps the old configuration"
	Exits    BadFile = "exits"
	Degrades BadFile = "stays alive without its configuration"
	Partly   BadFile = "applies the rest"
	// KeepsPart is of a server that takes up its files one after the other, and stops at the bad one.
	KeepsPart BadFile = "keeps the old configuration, or a part of it"
)

// Proof is how one finds out whether a reload worked.
type Proof struct {
	Kind ProofKind
	// URL is asked before and after.
	URL string
	// Success is a gauge that is 1 after a good reload, Time one that moves then (ProofMetrics).
	Success, Time string
	// Field is the JSON member that changes with a good reload (ProofField).
	Field string
	// Draining is in the title of a worker that only ends what it has begun, WorkersRead says that a new worker may still be
	// reading the configuration, and ends when it is bad, and Masked that the master blocks signals while it reads it
	// (ProofWorkers).
	Draining            string
	WorkersRead, Masked bool
	// Version is the variable in which the master keeps its version for the process that it becomes, and MasterReadsBefore the
	// version, major and minor, before which it reads the configuration itself, so that a worker is started only when it is good.
	Version           string
	MasterReadsBefore [2]int
}

// ProofKind is a closed set.
type ProofKind string

// The proofs.
const (
	// ProofAlive: the process is still the same. All that can be known of many servers.
	ProofAlive ProofKind = "alive"
	// ProofWorkers: the master has new workers in the place of the old ones.
	ProofWorkers ProofKind = "workers renewed"
	// ProofAnswer: the answer to the URL says it.
	ProofAnswer ProofKind = "answer"
	// ProofMetrics: the server's own metrics say it.
	ProofMetrics ProofKind = "metrics"
	// ProofField: a field of a JSON document changes.
	ProofField ProofKind = "status field"
	// ProofPostgres: PostgreSQL's own views, and the certificate that it shows.
	ProofPostgres ProofKind = "the server's own views"
	// ProofPgbouncer: pgbouncer's console, compared with its files, and the certificate that it shows.
	ProofPgbouncer ProofKind = "admin console"
	// ProofNATS: a field that changes with a good reload, of a server that refuses one for what needs a restart.
	ProofNATS ProofKind = "status field, or none"
	// ProofBind, ProofDnsmasq and ProofBroker prove no more than ProofAlive: such a server is only asked by looking at its
	// files before anything is sent.
	ProofBind    ProofKind = "alive; zones and certificates are checked before"
	ProofDnsmasq ProofKind = "alive; which files are re-read is looked up before"
	ProofBroker  ProofKind = "alive; lists and certificates are checked before"
)

// OfReload reports whether the proof is the server's word that a reload went well. It is one for the files only that a
// reload reads and checks: the Configuration with its Includes, and what a FileRule says is Reread.
func (p Proof) OfReload() bool {
	return p.Kind == ProofMetrics || p.Kind == ProofField || p.Kind == ProofNATS
}

// ByName finds a row. The error lists the names there are.
func ByName(name string) (Preset, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	return Preset{}, fmt.Errorf("unknown preset %q; allowed are %s", name, strings.Join(Names(), ", "))
}

// Names are the names of all rows, sorted.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// Parts of command templates: "{-c}" stands for the value of the running process's own option -c and is left out
// without one, "{-c=}" for every "-c value" of it. The names below stand for one part each; a command is left out when
// one of these is not known is not run, since it would look at another configuration.
const (
	// Options are all options that the Grammar passes to a validator.
	Options = "{options}"
	// Comm is the kernel's name of the process.
	Comm = "{comm}"
	// Args are all arguments.
	Args = "{args}"
	// Title is what stands in parentheses in the title that the process gave itself.
	Title = "{title}"
)
