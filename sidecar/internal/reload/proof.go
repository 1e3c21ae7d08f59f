package reload

import (
	"context"
	"fmt"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// The time between two looks for a proof: short at first, when most reloads are over, and longer then, since a look may
// cost the application a page of metrics.
const (
	proofInterval    = 50 * time.Millisecond
	proofIntervalMax = 400 * time.Millisecond
)

// verdict of one look.
type verdict int

const (
	wait verdict = iota // nothing to be seen yet
	yes
	no
)

// watchFor notes how things are before the trigger, and returns what to call after it.
func (r *Reloader) watchFor(ctx context.Context, target *process.Process) func(context.Context) agent.Outcome {
	proof := r.Plan.Row.Proof
	look := func(context.Context) verdict { return yes }
	name := string(preset.ProofAlive)
	switch {
	case proof.Kind == preset.ProofWorkers && target != nil:
		if workers, ok := r.workers(*target); ok {
			look, name = r.newWorkers(*target, workers), string(proof.Kind)
		}
	case proof.Kind == preset.ProofMetrics:
		if before, err := r.readMetrics(ctx); err == nil {
			look, name = r.newMetrics(before), string(proof.Kind)
		}
	case proof.Kind == preset.ProofField:
		if before, err := r.readField(ctx); err == nil {
			look, name = r.newField(before), string(proof.Kind)
		}
	}
	if name == string(preset.ProofAlive) && r.Plan.Signal == 0 {
		name = "answer" // what the URL or the command said, which has been looked at already
		if r.Plan.URL == nil {
			name = "exit status"
		}
	}
	return func(ctx context.Context) agent.Outcome { return r.await(ctx, target, look, name) }
}

// await looks until there is a verdict, the process is gone, or time is up. A process that survives must do so for the
// time the preset gives it, since some exit only after having tried the new file.
func (r *Reloader) await(ctx context.Context, target *process.Process, look func(context.Context) verdict, name string) agent.Outcome {
	begin := r.Now()
	interval := proofInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		if target != nil && !r.alive(*target) {
			return died(*target, r.describe(target))
		}
		v, passed := look(ctx), r.Now().Sub(begin)
		switch {
		case v == no:
			return agent.Outcome{Result: agent.Rejected, Proof: name, Message: "the application kept its old configuration"}
		case v == yes && passed >= r.linger(target):
			return agent.Outcome{Result: agent.Applied, Proof: name}
		case passed >= max(r.Plan.VerifyTimeout, r.linger(target)):
			return r.late(name)
		}
		select {
		case <-ctx.Done():
			return agent.Outcome{Result: agent.Failed, Message: "stopped while waiting for a proof"}
		case <-timer.C:
			interval = min(interval+proofInterval, proofIntervalMax)
			timer.Reset(interval)
		}
	}
}

// linger is how long the process must stay alive. Even where nothing is known, death by a signal is quick.
func (r *Reloader) linger(target *process.Process) time.Duration {
	const least = 200 * time.Millisecond
	if target == nil || r.Plan.Row.Proof.Kind == preset.ProofWorkers && r.Plan.Row.Linger == 0 {
		return 0
	}
	return max(least, r.Plan.Row.Linger)
}

// late is the outcome without a proof in time. A server that keeps its old configuration shows a refusal by nothing
// happening (P5: nginx's workers stay as they are).
func (r *Reloader) late(name string) agent.Outcome {
	message := fmt.Sprintf("no proof (%s) within %s", name, r.Plan.VerifyTimeout)
	if r.Plan.Row.BadFile == preset.Keeps {
		return agent.Outcome{Result: agent.Rejected, Proof: name, Message: message + ": the application kept its old configuration"}
	}
	return agent.Outcome{Result: agent.Failed, Message: message}
}
