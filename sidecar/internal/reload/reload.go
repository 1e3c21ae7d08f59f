// Package reload tells an application about a new configuration and finds out what it made of it.
//
//	find the process ─► already younger than the content? applied
//	      │
//	      ▼ validator says no? rejected, nothing sent
//	  signal | URL | command
//	      │
//	      ▼ watch for the proof: workers, metrics, status field, still alive
//	  applied | rejected | failed | died
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
	"strings"
	"syscall"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
)

// Plan is how one application is told. It comes from New, which fills it from a preset and the user's settings.
type Plan struct {
	// Preset is the name of the row it began with, "" without one.
	Preset string
	// Process says which process is meant. It may be empty with a URL or a command.
	Process process.Selector
	// Signal, URL and Command: one of them is set.
	Signal  syscall.Signal
	URL     *Endpoint
	Command []string
	// Assured is whose word there is that the process handles Signal.
	Assured process.Assurance
	// Row holds the knowledge about validators and proofs; its trigger fields are not used.
	Row preset.Preset
	// VerifyURL must answer 2xx after a reload; nil for none.
	VerifyURL *Endpoint
	// VerifyTimeout bounds the search for a proof, CommandTimeout each command.
	VerifyTimeout, CommandTimeout time.Duration
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
}

var _ agent.Trigger = (*Reloader)(nil)

// startMargin is what a process must be younger than the content to be sure that it read it: start times have a
// resolution of 10 ms.
const startMargin = 100 * time.Millisecond

// Reload makes one attempt.
func (r *Reloader) Reload(ctx context.Context, change agent.Change) agent.Outcome {
	outcome := r.reload(ctx, change)
	outcome.Message = r.scrub(outcome.Message)
	return outcome
}

// Ask looks for the answer to an earlier attempt.
func (r *Reloader) Ask(context.Context, agent.Change) agent.Outcome {
	return agent.Outcome{Result: agent.Late, Told: true, Message: "no answer yet"}
}

func (r *Reloader) reload(ctx context.Context, change agent.Change) agent.Outcome {
	target, out, done := r.target(change.State)
	if done {
		return out
	}
	if out, done := r.validate(ctx, target); done {
		return out
	}
	if out, done := r.permitted(ctx, target); done {
		return out
	}
	if r.Plan.DryRun {
		return agent.Outcome{Result: agent.Applied, Proof: "dry run", Message: "would " + r.describe(target)}
	}
	watch, out, done := r.prepare(ctx, target, change)
	if done {
		return out
	}
	if out := r.fire(ctx, target); out.Result != agent.Applied {
		out = r.explain(ctx, target, r.orDied(target, out))
		out.Told = r.Plan.Signal == 0 // a signal that failed was not sent, a URL or command may have done anything
		return out
	}
	out = watch(ctx)
	out.Told = true
	if out.Result == agent.Applied {
		out = r.verify(ctx, out)
		out.Told = true
	}
	if out.Result == agent.Applied && out.Message == "" {
		out.Message = r.describe(target)
	}
	return r.explain(ctx, target, out)
}

// target finds the process, which is nil when none is needed and none is seen.
func (r *Reloader) target(state digest.State) (target *process.Process, out agent.Outcome, done bool) {
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
	started, err := r.Table.StartedAt(p, r.Now())
	if err == nil && started.After(state.Changed.Add(startMargin)) {
		return nil, agent.Outcome{
			Result: agent.Applied, Proof: "started later",
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
	if err := r.Table.Allowed(ctx, *target, r.Plan.Signal, r.Plan.Assured); err != nil {
		return failed(err), true
	}
	if !r.Plan.Row.NeedsWorkers {
		return agent.Outcome{}, false
	}
	if _, some := r.workers(*target); !some {
		return failed(fmt.Errorf("%w: %s has no workers, so it does not run in the mode in which SIG%s reloads it (haproxy -W)",
			process.ErrRefused, target, process.SignalName(r.Plan.Signal))), true
	}
	return agent.Outcome{}, false
}

func (r *Reloader) fire(ctx context.Context, target *process.Process) agent.Outcome {
	r.Log.DebugContext(ctx, "telling the application", "how", r.describe(target))
	switch {
	case r.Plan.Signal != 0:
		if err := r.Table.Send(*target, r.Plan.Signal); err != nil {
			return failed(err)
		}
		return agent.Outcome{Result: agent.Applied}
	case r.Plan.URL != nil:
		return r.Plan.URL.Call(ctx)
	default:
		return r.command(ctx)
	}
}

func (r *Reloader) command(ctx context.Context) agent.Outcome {
	result := run(ctx, r.Plan.Command, "", r.Plan.CommandTimeout)
	switch {
	case result.err == nil:
		return agent.Outcome{Result: agent.Applied, Proof: "exit status"}
	case result.exited:
		return agent.Outcome{Result: agent.Rejected, Message: result.String()}
	}
	return failed(result.err)
}

// verify asks the URL that must answer after a reload, for as long as a proof is waited for: many servers need a moment
// until they answer again.
func (r *Reloader) verify(ctx context.Context, out agent.Outcome) agent.Outcome {
	if r.Plan.VerifyURL == nil {
		return out
	}
	end, interval := r.Now().Add(r.Plan.VerifyTimeout), proofInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		answer := r.Plan.VerifyURL.Call(ctx)
		if answer.Result == agent.Applied {
			out.Proof = strings.TrimPrefix(out.Proof+", verify URL", ", ")
			return out
		}
		if !r.Now().Before(end) {
			return agent.Outcome{Result: agent.Failed, Message: "reloaded, but the verify URL does not confirm it: " + answer.Message}
		}
		select {
		case <-ctx.Done():
			return agent.Outcome{Result: agent.Failed, Message: "stopped while waiting for the verify URL"}
		case <-timer.C:
			interval = min(interval+proofInterval, proofIntervalMax)
			timer.Reset(interval)
		}
	}
}

// orDied turns an outcome into Died when the process is gone.
func (r *Reloader) orDied(target *process.Process, out agent.Outcome) agent.Outcome {
	if target == nil || r.alive(*target) {
		return out
	}
	return died(*target, r.describe(target))
}

func (r *Reloader) alive(target process.Process) bool {
	now, err := r.Table.Get(target.PID)
	return err == nil && now.Same(target) && now.Alive()
}

// LoadedAt is when the application last read its configuration: its own word if it gives one, else the age of its
// workers if a reload renews them, else its own age.
func (r *Reloader) LoadedAt(ctx context.Context) (at time.Time, known bool) {
	if at, ok := r.reportedTime(ctx); ok {
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
		if children, err := r.Table.Children(p.PID); err == nil && len(children) > 0 {
			reader = slices.MinFunc(children, func(a, b process.Process) int { return cmp.Compare(a.Start, b.Start) })
		}
	}
	at, err = r.Table.StartedAt(reader, r.Now())
	return at, err == nil
}

// describe says in a few words how the application is told.
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

func died(target process.Process, how string) agent.Outcome {
	return agent.Outcome{Result: agent.Died, Message: fmt.Sprintf("%s ended after: %s", target, how)}
}

// How says in a few words how the application is told, before any process has been seen.
func (r *Reloader) How() string {
	if r.Plan.Signal != 0 {
		return fmt.Sprintf("send SIG%s to %s", process.SignalName(r.Plan.Signal), r.Plan.Process)
	}
	return r.describe(nil)
}
