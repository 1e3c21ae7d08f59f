// Package reload triggers the reload of an application and finds out what came of it.
//
//	find the process ─► started after the content was seen? applied
//	      │
//	      ▼ validator says no? rejected, nothing sent
//	  signal | URL | command
//	      │
//	      ▼ look for the proof: workers, metrics, status field, verify URL; or only for life
//	  applied, proven or not | rejected | late | failed | died
//	                                       │
//	                                       └─► Ask checks again, without a trigger
//
// It does not know when to reload, nor what changed.
package reload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// Plan is how one application is reloaded. It comes from New, which fills it from a preset and the user's settings.
type Plan struct {
	// Preset is the name of the row it began with, "" without one.
	Preset string
	// Process says which process is meant. It may be empty with a URL or a command.
	Process process.Selector
	// Signal, URL and Command: one of them is set.
	Signal  syscall.Signal
	URL     *Endpoint
	Command []string
	// Assured is who guarantees that the process handles Signal.
	Assured process.Assurance
	// Row holds the knowledge about validators and proofs; its trigger fields are not used.
	Row preset.Preset
	// VerifyURL must answer 2xx after a reload; nil for none.
	VerifyURL *Endpoint
	// Access is for the pages at which a proof is found.
	Access Access
	// VerifyTimeout bounds the search for a proof in one attempt, CommandTimeout each command.
	VerifyTimeout, CommandTimeout time.Duration
	// RequireProof makes a reload that nothing proves a failure.
	RequireProof bool
	// DryRun stops before the trigger.
	DryRun bool
}

// Reloader carries out a plan. It is an agent.Trigger.
type Reloader struct {
	Plan  Plan
	Table process.Table
	Now   func() time.Time
	Log   *slog.Logger
	// Secrets are the watched paths. The content of those that may hold a Secret is taken out of messages.
	Secrets []string
	// Scans counts the beginnings and ends of the scans of the watched files, which open files that the application
	// does not; nil when that is not checked.
	Scans func() int64
	// Pod is the name of the pod, "" outside of one.
	Pod string

	// open is the attempt whose answer has not come yet. earlier is one that was open when the next began, until it is
	// answered or a further trigger goes out.
	open, earlier *attempt

	// Environment is that of this process, NAME=VALUE. Commands inherit it, and may show it.
	Environment []string

	// held is the content of Secrets that the application may have.
	held generation
}

var _ agent.Trigger = (*Reloader)(nil)

// Reload makes one attempt.
func (r *Reloader) Reload(ctx context.Context, change agent.Change) agent.Outcome {
	return r.shown(func() agent.Outcome { return r.reload(ctx, change) })
}

// Ask looks for the answer to the last attempt.
func (r *Reloader) Ask(ctx context.Context, change agent.Change) agent.Outcome {
	return r.shown(func() agent.Outcome {
		if r.open == nil {
			if _, out, done := r.target(change); done && out.Result == agent.Applied {
				return out
			}
			return agent.Outcome{Result: agent.Late, Message: "no newer process has started"}
		}
		return r.ask(ctx, r.open)
	})
}

// asRequired makes a failure of an outcome that lacks the proof which the user requires.
func (r *Reloader) asRequired(out agent.Outcome) agent.Outcome {
	if out.Result == agent.Applied && !out.Proven && r.Plan.RequireProof && !r.Plan.DryRun {
		out.Result, out.Final = agent.Failed, true
		out.Message += ", and a proof is required (require-proof); give a verify-url that answers 2xx only with the new content, or a " +
			"preset whose proof can be seen here"
	}
	return out
}

func (r *Reloader) reload(ctx context.Context, change agent.Change) agent.Outcome {
	if r.open != nil {
		r.open.files.close()
		r.earlier, r.open = r.open, nil
	}
	target, out, done := r.target(change)
	if done {
		return out
	}
	files := r.filesOf(target, change)
	if out, done := files.before(); done {
		return out
	}
	if out, done := files.guard(); done {
		return out
	}
	if out, done := r.validate(ctx, target); done {
		return out
	}
	if out, done := r.permitted(ctx, target); done {
		return out
	}
	if r.Plan.DryRun {
		return agent.Outcome{Result: agent.DryRun, Final: true, Message: "would " + r.describe(target)}
	}
	a, out, done := r.prepare(ctx, target, change)
	if done {
		return out
	}
	a.overlaps, a.files = r.overlap(ctx), files
	files.watch()
	r.Log.DebugContext(ctx, "triggering a reload", "trigger", a.trigger)
	out = r.fire(ctx, a)
	out.Trigger = a.trigger
	if out.Triggered {
		r.earlier = nil
	}
	if out.Result != agent.Applied && out.Result != agent.Late {
		r.open = nil
		files.close()
		return r.explain(ctx, target, r.orDied(a, out))
	}
	return r.await(ctx, a)
}

// target finds the process, which is nil when none is needed and none is seen.
func (r *Reloader) target(change agent.Change) (target *process.Process, out agent.Outcome, done bool) {
	if r.Plan.Process.IsZero() {
		return nil, agent.Outcome{}, false
	}
	p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
	if err != nil {
		if r.Plan.Signal == 0 {
			return nil, agent.Outcome{}, false // a URL reaches it without being seen
		}
		return nil, failed(err), true
	}
	// Both times have a monotonic reading. What the file system says of the content is not asked: its clock may be another
	// one, or have been set since.
	started, err := r.Table.StartedAt(p, r.Now())
	if err == nil && !change.Seen.IsZero() && started.After(change.Seen) {
		return nil, agent.Outcome{
			Result: agent.Applied, Proven: true, Proof: "started later",
			Message: fmt.Sprintf("%s started after the change, and so has read it", p),
		}, true
	}
	return &p, agent.Outcome{}, false
}

// permitted refuses what would do harm.
func (r *Reloader) permitted(ctx context.Context, target *process.Process) (out agent.Outcome, done bool) {
	if r.Plan.Signal == 0 {
		return agent.Outcome{}, false
	}
	if r.Plan.Row.NeedsWorkers {
		if _, some := r.workers(*target); !some {
			return failed(fmt.Errorf("%w: %s has no workers, so it does not run in the mode in which SIG%s reloads it (haproxy -W)",
				process.ErrRefused, target, process.SignalName(r.Plan.Signal))), true
		}
	}
	if err := r.Table.Allowed(ctx, *target, r.Plan.Signal, r.Plan.Assured); err != nil {
		return failed(err), true
	}
	return agent.Outcome{}, false
}

// fire sends the trigger. Applied means that it was sent and nothing contradicts, Late that its result is unknown.
func (r *Reloader) fire(ctx context.Context, a *attempt) agent.Outcome {
	switch {
	case r.Plan.Signal != 0:
		if err := r.Table.Send(*a.target, r.Plan.Signal); err != nil {
			return failed(err)
		}
		return agent.Outcome{Result: agent.Applied, Triggered: true}
	case r.Plan.URL != nil:
		a.call = r.Plan.URL.begin(ctx)
		out, ended := a.call.wait(ctx, r.Plan.URL.Timeout)
		if !ended {
			return r.Plan.URL.unanswered()
		}
		a.take(out)
		return out
	default:
		return r.command(ctx)
	}
}

func (r *Reloader) command(ctx context.Context) agent.Outcome {
	result := run(ctx, r.Plan.Command, "", r.Plan.CommandTimeout)
	switch {
	case result.err == nil:
		return agent.Outcome{Result: agent.Applied, Proof: proofExit, Triggered: true}
	case result.exited:
		return agent.Outcome{Result: agent.Rejected, Proof: proofExit, Message: result.String(), Triggered: true}
	}
	out := failed(result.err)
	out.Triggered = true // it may have done anything
	return out
}

// orDied turns an outcome into Died when the process is gone.
func (r *Reloader) orDied(a *attempt, out agent.Outcome) agent.Outcome {
	if a.target == nil || r.alive(*a.target) {
		return out
	}
	return died(a)
}

func (r *Reloader) alive(target process.Process) bool {
	now, err := r.Table.Get(target.PID)
	return err == nil && now.Same(target) && now.Alive()
}

// LoadedAt is when the application last read its configuration: its own word if it gives one, else the age of its
// workers if a reload renews them, else its own age.
func (r *Reloader) LoadedAt(ctx context.Context) (at time.Time, known bool) {
	if at, ok := r.reportedTime(ctx); ok {
		if at.After(r.Now().Add(time.Second)) {
			return time.Time{}, true // by another clock
		}
		return at, true
	}
	if r.Plan.Process.IsZero() {
		return time.Time{}, false
	}
	p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
	if err != nil {
		return time.Time{}, false
	}
	reader := p
	if r.Plan.Row.Proof.Kind == preset.ProofWorkers && r.Plan.Row.BadFile == preset.Keeps {
		// All workers: one that crashed and was replaced says nothing about the configuration.
		if children, err := r.Table.Children(p.PID); err == nil {
			children = slices.DeleteFunc(children, func(c process.Process) bool { return r.draining(c.PID) })
			if len(children) > 0 {
				reader = slices.MinFunc(children, func(a, b process.Process) int { return cmp.Compare(a.Start, b.Start) })
			}
		}
	}
	if at, err = r.Table.StartedAt(reader, r.Now()); err != nil {
		return time.Time{}, true
	}
	return at, true
}

// StartedAt is when the process started.
func (r *Reloader) StartedAt(context.Context) (at time.Time, known bool) {
	if r.Plan.Process.IsZero() {
		return time.Time{}, false
	}
	p, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
	if err != nil {
		return time.Time{}, false
	}
	at, err = r.Table.StartedAt(p, r.Now())
	return at, err == nil
}

// trigger names what is sent.
func (r *Reloader) trigger(target *process.Process) string {
	if r.Plan.Signal != 0 && target != nil {
		return fmt.Sprintf("SIG%s to %s", process.SignalName(r.Plan.Signal), target)
	}
	return r.describe(target)
}

// describe says in a few words how the application is reloaded.
func (r *Reloader) describe(target *process.Process) string {
	switch {
	case r.Plan.Signal != 0 && target != nil:
		return fmt.Sprintf("send SIG%s to %s", process.SignalName(r.Plan.Signal), target)
	case r.Plan.URL != nil:
		return r.Plan.URL.String()
	default:
		return "run " + r.Plan.Command[0]
	}
}

func failed(err error) agent.Outcome {
	return agent.Outcome{Result: agent.Failed, Message: err.Error(), Final: errors.Is(err, errNoValidator)}
}

func died(a *attempt) agent.Outcome {
	return agent.Outcome{Result: agent.Died, Triggered: true, Trigger: a.trigger, Message: fmt.Sprintf("%s ended after %s", a.target, a.trigger)}
}

// Reachable returns an error when the process to be signaled is not there, or several could be meant. A URL or a command
// needs no process.
func (r *Reloader) Reachable() error {
	if r.Plan.Signal == 0 {
		return nil
	}
	_, err := r.Table.Meant(r.Plan.Process, r.Plan.Signal)
	return err
}

// How says in a few words how the application is reloaded, before any process has been seen.
func (r *Reloader) How() string {
	if r.Plan.Signal != 0 {
		return fmt.Sprintf("send SIG%s to %s", process.SignalName(r.Plan.Signal), r.Plan.Process)
	}
	return r.describe(nil)
}
