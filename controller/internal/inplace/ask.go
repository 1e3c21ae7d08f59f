package inplace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/confirm"
)

// askTimeout bounds one question: the sidecar answers in under a millisecond.
const askTimeout = 3 * time.Second

// Asker asks sidecars over HTTP whether they have applied what they should.
type Asker struct {
	client *http.Client
	key    []byte
}

// NewAsker returns an asker that opens replies with the key of all digests. Its connections are not kept: a question is
// rare, and pods are many.
func NewAsker(digestKey []byte) *Asker {
	return &Asker{
		key: digestKey,
		client: &http.Client{
			Timeout: askTimeout,
			Transport: &http.Transport{ // without a proxy: pods are reached directly
				DialContext:       (&net.Dialer{Timeout: askTimeout}).DialContext,
				DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Ask returns what the sidecar of a pod says of these files. More files than one question may have take several; the
// application has the content if it has had it at each of them.
func (a *Asker) Ask(ctx context.Context, pod observe.Pod, want map[string]string) (confirm.Reply, error) {
	all := confirm.Reply{Files: map[string]string{}}
	for i, files := range questions(want) {
		reply, err := a.ask(ctx, pod, files)
		if err != nil {
			return confirm.Reply{}, err
		}
		maps.Copy(all.Files, reply.Files)
		reply.Files = all.Files
		if i > 0 && (all.Result != reply.Result || all.Changes != reply.Changes || all.Attempts != reply.Attempts || !all.Started.Equal(reply.Started)) {
			reply.Result = confirm.Pending // it moved on between two questions
		}
		if all.Changed.After(reply.Changed) {
			reply.Changed = all.Changed
		}
		all = reply
	}
	return all, nil
}

// questions divides files into as many as one question may have, of which there is at least one.
func questions(want map[string]string) [][]string {
	const room = confirm.MaxRequest - 1<<10 // less the rest of the question
	all := [][]string{nil}
	size := 0
	for _, file := range slices.Sorted(maps.Keys(want)) {
		quoted, _ := json.Marshal(file) // text always marshals
		last := len(all) - 1
		if size += len(quoted) + len(","); size > room || len(all[last]) == confirm.MaxFiles {
			all, last, size = append(all, nil), last+1, len(quoted)
		}
		all[last] = append(all[last], file)
	}
	return all
}

func (a *Asker) ask(ctx context.Context, pod observe.Pod, files []string) (confirm.Reply, error) {
	question, err := confirm.NewRequest(files)
	if err != nil {
		return confirm.Reply{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	body, err := json.Marshal(question)
	if err != nil {
		return confirm.Reply{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	url := "http://" + net.JoinHostPort(pod.Address, strconv.Itoa(int(pod.Port))) + confirm.Path
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return confirm.Reply{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return confirm.Reply{}, fmt.Errorf("the sidecar does not answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, confirm.MaxReply+1))
	if err != nil {
		return confirm.Reply{}, fmt.Errorf("the sidecar does not answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		const enough = 200 // of what anybody may have said, into an event
		return confirm.Reply{}, fmt.Errorf("the sidecar answers %d: %.*q", response.StatusCode, enough, bytes.TrimSpace(answer))
	}
	return confirm.Open(a.key, question.Nonce, answer)
}
