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
	// Applied means that the application has the new content, as far as Outcome.Proof tells.
	Applied Result = "applied"
	// Rejected means that the application, or its validator, did not accept the new content. The old one is in use.
	Rejected Result = "rejected"
	// Failed means that the application could not be told.
	Failed Result = "failed"
	// Died means that the application ended when it was told.
	Died Result = "died"
)

// Results lists all of them, for metrics.
func Results() []Result { return []Result{Applied, Rejected, Failed, Died} }

// Outcome is one attempt's result, fit to be logged and shown.
type Outcome struct {
	Result Result
	// Message says what happened, and for anything but Applied what to do. It never holds content of a watched file.
	Message string
	// Proof names what showed it, such as "workers renewed".
	Proof string
	// Final means that trying again with the same content cannot help.
	Final bool
	// Told means that the application was told, so that it may have the new content, or part of it, whatever Result
	// says.
	Told bool
}

// Trigger tells the application about new content and finds out what it made of it.
type Trigger interface {
	// Reload makes one attempt for the content of state. It returns within a bounded time, sooner if ctx ends.
	Reload(ctx context.Context, state digest.State) Outcome
	// LoadedAt is when the application last read its configuration, if that can be known. It disturbs nothing.
	LoadedAt(ctx context.Context) (at time.Time, known bool)
}

// Memory keeps over a restart of the sidecar which content was applied last.
type Memory interface {
	// Applied says whether a record exists, and whether it is of this content.
	Applied(sum digest.Sum) (recorded, same bool)
	// Record keeps sum as applied. The zero sum means that nobody knows what the application has.
	Record(sum digest.Sum) error
}
