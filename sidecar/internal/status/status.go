// Package status shows what the sidecar does: metrics, health and a JSON page. It never shows content, nor a digest
// from which content could be guessed; digests go to the controller alone, encrypted (see package sidecarapi).
package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/watch"
)

// Source is where the pages come from.
type Source struct {
	Agent   func() agent.Status
	Mode    func() watch.Mode
	Errors  func() int64
	Version string
	Preset  string
	How     string
	// ControllerKey is the public key of the controller, for which replies are encrypted. Without it every query is refused.
	ControllerKey *sidecarapi.Key
	// Now is the clock, Started when the sidecar started.
	Now     func() time.Time
	Started time.Time
}

// Handler serves /metrics, /healthz and /status to every client, and /query to the controller.
func Handler(s Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		// The process runs and serves. A failed reload is no reason to restart the sidecar, nor one to take the
		// application out of service.
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write([]byte(s.metrics()))
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(s.page())
	})
	mux.Handle("POST "+sidecarapi.Path, &queryHandler{source: s})
	return mux
}

// Page is the document at /status.
type Page struct {
	Version string   `json:"version"`
	Preset  string   `json:"preset,omitempty"`
	Trigger string   `json:"trigger"`
	Phase   string   `json:"phase"`
	Pending bool     `json:"pending"`
	Assumed bool     `json:"assumed,omitempty"`
	Changes int64    `json:"changes"`
	RetryAt string   `json:"retryAt,omitempty"`
	Last    *Last    `json:"last,omitempty"`
	Volumes []Volume `json:"volumes"`

	Watching watch.Mode `json:"watching"`
}

// Last is the last attempt to reload.
type Last struct {
	Result string `json:"result"`
	// Proven, of "applied": the application itself says that it has the content, or was seen to.
	Proven      bool    `json:"proven"`
	Trigger     string  `json:"trigger,omitempty"`
	Proof       string  `json:"proof,omitempty"`
	Message     string  `json:"message,omitempty"`
	At          string  `json:"at"`
	TookSeconds float64 `json:"tookSeconds"`
}

// Volume is one watched path.
type Volume struct {
	Path      string   `json:"path"`
	Kind      string   `json:"kind"`
	ChangedAt string   `json:"changedAt,omitempty"`
	Files     int      `json:"files"`
	Opaque    int      `json:"unreadable,omitempty"`
	Large     int      `json:"tooLargeToRead,omitempty"`
	Tokens    int      `json:"tokensIgnored,omitempty"`
	Outside   int      `json:"linksOutside,omitempty"`
	Missing   []string `json:"missing,omitempty"`
}

func (s Source) page() Page {
	a := s.Agent()
	page := Page{
		Version: s.Version, Preset: s.Preset, Trigger: s.How, Phase: a.Phase, Pending: a.Pending, Assumed: a.Assumed, Changes: a.Changes,
		RetryAt: stamp(a.RetryAt), Volumes: []Volume{}, Watching: s.Mode(),
	}
	if !a.LastAt.IsZero() {
		page.Last = &Last{
			Result: string(a.Last.Result), Proven: a.Last.Proven, Trigger: a.Last.Trigger, Proof: a.Last.Proof,
			Message: a.Last.Message, At: stamp(a.LastAt), TookSeconds: a.LastTook.Seconds(),
		}
	}
	for _, v := range a.State.Volumes {
		page.Volumes = append(page.Volumes, Volume{
			Path: v.Path, Kind: string(v.Kind), ChangedAt: stamp(v.Changed), Files: v.Files, Opaque: v.Opaque,
			Large: v.Large, Tokens: v.Tokens, Outside: v.Outside, Missing: v.Missing,
		})
	}
	return page
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// metrics is the Prometheus text format, written by hand: the client library would double what the sidecar weighs.
func (s Source) metrics() string {
	a, mode := s.Agent(), s.Mode()
	var b strings.Builder
	head := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP inpod_sidecar_%s %s\n# TYPE inpod_sidecar_%s %s\n", name, help, name, kind)
	}
	one := func(name, kind, help string, value float64) {
		head(name, kind, help)
		fmt.Fprintf(&b, "inpod_sidecar_%s %g\n", name, value)
	}
	head("reloads_total", "counter", "Attempts to reload the application by result. A late attempt counts again when its answer arrives.")
	for _, r := range agent.Results() {
		fmt.Fprintf(&b, "inpod_sidecar_reloads_total{result=%q} %d\n", r, a.Counts[r])
	}
	one("reloads_unproven_total", "counter", "Applied attempts without proof.", float64(a.Unproven))
	one("changes_total", "counter", "Changes of watched content.", float64(a.Changes))
	one("pending", "gauge", "1 while the application does not have the latest content.", truth(a.Pending))
	one("last_reload_successful", "gauge", "0 if the last attempt was not applied, else 1. A dry run counts as applied.",
		truth(a.LastAt.IsZero() || a.Last.Result == agent.Applied || a.Last.Result == agent.DryRun))
	one("last_reload_timestamp_seconds", "gauge", "End of the last attempt, 0 before the first.", seconds(a.LastAt))
	one("last_reload_success_timestamp_seconds", "gauge", "End of the last applied attempt, 0 before the first.",
		seconds(a.AppliedAt))
	one("last_reload_duration_seconds", "gauge", "Duration of the last attempt.", a.LastTook.Seconds())
	one("polling", "gauge", "1 while the sidecar polls, because inotify is not available.", truth(mode.Polling))
	one("watches", "gauge", "Directories with an inotify watch.", float64(mode.Watches))
	one("watch_errors_total", "counter", "Failed scans and watches.", float64(s.Errors()))
	head("build_info", "gauge", "Version of the sidecar as a label; always 1.")
	fmt.Fprintf(&b, "inpod_sidecar_build_info{version=%q} 1\n", s.Version)
	return b.String()
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
