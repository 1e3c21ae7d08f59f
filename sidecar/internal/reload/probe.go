package reload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"inpod.dev/inpod/internal/preset"
)

// metrics are the two gauges by which a server reports how its last reload went.
type metrics struct {
	success, time float64
}

func (r *Reloader) readMetrics(ctx context.Context) (metrics, error) {
	proof := r.Plan.Row.Proof
	text, err := r.fetch(ctx, proof.URL)
	if err != nil {
		return metrics{}, err
	}
	success, ok1 := gauge(text, proof.Success)
	at, ok2 := gauge(text, proof.Time)
	if !ok1 || !ok2 {
		return metrics{}, fmt.Errorf("%s does not show %s and %s", shownURL(proof.URL), proof.Success, proof.Time)
	}
	return metrics{success, at}, nil
}

// newMetrics sees a time that moved as yes, and a success that fell to 0 as no. A success that was 0 before and stays
// so may be the old failure or a new one: only time shows it.
func (r *Reloader) newMetrics(a *attempt, before metrics) func(context.Context) verdict {
	return func(ctx context.Context) verdict {
		now, err := r.readMetrics(ctx)
		switch {
		case err != nil:
			return wait
		case now.success == 0 && before.success != 0:
			return no
		case now.success != 0 && (now.time != before.time || a.answered):
			return yes // after a good answer a time that stands still is only coarse: times have a resolution of a second in some servers
		}
		return wait
	}
}

func (r *Reloader) readField(ctx context.Context) (string, error) {
	proof := r.Plan.Row.Proof
	text, err := r.fetch(ctx, proof.URL)
	if err != nil {
		return "", err
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(text, &document); err != nil {
		return "", fmt.Errorf("%s gives no JSON object: %w", shownURL(proof.URL), err)
	}
	value, ok := document[proof.Field]
	if !ok {
		return "", fmt.Errorf("%s has no field %s", shownURL(proof.URL), proof.Field)
	}
	return string(value), nil
}

func (r *Reloader) newField(before string) func(context.Context) verdict {
	return func(ctx context.Context) verdict {
		now, err := r.readField(ctx)
		if err != nil || now == before {
			return wait
		}
		return yes
	}
}

// reportedTime is when the application says that it read its configuration.
func (r *Reloader) reportedTime(ctx context.Context) (time.Time, bool) {
	switch r.Plan.Row.Proof.Kind {
	case preset.ProofMetrics:
		if m, err := r.readMetrics(ctx); err == nil && m.time > 0 {
			whole, part := math.Modf(m.time)
			return time.Unix(int64(whole), int64(part*float64(time.Second))), true
		}
	case preset.ProofField, preset.ProofNATS:
		if text, err := r.readField(ctx); err == nil {
			var at time.Time
			if err := json.Unmarshal([]byte(text), &at); err == nil {
				return at, true
			}
		}
	case preset.ProofAlive, preset.ProofWorkers, preset.ProofAnswer, preset.ProofPostgres, preset.ProofPgbouncer, preset.ProofBind, preset.ProofDnsmasq, preset.ProofBroker:
	}
	return time.Time{}, false
}

// gauge finds a sample without labels in the Prometheus text format.
func gauge(text []byte, name string) (float64, bool) {
	for line := range bytes.Lines(text) {
		rest, ok := strings.CutPrefix(string(line), name)
		if !ok || !strings.HasPrefix(rest, " ") {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		value, err := strconv.ParseFloat(fields[0], 64)
		return value, err == nil
	}
	return 0, false
}
