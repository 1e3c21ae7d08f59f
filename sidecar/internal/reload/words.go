package reload

import (
	"cmp"
	"context"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/process"
)

// explain adds the application's own words to a rejection that came without any, or says where they are.
func (r *Reloader) explain(ctx context.Context, target *process.Process, out agent.Outcome) agent.Outcome {
	if out.Result == agent.Rejected && out.Triggered && r.takesParts() {
		out.Message = and(out.Message, "what it took up before the mistake is in use, and the rest is as it was")
	}
	silent := out.Result == agent.Rejected && out.Proof != proofAnswer && out.Proof != proofExit
	if silent {
		if words := r.askWhy(ctx, target); words != "" {
			out.Message += "; " + words
			return out
		}
	}
	if silent || out.Result == agent.Died {
		out.Message += "; its log may say why: " + r.logOf(target)
	}
	return out
}

// takesParts reports whether the server may use a part of content that it refuses.
func (r *Reloader) takesParts() bool {
	return r.Plan.Row.BadFile == preset.Partly || r.Plan.Row.BadFile == preset.KeepsPart
}

// keptOld is what a refusal means, in a few words.
func (r *Reloader) keptOld() string {
	if r.takesParts() {
		return "the application did not take up the new configuration as a whole"
	}
	return "the application kept its old configuration"
}

// askWhy is what the server's own check says of its files, "" when it says nothing against them, or cannot be asked.
func (r *Reloader) askWhy(ctx context.Context, target *process.Process) string {
	if argv, _ := r.firstOf(r.Plan.Row.Explainers, target); argv != nil {
		if result := r.runLike(ctx, target, argv); result.exited {
			return result.String()
		}
	}
	return ""
}

// logOf says how to see what the application itself said.
func (r *Reloader) logOf(target *process.Process) string {
	switch {
	case r.Pod == "" && target == nil:
		return "that of the application"
	case r.Pod == "":
		return "that of " + target.String()
	}
	container := r.Plan.Process.Container
	if container == "" && target != nil {
		container = r.Table.Container(target.PID)
	}
	return "kubectl logs " + r.Pod + " -c " + cmp.Or(container, "CONTAINER")
}
