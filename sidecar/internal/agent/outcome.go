package agent

import (
	"context"
	"time"

	"inpod.dev/inpod/sidecar/internal/digest"
)

// Result says how a reload ended. The set is closed.
type Result string

// The results.
const (
	// Applied means that the trigger was sent and nothing contradicts. Outcome.Proven says whether the application is known
	// to have the new content.
	Applied Result = "applied"
	// Rejected means that the application, or its validator, did not accept the new content. The old one is in use.
	Rejected Result = "rejected"
	// NeedsRestart means that a reload never makes the application read what changed: only a new process does.
	NeedsRestart Result = "needs restart"
	// Late means that the trigger was sent and no answer has come yet. The answer is asked for again, and the trigger is
	// not sent again.
	Late Result = "late"
	// Failed means that the application could not be reloaded.
	Failed Result = "failed"
	// Died means that the application ended when it was reloaded.
	Died Result = "died"
	// DryRun means that nothing stands against a reload, which was not asked for.
	DryRun Result = "dry run"
)

// Results lists all of them, for metrics.
func Results() []Result { return []Result{Applied, Rejected, NeedsRestart, Late, Failed, Died, DryRun} }

// Outcome is one attempt's result, fit to be logged and shown.
type Outcome struct {
	Result Result
	// Proven says of Applied that the application itself says that it runs with the new content, or was seen to. Applied
	// without it means only that the trigger was sent and nothing contradicts.
	Proven bool
	// Trigger is what was sent, in a few words: "SIGHUP to nginx (PID 7)". It is empty when nothing was sent.
	Trigger string
	// Message says what happened, and for anything but Applied what to do. It never holds content of a watched file.
	Message string
	// Proof names what showed the result, such as "workers renewed".
	Proof string
	// Final means that trying again with the same content cannot help.
	Final bool
	// Triggered means that something was sent to the application, so that it may have the new content, or part of it,
	// whatever Result says.
	Triggered bool
}

// Change is content that the application is not known to have.
type Change struct {
	State digest.State
	// Seen is when this content was first seen, with a monotonic reading: a process that started after it has read it,
	// whatever clocks say.
	Seen time.Time
	// Files are the absolute paths of the watched files that differ from what the application is known to have, as its
	// container sees them, sorted, deleted ones included.
	Files []string
	// FilesUnknown reports whether it is unknown what the application has, so that any file may differ.
	FilesUnknown bool
}

// Trigger asks the application to reload and finds out what came of it.
type Trigger interface {
	// Reload makes one attempt for the content of change. It returns within a bounded time, sooner if ctx ends.
	Reload(ctx context.Context, change Change) Outcome
	// Ask looks, after Late, for the answer to the attempt for the content of change, and after NeedsRestart for a process
	// that started later. It sends no trigger.
	Ask(ctx context.Context, change Change) Outcome
	// LoadedAt is a time at which, or before which, the application last read its configuration; known is false while
	// nothing is known of the application. The zero time is for one that is there, and nothing more is known. It
	// disturbs nothing.
	LoadedAt(ctx context.Context) (at time.Time, known bool)
	// StartedAt is when the process of the application started, whatever it has reloaded since; known is false where no
	// process can be seen.
	StartedAt(ctx context.Context) (at time.Time, known bool)
}

// Memory keeps over a restart of the sidecar which content was applied last, and which one a reload does not apply.
type Memory interface {
	// Applied reports whether a record exists, and whether it is of this content.
	Applied(sum digest.Sum) (recorded, same bool)
	// NeedsRestart reports whether the record says of this content that a reload does not make the application read it.
	NeedsRestart(sum digest.Sum) bool
	// Record keeps what is applied, and the content that needs a restart. The zero sum means that nobody knows what the
	// application has, or that nothing needs a restart.
	Record(applied, needsRestart digest.Sum) error
}
