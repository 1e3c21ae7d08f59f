package inplace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/truncate"
)

// askTimeout bounds one question: the sidecar answers in under a millisecond.
const askTimeout = 3 * time.Second

// keysKept is how many digest keys are tried on a reply: the current one, and those before it.
const keysKept = 4

// Client asks sidecars over HTTP whether they have applied what they should.
type Client struct {
	ways []Way
	// Foreign is called for each reply that no key opens; nil for nothing.
	Foreign func()

	mu   sync.Mutex
	keys []clientKey // the current one first
}

// clientKey is a digest key with what is derived from it, or why nothing can be.
type clientKey struct {
	digest  []byte
	private *sidecarapi.PrivateKey
	err     error
}

func newClientKey(digestKey []byte) clientKey {
	private, err := sidecarapi.NewPrivateKey(digestKey)
	return clientKey{digest: digestKey, private: private, err: err}
}

// NewAsker returns a client that opens replies with the key of all digests. It reaches sidecars by the first way that
// works. Its connections are not kept: a question is rare, and pods are many.
func NewAsker(digestKey []byte, ways ...Way) *Client {
	return &Client{ways: ways, keys: []clientKey{newClientKey(digestKey)}}
}

// SetKey takes another digest key. A pod that was created with a former one keeps it as long as it lives, so that the last
// ones are tried as well.
func (a *Client) SetKey(digestKey []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	former := slices.DeleteFunc(slices.Clone(a.keys), func(key clientKey) bool { return bytes.Equal(key.digest, digestKey) })
	a.keys = append([]clientKey{newClientKey(digestKey)}, former[:min(len(former), keysKept-1)]...)
}

// open decrypts a reply.
func (a *Client) open(nonce, encrypted []byte) (reply sidecarapi.Response, err error) {
	a.mu.Lock()
	keys := a.keys
	a.mu.Unlock()
	for _, key := range keys {
		if key.err != nil {
			return reply, key.err
		}
		if reply, err = key.private.Open(nonce, encrypted); !errors.Is(err, sidecarapi.ErrEncrypted) {
			return reply, err
		}
	}
	if a.Foreign != nil {
		a.Foreign()
	}
	return reply, err
}

// Question is what the sidecar of a pod is asked about.
type Question struct {
	// Files are the digests that files should have, by their paths.
	Files map[string]string
	// Mounts are the paths of mounts; the question is since when they are as they are.
	Mounts []string
}

// Status returns what the sidecar of a pod says of files and mounts. More files than one question may have take several; the
// application has the content if it has had it at each of them. An [UnreachableError] says that nothing was heard of it, a
// [NotUnderstoodError] that what was heard says nothing of the pod.
func (a *Client) Status(ctx context.Context, pod observe.Pod, want Question) (sidecarapi.Response, error) {
	all := sidecarapi.Response{Files: map[string]string{}}
	for i, files := range questions(want.Files) {
		question := part{files: files}
		if i == 0 {
			question.mounts = want.Mounts
		}
		reply, err := a.ask(ctx, pod, question)
		if err != nil {
			return sidecarapi.Response{}, err
		}
		maps.Copy(all.Files, reply.Files)
		reply.Files = all.Files
		if i > 0 {
			reply.Mounts = all.Mounts
		}
		if i > 0 && (all.Result != reply.Result || all.Changes != reply.Changes || all.Attempts != reply.Attempts || !all.Started.Equal(reply.Started)) {
			reply.Result = sidecarapi.Pending // it moved on between two questions
		}
		if all.Changed.After(reply.Changed) {
			reply.Changed = all.Changed
		}
		all = reply
	}
	return all, nil
}

// part is what one request asks about.
type part struct{ files, mounts []string }

// questions divides files into parts as large as one question may be; there is at least one.
func questions(want map[string]string) [][]string {
	const room = sidecarapi.MaxRequest - 8<<10 // less the rest of the question, which is mostly mounts
	all := [][]string{nil}
	size := 0
	for _, file := range slices.Sorted(maps.Keys(want)) {
		quoted, _ := json.Marshal(file) // text always marshals
		last := len(all) - 1
		if size += len(quoted) + len(","); size > room || len(all[last]) == sidecarapi.MaxFiles {
			all, last, size = append(all, nil), last+1, len(quoted)
		}
		all[last] = append(all[last], file)
	}
	return all
}

// headStart is how long a way may take to connect before the next is tried beside it. A network that drops what it does not let
// through would cost each question the whole of [askTimeout] otherwise.
const headStart = 300 * time.Millisecond

// ask asks one question, by one way after the other while nothing is heard of the sidecar. The first that hears of it ends the
// others.
func (a *Client) ask(ctx context.Context, pod observe.Pod, question part) (sidecarapi.Response, error) {
	if len(a.ways) == 1 {
		return a.askBy(ctx, a.ways[0], pod, question)
	}
	type answer struct {
		way   int
		reply sidecarapi.Response
		err   error
	}
	attempts, end := context.WithCancel(ctx)
	defer end()
	answers, slow := make(chan answer, len(a.ways)), make(chan struct{}, len(a.ways))
	started, open := 0, 0
	next := func() {
		if way := started; way < len(a.ways) {
			started, open = started+1, open+1
			go func() { // ends with ctx, or with this question
				reply, err := a.askBy(attempts, a.ways[way].slowly(func() { slow <- struct{}{} }), pod, question)
				answers <- answer{way, reply, err}
			}()
		}
	}
	failed := make([]*UnreachableError, len(a.ways))
	var foreign *NotUnderstoodError // by the first way that heard one
	for next(); open > 0; {
		select {
		case <-slow:
			next()
		case got := <-answers:
			open--
			closed, unreachable := errors.AsType[*UnreachableError](got.err)
			unknown, notUnderstood := errors.AsType[*NotUnderstoodError](got.err)
			switch {
			case ctx.Err() != nil:
				return got.reply, got.err
			case unreachable:
				failed[got.way] = closed
			case notUnderstood && !unknown.encrypted: // another way may lead past what has answered
				if foreign == nil {
					foreign = unknown
				}
			default:
				return got.reply, got.err
			}
			next()
		}
	}
	if foreign != nil {
		return sidecarapi.Response{}, foreign
	}
	var all *UnreachableError // in the order of the ways, so that the words are the same each time
	for _, one := range failed {
		all = all.and(one)
	}
	return sidecarapi.Response{}, all
}

func (a *Client) askBy(ctx context.Context, way Way, pod observe.Pod, about part) (sidecarapi.Response, error) {
	question, err := sidecarapi.NewRequest(about.files, about.mounts...)
	if err != nil {
		return sidecarapi.Response{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	body, err := json.Marshal(question)
	if err != nil {
		return sidecarapi.Response{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	leave, err := way.enter(ctx, pod)
	if err != nil {
		return sidecarapi.Response{}, fmt.Errorf("asking pod %s: %w", pod.Name, err)
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, way.timeout)
	defer cancel()
	response, err := way.post(ctx, pod, body)
	if err != nil {
		return sidecarapi.Response{}, way.unreachable(pod, why(err))
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, sidecarapi.MaxReply+1))
	if err != nil {
		return sidecarapi.Response{}, way.unreachable(pod, why(err))
	}
	if response.StatusCode != http.StatusOK {
		return sidecarapi.Response{}, way.refused(pod, response.StatusCode, answer)
	}
	reply, err := a.open(question.Nonce, answer)
	unknown, is := errors.AsType[*sidecarapi.NotUnderstoodError](err)
	kind := response.Header.Get("Content-Type")
	switch {
	case err == nil:
		return reply, nil
	case kind != "" && kind != encryptedType:
		return sidecarapi.Response{}, way.unreachable(pod, foreignContent(kind))
	case is:
		return sidecarapi.Response{}, way.notUnderstood(pod, NotUnderstoodError{
			Why: unknown.Why, Version: unknown.Version, Advice: adviceUpgrade, encrypted: true,
		})
	case errors.Is(err, sidecarapi.ErrEncrypted):
		return sidecarapi.Response{}, way.notUnderstood(pod, NotUnderstoodError{
			Why: notDecrypted, Advice: adviceRestart, encrypted: true,
		})
	}
	return reply, err
}

// encryptedType is the content type of encrypted replies.
const encryptedType = "application/octet-stream"

// refused makes an error of an answer that is no reply. Proxies of meshes and load balancers have answers of their own, which
// say nothing of the sidecar. An answer that nobody is known to give is not understood: the sidecar may be of another version, or
// something else may listen in its place.
func (w Way) refused(pod observe.Pod, status int, answer []byte) error {
	said, isSidecars := sidecarapi.Sentence(answer)
	switch {
	case isSidecars && said == sidecarapi.SaysTooMany:
		closed := w.unreachable(pod, answered(status, answer))
		closed.Advice = adviceRequests
		return closed
	case isSidecars:
		return errors.New("the sidecar " + answered(status, answer))
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest, slices.Contains([]int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout,
	}, status):
		return w.unreachable(pod, ofAnother+answered(status, answer))
	}
	return w.notUnderstood(pod, NotUnderstoodError{Why: foreignAnswer(answered(status, answer)), Advice: advicePort})
}

// UnreachableError says that nothing was heard of a sidecar: whether the pod has the content is not known. Its text is the same
// for the same cause at each attempt.
type UnreachableError struct {
	// Place is where the sidecar was looked for, such as "at 10.0.0.1:27467".
	Place string
	// Why is what came of it, such as "connection refused".
	Why string
	// Advice is a sentence about the way out.
	Advice string
}

// NotUnderstoodError says that what answers for a sidecar is not understood: whether the pod has the content is not known. Its
// text is the same for the same cause at each attempt.
type NotUnderstoodError struct {
	// Place is where the sidecar was asked, such as "at 10.0.0.1:27467".
	Place string
	// Why is what is not understood.
	Why string
	// Version is that of the sidecar, "" if it does not say.
	Version string
	// Advice is a sentence about the way out.
	Advice string

	encrypted bool // the answer was a reply for this installation, so that no other way leads to another one
}

// why names the cause of a failed request in words that do not change from one attempt to the next, as an error's text with
// the port of the connection does.
func why(err error) string {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return noAnswer
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return closedEarly
	}
	// Errors of the network quote nothing of what was received, and the API server says what it says; others may quote.
	_, network := errors.AsType[*net.OpError](err)
	_, said := errors.AsType[saidError](err)
	if !network && !said && strings.Contains(err.Error(), "HTTP") {
		return notHTTP
	}
	cause := err
	for next := errors.Unwrap(cause); next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	const enough = 300
	return truncate.Text(cause.Error(), enough)
}

// answered says that an answer is no reply. Its words are passed on where a sidecar or the proxy of a mesh has them. Where
// something else listens, such as the application itself, they may hold what is in a secret, and the text goes into events.
func answered(status int, answer []byte) string {
	if said, ok := sidecarapi.Sentence(answer); ok {
		return answeredWith(status, said)
	}
	for _, said := range []string{"RBAC: access denied", "upstream connect error", "no healthy upstream", "upstream request timeout"} {
		if bytes.HasPrefix(bytes.TrimSpace(answer), []byte(said)) {
			return answeredWith(status, strconv.Quote(said))
		}
	}
	return answeredForeign(status)
}
