package reload

import (
	"context"
	"fmt"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// The time between two checks for a proof: short at first, when most reloads are over, and longer then, since a check
// may cost the application a page of metrics.
const (
	proofInterval    = 50 * time.Millisecond
	proofIntervalMax = 400 * time.Millisecond
)

// What shows a result where no preset knows better. None of it proves anything.
const (
	proofAnswer = string(preset.ProofAnswer)
	proofExit   = "exit status"
	proofBeside = "new workers beside old ones"
)

// proofChecked is new workers beside old ones, of a server whose own check accepts what they read. It says nothing of the ports that
// they need.
const proofChecked = "new workers, and its own check"

// reading is how long a new worker beside an old one may go on reading what the server's own check does not accept, until
// the check is not believed any more.
const reading = 30 * time.Second

// verdict of one check.
type verdict int

const (
	wait   verdict = iota // nothing to be seen yet
	partly                // something new runs, and something old as well
	yes
	no
)

// attempt is a trigger whose result is determined.
type attempt struct {
	target  *process.Process
	trigger string
	// witness is asked what the server made of its files; nil for a server that is not asked in a way of its own. Then look
	// looks for the proof called name, nil when there is none to be seen.
	witness witness
	// files judge what was applied by the files that changed; nil where they say nothing.
	files      *changedFiles
	proofCheck func(context.Context) verdict
	name       string
	// begun is when the trigger was sent, bootTime the same as time since boot.
	begun    time.Time
	bootTime time.Duration
	// blocked are the signals that the target blocked before, if masked.
	blocked uint64
	masked  bool
	// call is the request whose answer has not come yet. answered says that a good answer has, lost why there will be none.
	call     *call
	answered bool
	lost     string
	// overlaps says that an attempt before this one had not been answered, so that what is seen may be its doing.
	overlaps bool
	// last is the last check's verdict, said what the verify URL last answered, unverified that it was no, and denied
	// that it does not answer to this caller.
	last               verdict
	said               string
	unverified, denied bool
	// checked says that the server's own check was asked what new workers beside old ones read: accepted that it accepts it,
	// and against what it says against it.
	checked, accepted bool
	against           string
}

// prepare notes how things are before the trigger. done means that nothing may be sent.
func (r *Reloader) prepare(ctx context.Context, target *process.Process, change agent.Change) (a *attempt, out agent.Outcome, done bool) {
	a = &attempt{target: target, trigger: r.trigger(target)}
	proof := r.Plan.Row.Proof
	if a.witness = r.witnessOf(target, change); a.witness != nil {
		if out, done := a.witness.before(ctx); done {
			return nil, out, true
		}
		a.name = string(proof.Kind)
	} else {
		r.findProof(ctx, a)
	}
	a.begun, r.open = r.Now(), a
	return a, agent.Outcome{}, false
}

// findProof finds out what can be looked for as a proof.
func (r *Reloader) findProof(ctx context.Context, a *attempt) {
	proof, target := r.Plan.Row.Proof, a.target
	a.bootTime, _ = r.Table.SinceBoot()
	switch {
	case proof.Kind == preset.ProofWorkers && target != nil:
		if workers, ok := r.workers(*target); ok {
			a.proofCheck = r.newWorkers(*target, workers, a.bootTime)
			a.blocked, a.masked = r.Table.Blocked(target.PID)
		}
	case proof.Kind == preset.ProofMetrics:
		if before, err := r.readMetrics(ctx); err == nil {
			a.proofCheck = r.newMetrics(a, before)
		}
	case proof.Kind == preset.ProofField:
		if before, err := r.readField(ctx); err == nil {
			a.proofCheck = r.newField(before)
		}
	}
	switch {
	case a.proofCheck != nil:
		a.name = string(proof.Kind)
	case r.Plan.Signal != 0:
		a.name = string(preset.ProofAlive)
	case r.Plan.URL != nil:
		a.name = proofAnswer
	default:
		a.name = proofExit
	}
}

// take notes the answer to the request, and reports whether that ends the attempt.
func (a *attempt) take(out agent.Outcome) (ends bool) {
	a.call = nil
	switch out.Result {
	case agent.Applied:
		a.answered = true
	case agent.Late:
		a.lost = out.Message
	default:
		return true
	}
	return false
}

// await looks until there is an answer, the process is gone, or time is up.
func (r *Reloader) await(ctx context.Context, a *attempt) agent.Outcome {
	begun, interval := r.Now(), proofInterval
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		out, done := r.step(ctx, a)
		if done {
			return r.close(ctx, a, out)
		}
		if r.Now().Sub(begun) >= max(r.Plan.VerifyTimeout, r.linger(a.target)) {
			return r.late(ctx, a)
		}
		select {
		case <-ctx.Done():
			return agent.Outcome{Result: agent.Failed, Triggered: true, Trigger: a.trigger, Message: "stopped while waiting for a proof"}
		case <-timer.C:
			interval = min(interval+proofInterval, proofIntervalMax)
			timer.Reset(interval)
		}
	}
}

// ask looks once for what await did not see in time.
func (r *Reloader) ask(ctx context.Context, a *attempt) agent.Outcome {
	if out, done := r.step(ctx, a); done {
		return r.close(ctx, a, out)
	}
	return r.late(ctx, a)
}

func (r *Reloader) close(ctx context.Context, a *attempt, out agent.Outcome) agent.Outcome {
	r.open = nil
	out.Triggered, out.Trigger = true, a.trigger
	out = a.files.after(out)
	a.files.close()
	return r.explain(ctx, a.target, out)
}

// step looks once. done says that out is the answer.
func (r *Reloader) step(ctx context.Context, a *attempt) (out agent.Outcome, done bool) {
	if a.target != nil && !r.alive(*a.target) {
		return died(a), true
	}
	if a.call != nil && a.call.ended() {
		if out := a.call.outcome; a.take(out) {
			return r.orDied(a, out), true
		}
	}
	if a.witness != nil {
		return r.hear(ctx, a)
	}
	a.last = r.see(ctx, a)
	if a.last == partly && r.Plan.Row.Proof.WorkersRead && r.Now().Sub(a.begun) >= r.linger(a.target) {
		if r.checkRead(ctx, a); a.accepted && r.Plan.VerifyURL != nil && r.see(ctx, a) != wait { // they are still there
			return r.verify(ctx, a, r.applied(a, proofChecked, false))
		}
	}
	switch a.last {
	case no:
		return agent.Outcome{Result: agent.Rejected, Proof: a.name, Message: r.keptOld()}, true
	case yes:
	case wait, partly:
		return agent.Outcome{}, false
	}
	// One that survives must do so for the time the preset gives it, since some exit only after having tried the file.
	if r.Now().Sub(a.begun) < r.linger(a.target) {
		return agent.Outcome{}, false
	}
	return r.verify(ctx, a, r.applied(a, a.name, r.proves(a)))
}

// checkRead asks the server's own check, once, what it says of what new workers read.
func (r *Reloader) checkRead(ctx context.Context, a *attempt) {
	if a.checked {
		return
	}
	a.checked = true
	argv, _ := r.firstOf(r.Plan.Row.Explainers, a.target)
	if argv == nil {
		return
	}
	result := r.runLike(ctx, a.target, argv)
	if a.accepted = result.err == nil; result.exited {
		a.against = result.String()
	}
}

// hear asks the witness once.
func (r *Reloader) hear(ctx context.Context, a *attempt) (out agent.Outcome, done bool) {
	found := a.witness.after(ctx)
	if found.verdict == wait || found.result == agent.Applied && r.Now().Sub(a.begun) < r.linger(a.target) {
		return agent.Outcome{}, false
	}
	proven := found.proven && (!a.overlaps || r.provesContent())
	out = agent.Outcome{Result: found.result, Proven: proven, Proof: found.proof, Message: string(found.message)}
	if out.Result != agent.Applied {
		return out, true
	}
	if out.Message = a.trigger + ": " + string(found.message); found.message == "" {
		out = r.applied(a, found.proof, proven)
	}
	return r.verify(ctx, a, out)
}

// overlap reports whether an attempt before has no answer yet, so that what is seen may be its doing.
func (r *Reloader) overlap(ctx context.Context) bool {
	e := r.earlier
	switch {
	case e == nil:
		return false
	case e.target != nil && !r.alive(*e.target):
	case e.call != nil && !e.call.ended():
		return true
	case e.call != nil && e.take(e.call.outcome): // refused
	case e.witness != nil && e.witness.after(ctx).verdict != wait:
	case e.witness == nil && e.proofCheck != nil && e.proofCheck(ctx) == yes:
	case e.witness == nil && e.proofCheck == nil && e.answered:
	default:
		return true
	}
	r.earlier = nil
	return false
}

// see is the verdict of one check. Without a proof to look for, the answer counts.
func (r *Reloader) see(ctx context.Context, a *attempt) verdict {
	switch {
	case a.overlaps && a.call != nil:
		return wait // what is seen is the doing of the attempt before, as long as this one has no answer
	case a.proofCheck != nil:
		return a.proofCheck(ctx)
	case a.call != nil || a.lost != "":
		return wait
	}
	return yes
}

// proves reports whether what was looked for shows that the application has the content of this attempt.
func (r *Reloader) proves(a *attempt) bool {
	if a.proofCheck == nil {
		return a.answered && r.Plan.Row.Proof.Kind == preset.ProofAnswer
	}
	return !a.overlaps || a.answered
}

// applied is the outcome with that proof.
func (r *Reloader) applied(a *attempt, proof string, proven bool) agent.Outcome {
	out := agent.Outcome{Result: agent.Applied, Proven: proven, Proof: proof, Message: a.trigger + ": " + proof}
	if proven {
		return out
	}
	switch proof {
	case string(preset.ProofAlive):
		out.Message = a.trigger + ", which is alive: not proven"
	case proofAnswer:
		out.Message = a.trigger + ", which answered that all is well: not proven"
	case proofExit:
		out.Message = a.trigger + ", which ended with status 0: not proven"
	case proofBeside:
		out.Message = a.trigger + ", which has new workers beside old ones: not proven"
	case proofChecked:
		out.Message = a.trigger + ", which has new workers beside old ones, and whose own check accepts the files: not proven"
	default:
		out.Message = a.trigger + ": " + proof + ", which may have come of the attempt before: not proven"
	}
	return out
}

// verify asks the URL that must answer after a reload. Many servers need a moment until they answer again.
func (r *Reloader) verify(ctx context.Context, a *attempt, out agent.Outcome) (agent.Outcome, bool) {
	if r.Plan.VerifyURL == nil {
		return out, true
	}
	e := *r.Plan.VerifyURL
	e.Attempts = 1
	if r.Plan.VerifyTimeout > 0 {
		e.Timeout = min(e.Timeout, r.Plan.VerifyTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	answer, denied := e.check(ctx, func(time.Duration) {})
	a.said, a.unverified, a.denied = answer.Message, answer.Triggered && answer.Result != agent.Late, denied
	if answer.Result != agent.Applied {
		return agent.Outcome{}, false
	}
	proof := out.Proof + ", verify URL"
	return r.applied(a, proof, true), true
}

// linger is how long the process must stay alive. Even where nothing is known, death by a signal is quick.
func (r *Reloader) linger(target *process.Process) time.Duration {
	const least = 200 * time.Millisecond
	if target == nil || r.Plan.Row.Proof.Kind == preset.ProofWorkers && r.Plan.Row.Linger == 0 {
		return 0
	}
	return max(least, r.Plan.Row.Linger)
}

// late is the outcome without a proof in time: late, unless something else reports that there will be none.
func (r *Reloader) late(ctx context.Context, a *attempt) agent.Outcome {
	switch {
	case a.denied: // which is not a matter of time
		return r.close(ctx, a, agent.Outcome{
			Result: agent.Failed, Final: true, Message: "reloaded, but the verify URL does not confirm it: " + a.said + "; correct its headers",
		})
	case a.last == partly && a.against != "" && r.Now().Sub(a.begun) < reading: // they end when they have read it
	case a.last == partly && r.Plan.VerifyURL == nil && !r.Plan.RequireProof:
		out := r.applied(a, proofBeside, false)
		if a.accepted {
			out = r.applied(a, proofChecked, false)
		}
		if a.against != "" {
			out.Message += "; its own check says: " + a.against
		}
		return r.close(ctx, a, out)
	}
	out := agent.Outcome{Result: agent.Late, Triggered: true, Trigger: a.trigger, Proof: a.name}
	waiting := fmt.Sprintf("no proof (%s) within %s", a.name, r.Plan.VerifyTimeout)
	switch {
	case a.lost != "":
		waiting = a.lost
	case a.call != nil:
		waiting = a.trigger + ": no answer yet"
	case a.unverified:
		waiting = "reloaded, but the verify URL does not confirm it yet: " + a.said
	case a.said != "":
		waiting = "reloaded, but the verify URL has not answered: " + a.said
	case a.last == partly && a.against != "":
		waiting = "new workers beside old ones, and its own check says: " + a.against
	}
	if r.refused(ctx, a) {
		return r.close(ctx, a, agent.Outcome{
			Result: agent.Rejected, Proof: a.name, Message: waiting + ": " + r.keptOld(),
		})
	}
	if r.Now().Sub(a.begun) >= agent.LateEnd {
		a.files.close() // it may be asked for no more
	}
	out.Message = waiting + "; it is asked for again, and nothing is sent again"
	return out
}

// refused reports whether a server that shows a refusal by nothing happening has refused. It has when it is done with the trigger: it blocks signals while it reads its configuration, and blocks none, sleeps and
// has none to take when it is done. Where that is not known, its own check of the file decides.
func (r *Reloader) refused(ctx context.Context, a *attempt) bool {
	if r.Plan.Row.BadFile != preset.Keeps || a.witness != nil || a.last != wait || a.call != nil || a.target == nil {
		return false
	}
	if r.Plan.Row.Proof.Masked && a.masked && a.proofCheck != nil {
		return r.Table.Idle(ctx, *a.target, r.Plan.Signal, a.blocked) && a.proofCheck(ctx) == wait // what it did meanwhile counts
	}
	return r.askWhy(ctx, a.target) != ""
}
