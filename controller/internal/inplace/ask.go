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
	"strings"
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
				DisableKeepAlives: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Ask returns what the sidecar of a pod says of these files. More files than one question may have take several; the
// result is then the least good one.
func (a *Asker) Ask(ctx context.Context, pod observe.Pod, want map[string]string) (confirm.Reply, error) {
	var all confirm.Reply
	asked := false
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(want)), confirm.MaxFiles) {
		reply, err := a.ask(ctx, pod, chunk)
		if err != nil {
			return confirm.Reply{}, err
		}
		if !asked {
			all, asked = reply, true
			if all.Files == nil { // a reply is whatever the pod sends
				all.Files = map[string]string{}
			}
			continue
		}
		if all.Changes != reply.Changes || all.Attempts != reply.Attempts {
			all.Result = confirm.Pending // it moved on between two questions
		}
		maps.Copy(all.Files, reply.Files)
	}
	if !asked {
		return a.ask(ctx, pod, nil)
	}
	return all, nil
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
		const enough = 200
		said := strings.TrimSpace(string(answer[:min(len(answer), enough)]))
		return confirm.Reply{}, fmt.Errorf("the sidecar answers %s: %s", response.Status, said)
	}
	return confirm.Open(a.key, question.Nonce, answer)
}
