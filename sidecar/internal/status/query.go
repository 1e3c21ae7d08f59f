package status

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

// queryHandler answers the controller. Every pod of the cluster may call it, so a call must cost little (0.1 ms, and one
// at a time), and each address has so many of them.
type queryHandler struct {
	source Source
	mu     sync.Mutex
	calls  window
}

func (h *queryHandler) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if h.source.ControllerKey == nil {
		http.Error(w, sidecarapi.SaysNoKey, http.StatusNotFound)
		return
	}
	caller, _, _ := net.SplitHostPort(request.RemoteAddr)
	if !h.admit(caller) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, sidecarapi.SaysTooMany, http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, sidecarapi.MaxRequest))
	if err != nil {
		http.Error(w, "cannot read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	encrypted, status, err := h.answer(body)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(encrypted)
}

func (h *queryHandler) admit(caller string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls.admit(caller, h.source.Now())
}

// answer is the encrypted reply to a request, or what to say instead.
func (h *queryHandler) answer(body []byte) (encrypted []byte, status int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	request, err := sidecarapi.ParseRequest(body)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	now := h.source.Agent()
	if now.Phase == agent.Starting {
		return nil, http.StatusServiceUnavailable, errors.New(sidecarapi.SaysNotYet)
	}
	reply, err := h.source.reply(now, request)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	encrypted, err = h.source.ControllerKey.Encrypt(request.Nonce, reply)
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	return encrypted, http.StatusOK, nil
}

// reply describes the moment a.
func (s Source) reply(a agent.Status, asked sidecarapi.Request) (sidecarapi.Response, error) {
	r := sidecarapi.Response{Files: map[string]string{}, Changes: a.Changes, At: s.Now().UTC(), Started: s.Started.UTC(), Version: s.Version}
	r.Result, r.Message = resultOf(a)
	r.Assumed = r.Result == sidecarapi.None && a.Assumed
	if r.Result != sidecarapi.None && r.Result != sidecarapi.Pending {
		r.Proven, r.Trigger, r.Proof = a.Last.Proven, a.Last.Trigger, a.Last.Proof
	}
	r.Attempts = a.Attempts
	if !a.LastAt.IsZero() {
		r.AttemptAt = a.LastAt.Add(-a.LastTook).UTC()
	}
	for _, file := range asked.Files {
		entry, volume, watched := a.State.File(file)
		if !watched {
			return sidecarapi.Response{}, fmt.Errorf(sidecarapi.SaysNotWatched+"%q; watched are %s", file, watchedPaths(a.State))
		}
		r.Files[file] = text(entry)
		if volume.Changed.After(r.Changed) {
			r.Changed = volume.Changed.UTC()
		}
	}
	if len(asked.Files) == 0 && !a.State.Changed.IsZero() {
		r.Changed = a.State.Changed.UTC()
	}
	for _, v := range a.State.Volumes {
		if slices.Contains(asked.Mounts, v.Path) {
			if r.Mounts == nil {
				r.Mounts = map[string]time.Time{}
			}
			if v.Changed.After(r.Mounts[v.Path]) {
				r.Mounts[v.Path] = v.Changed.UTC()
			}
		}
	}
	return r, nil
}

// resultOf is how the application stands to the content of a's state.
//
//	has it, was triggered       applied
//	has it, was not             none: it had this content before anything was triggered
//	has not, was triggered      rejected, failed, died; an attempt under way changes that only when it ends
//	has not, was not            pending
func resultOf(a agent.Status) (result sidecarapi.Result, message string) {
	applied := a.Tried && a.Last.Result == agent.Applied
	switch {
	case !a.Pending && applied:
		return sidecarapi.Applied, a.Last.Message
	case !a.Pending:
		return sidecarapi.None, ""
	case a.Tried && !applied:
		return outcomes()[a.Last.Result], a.Last.Message
	}
	if missing := a.State.Missing(); len(missing) > 0 {
		return sidecarapi.Pending, "wanted files are missing: " + strings.Join(missing, ", ")
	}
	return sidecarapi.Pending, ""
}

func outcomes() map[agent.Result]sidecarapi.Result {
	return map[agent.Result]sidecarapi.Result{
		agent.Applied: sidecarapi.Applied, agent.Rejected: sidecarapi.Rejected, agent.NeedsRestart: sidecarapi.NeedsRestart,
		agent.Late: sidecarapi.Late, agent.Failed: sidecarapi.Failed, agent.Died: sidecarapi.Died,
		agent.DryRun: sidecarapi.Pending,
	}
}

func text(entry digest.Entry) string {
	switch entry.Kind {
	case digest.EntryFile:
		return sidecarapi.Digest(entry.Short)
	case digest.EntryOpaque:
		return sidecarapi.Opaque
	case digest.EntryToken:
		return sidecarapi.Ignored
	default:
		return sidecarapi.Missing
	}
}

func watchedPaths(state digest.State) string {
	var paths []string
	for _, v := range state.Volumes {
		at := v.Path
		if len(v.Keys) > 0 {
			at += ":" + strings.Join(v.Keys, ",")
		}
		paths = append(paths, at)
	}
	return cmp.Or(strings.Join(paths, " "), "none")
}
