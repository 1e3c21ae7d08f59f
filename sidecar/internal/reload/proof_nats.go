package reload

import (
	"context"
	"time"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

// nats asks nats-server when it loaded its configuration. It takes a reload as a whole or not at all; its own check, which
// has accepted the file by now, does not know that some settings are only read at the start.
type nats struct {
	reloader *Reloader
	loaded   string
	unasked  error
	since    time.Time
}

// natsAnswers is how long the server must answer, with its old time, to have refused the reload.
const natsAnswers = 3 * time.Second

func (n *nats) before(ctx context.Context) (agent.Outcome, bool) {
	n.loaded, n.unasked = n.reloader.readField(ctx)
	return agent.Outcome{}, false
}

func (n *nats) after(ctx context.Context) finding {
	if n.unasked != nil {
		return unproven(string(preset.ProofAlive), "nats-server could not be asked (http_port is its monitoring): "+theirs(n.unasked.Error()))
	}
	now, err := n.reloader.readField(ctx)
	proof := string(preset.ProofField)
	switch {
	case err != nil:
		n.since = time.Time{}
		return finding{}
	case now != n.loaded:
		return finding{verdict: yes, result: agent.Applied, proven: true, proof: proof}
	case n.since.IsZero():
		n.since = n.reloader.Now()
		return finding{}
	case n.reloader.Now().Sub(n.since) < natsAnswers:
		return finding{}
	}
	row := n.reloader.Plan.Row
	argv, _ := n.reloader.firstOf(row.Validators, nil)
	if argv == nil {
		return finding{verdict: no, result: agent.Rejected, proof: proof, message: "it kept its old configuration; its log says why"}
	}
	return finding{
		verdict: no, result: agent.NeedsRestart, proof: proof,
		message: "nats-server accepts the file, and kept its old configuration: it refuses a reload as a whole when a setting differs " +
			"that only a start reads; its log names that",
	}
}
