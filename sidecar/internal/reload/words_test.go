package reload

import (
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
)

func TestARejectionSaysWhereAPartIsInUse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		preset string
		sent   bool
		want   bool
	}{
		"pgbouncer uses what comes before the mistake":    {preset: "pgbouncer", sent: true, want: true},
		"prometheus uses what comes before the bad rules": {preset: "prometheus", sent: true, want: true},
		"a server that takes all or nothing uses nothing": {preset: "nats-server", sent: true},
		"what was not sent is not in use":                 {preset: "pgbouncer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			r := &Reloader{Plan: Plan{Row: row}}
			out := r.explain(t.Context(), nil, agent.Outcome{Result: agent.Rejected, Proof: proofAnswer, Message: r.keptOld(), Triggered: tc.sent})
			if got := strings.Contains(out.Message, "is in use"); got != tc.want || tc.want && strings.Contains(out.Message, "kept its old") {
				t.Errorf("%q, want a part in use: %v", out.Message, tc.want)
			}
		})
	}
}
