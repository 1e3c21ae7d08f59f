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

	"inpod.dev/inpod/internal/confirm"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

// confirmer answers the controller. Every pod of the cluster may call it, so a call must cost little (0.1 ms, and one
// at a time), and each address has so many of them.
type confirmer struct {
	source Source
	mu     sync.Mutex
	calls  window
}

func (c *confirmer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if c.source.Confirm == nil {
		http.Error(w, confirm.SaysNoKey, http.StatusNotFound)
		return
	}
	caller, _, _ := net.SplitHostPort(request.RemoteAddr)
	if !c.admit(caller) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, confirm.SaysTooMany, http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, confirm.MaxRequest))
	if err != nil {
		http.Error(w, "cannot read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	sealed, status, err := c.answer(body)
	if err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(sealed)
}

func (c *confirmer) admit(caller string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls.admit(caller, c.source.Now())
}

// answer is the sealed reply to a request, or what to say instead.
func (c *confirmer) answer(body []byte) (sealed []byte, status int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	request, err := confirm.ParseRequest(body)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	now := c.source.Agent()
	if now.Phase == agent.Starting {
		return nil, http.StatusServiceUnavailable, errors.New(confirm.SaysNotYet)
	}
	reply, err := c.source.reply(now, request)
	if err != nil {
		return nil, http.StatusBadRequest, err
	}
	sealed, err = c.source.Confirm.Seal(request.Nonce, reply)
	if err != nil {
		return nil, http.StatusInternalServerError, err
	}
	return sealed, http.StatusOK, nil
}

// reply describes the moment a.
func (s Source) reply(a agent.Status, asked confirm.Request) (confirm.Reply, error) {
	r := confirm.Reply{Files: map[string]string{}, Changes: a.Changes, At: s.Now().UTC(), Started: s.Started.UTC(), Version: s.Version}
	r.Result, r.Message = standing(a)
	r.Assumed = r.Result == confirm.None && a.Assumed
	if r.Result != confirm.None && r.Result != confirm.Pending {
		r.Proven, r.Trigger, r.Proof = a.Last.Proven, a.Last.Trigger, a.Last.Proof
	}
	r.Attempts = a.Attempts
	if !a.LastAt.IsZero() {
		r.AttemptAt = a.LastAt.Add(-a.LastTook).UTC()
	}
	for _, file := range asked.Files {
		entry, volume, watched := a.State.File(file)
		if !watched {
			return confirm.Reply{}, fmt.Errorf(confirm.SaysNotWatched+"%q; watched are %s", file, watchedPaths(a.State))
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

// standing is how the application stands to the content of a's state.
//
//	has it, was told of it      applied
//	has it, was not             none: it had this content before anybody was told
//	has not, was told of it     rejected, failed, died; an attempt under way changes that only when it ends
//	has not, was not            pending
func standing(a agent.Status) (result confirm.Result, message string) {
	applied := a.Tried && a.Last.Result == agent.Applied
	switch {
	case !a.Pending && applied:
		return confirm.Applied, a.Last.Message
	case !a.Pending:
		return confirm.None, ""
	case a.Tried && !applied:
		return outcomes()[a.Last.Result], a.Last.Message
	}
	if missing := a.State.Missing(); len(missing) > 0 {
		return confirm.Pending, "wanted files are missing: " + strings.Join(missing, ", ")
	}
	return confirm.Pending, ""
}

func outcomes() map[agent.Result]confirm.Result {
	return map[agent.Result]confirm.Result{
		agent.Applied: confirm.Applied, agent.Rejected: confirm.Rejected, agent.NeedsRestart: confirm.NeedsRestart,
		agent.Late: confirm.Late, agent.Failed: confirm.Failed, agent.Died: confirm.Died,
		agent.DryRun: confirm.Pending,
	}
}

func text(entry digest.Entry) string {
	switch entry.Kind {
	case digest.EntryFile:
		return confirm.Digest(entry.Short)
	case digest.EntryOpaque:
		return confirm.Opaque
	case digest.EntryToken:
		return confirm.Ignored
	default:
		return confirm.Missing
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
