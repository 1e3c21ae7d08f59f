package annotation

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"inpod.dev/inpod/internal/window"
)

// Notified carries the content that was reported of a workload which is notify-only, as a keyed digest. It is written
// by inpod.
const Notified = Domain + "notified"

// PausedAtLayout is how inpod writes the time of its last rollout: RFC 3339 with milliseconds. Reloader writes it
// without. So its value, which means that it has paused the Deployment, differs from ours, which means no such thing.
const PausedAtLayout = "2006-01-02T15:04:05.000Z07:00"

// Pacing is what the user asked for on when a workload may be rolled.
type Pacing struct {
	// Settle is the quiet time after the last change; nil where the global one holds.
	Settle *time.Duration
	// NotifyOnly reports whether changes are reported and not applied; nil where the global setting holds.
	NotifyOnly *bool
	// Windows are when it may be rolled; nil where the global setting holds.
	Windows *window.Windows
	// PausePeriod is how long nothing is rolled after a rollout; nil where nothing is said. See Pause.
	PausePeriod *time.Duration
	// NoBackOff reports whether the workload may be rolled as often as its sources change.
	NoBackOff bool
	// PausedAt is the time of the last rollout; zero if it was not written or cannot be read.
	PausedAt time.Time
	// PausedByReloader reports whether Reloader wrote PausedAt, when it paused the Deployment.
	PausedByReloader bool
}

// pacing reads keys that count on the workload, and otherwise on its template. A value that cannot be read holds rollouts
// up where that is what the key is for, and otherwise counts as not said.
func (r *reader) pacing(workload, template map[string]string) Pacing {
	var p Pacing
	if v := r.said(r.keys.Settle, workload, template); v.text != "" {
		if settle, ok := r.duration(v, "the global settle time holds"); ok {
			p.Settle = &settle
		}
	}
	if v := r.said(r.keys.NotifyOnly, workload, template); v.text != "" {
		only, err := strconv.ParseBool(v.text)
		if err != nil {
			only = true
			r.wrong(v, `%.100q is not a boolean and counts as true: nothing is rolled; use "true" or "false"`)
		}
		p.NotifyOnly = &only
	}
	if v := r.said(r.keys.PausePeriod, workload, template); v.text != "" {
		if period, ok := r.duration(v, "there is no pause"); ok {
			p.PausePeriod = &period
		}
	}
	if v := r.said(r.keys.BackOff, workload, template); v.text != "" {
		if p.NoBackOff = v.text == "off"; !p.NoBackOff {
			r.wrong(v, `%.100q is not allowed, and the back-off holds; use "off", or remove the annotation`)
		}
	}
	if v := r.said(r.keys.Window, workload, template); v.text != "" {
		windows, err := window.Parse(v.text)
		if err != nil {
			windows = window.Closed()
			r.report(Problem{Key: v.key, Value: v.text, OnTemplate: v.onTemplate, Fault: fmt.Sprintf(
				"%.100q is no maintenance window, and nothing is rolled until it is: %v", v.text, err)})
		}
		p.Windows = &windows
	}
	p.PausedAt, p.PausedByReloader = r.pausedAt(workload)
	return p
}

// ReadDefaults returns what the annotations of a namespace ask for, for those of its workloads that do not say it.
func ReadDefaults(keys Keys, namespace map[string]string) (Pacing, []Problem) {
	r := reader{keys: keys}
	p := r.pacing(keys.Defaults(namespace), nil)
	for i := range r.problems {
		r.problems[i].Fault = "as the default of the namespace, " + r.problems[i].Fault
	}
	return p, r.problems
}

// Defaults are the annotations of a namespace that are defaults for its workloads. Its settle time is one for the sidecars,
// and none for rollouts.
func (k Keys) Defaults(namespace map[string]string) map[string]string {
	all := map[string]string{}
	for _, key := range []string{k.NotifyOnly, k.Window, k.PausePeriod} {
		if text, said := namespace[key]; said {
			all[key] = text
		}
	}
	return all
}

// Or fills in what is not said.
func (p Pacing) Or(defaults Pacing) Pacing {
	p.NotifyOnly = cmp.Or(p.NotifyOnly, defaults.NotifyOnly)
	p.Windows = cmp.Or(p.Windows, defaults.Windows)
	p.PausePeriod = cmp.Or(p.PausePeriod, defaults.PausePeriod)
	return p
}

// Pause is how long nothing is rolled after a rollout; 0 for no such time.
func (p Pacing) Pause() time.Duration {
	if p.PausePeriod == nil {
		return 0
	}
	return *p.PausePeriod
}

// value is what was found under a key; empty means not set, as templates produce it.
type value struct {
	key, text  string
	onTemplate bool
}

// said looks on the workload first.
func (r *reader) said(key string, workload, template map[string]string) value {
	if text := strings.TrimSpace(workload[key]); text != "" {
		return value{key: key, text: text}
	}
	return value{key: key, text: strings.TrimSpace(template[key]), onTemplate: true}
}

// wrong reports a value; fault is a format for its text.
func (r *reader) wrong(v value, fault string) {
	r.report(Problem{Key: v.key, Value: v.text, OnTemplate: v.onTemplate, Fault: fmt.Sprintf(fault, v.text)})
}

func (r *reader) duration(v value, otherwise string) (time.Duration, bool) {
	d, err := time.ParseDuration(v.text)
	if err != nil || d < 0 {
		r.wrong(v, "%.100q is not a duration, and "+otherwise+"; use a number with a unit, such as 30s or 5m")
		return 0, false
	}
	return d, true
}

func (r *reader) pausedAt(workload map[string]string) (at time.Time, byReloader bool) {
	v := r.said(r.keys.PausedAt, workload, nil)
	if v.text == "" {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, v.text)
	if err != nil {
		r.wrong(v, "%.100q is not a time as in 2026-01-31T12:00:00Z and does not count; remove it, inpod writes it itself")
		return time.Time{}, false
	}
	return at, !strings.Contains(v.text, ".")
}

// onPace reports whether an annotation of a workload or of a pod template says when it may be rolled.
func (k Keys) onPace(key string) bool {
	return slices.Contains([]string{k.Settle, k.NotifyOnly, k.Window, k.PausePeriod, k.PausedAt, k.BackOff, Notified}, key)
}
