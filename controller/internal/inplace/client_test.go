package inplace_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/controller/internal/inplace"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/sidecarapi"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// sidecar answers requests with a reply that is encrypted for the holder of a digest key.
func sidecar(t *testing.T, digestKey []byte, reply func(sidecarapi.Request) sidecarapi.Response) http.HandlerFunc {
	t.Helper()
	text, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		t.Fatal(err)
	}
	public, err := sidecarapi.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		request, err := sidecarapi.ParseRequest(body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != sidecarapi.Path {
			http.Error(w, fmt.Sprint(r.Method, r.URL.Path, err), http.StatusBadRequest)
			return
		}
		encrypted, err := public.Encrypt(request.Nonce, reply(request))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(encrypted)
	}
}

// podAt is a pod whose sidecar is the handler.
func podAt(t *testing.T, handler http.Handler) observe.Pod {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return observe.Pod{Namespace: "shop", Name: "web-0", UID: "uid-0", Address: host, Port: int32(port)}
}

func allNew(request sidecarapi.Request) sidecarapi.Response {
	reply := sidecarapi.Response{Result: sidecarapi.Applied, At: time.Now(), Files: map[string]string{}}
	for _, file := range request.Files {
		reply.Files[file] = sidecarapi.Opaque
	}
	return reply
}

func files(n int) inplace.Question {
	want := map[string]string{}
	for i := range n {
		want[fmt.Sprintf("/etc/conf/%d", i)] = ""
	}
	return inplace.Question{Files: want}
}

func TestAsking(t *testing.T) {
	t.Parallel()
	asker := inplace.NewAsker(key(1), inplace.Direct("inpod-system"))
	for name, n := range map[string]int{"no file": 0, "one file": 1, "more files than one question may have": sidecarapi.MaxFiles + 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply, err := asker.Status(t.Context(), podAt(t, sidecar(t, key(1), allNew)), files(n))
			if err != nil || reply.Result != sidecarapi.Applied || len(reply.Files) != n {
				t.Errorf("%s about %d files, %v; want applied about %d", reply.Result, len(reply.Files), err, n)
			}
		})
	}
}

// A question has a length, too.
func TestLongPathsAreSeveralQuestions(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for i := range 300 {
		want[fmt.Sprintf("/etc/conf/%s/%d", strings.Repeat("<", 250), i)] = "" // six bytes each, as JSON has it
	}
	reply, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), podAt(t, sidecar(t, key(1), allNew)), inplace.Question{Files: want})
	if err != nil || reply.Result != sidecarapi.Applied || len(reply.Files) != len(want) {
		t.Errorf("%s about %d files, %v; want applied about %d", reply.Result, len(reply.Files), err, len(want))
	}
}

func TestWhatMovedOnBetweenTwoQuestionsIsPending(t *testing.T) {
	t.Parallel()
	started := time.Now()
	for name, second := range map[string]func(*sidecarapi.Response){
		"another content":         func(r *sidecarapi.Response) { r.Changes++ },
		"another attempt":         func(r *sidecarapi.Response) { r.Attempts++ },
		"another result":          func(r *sidecarapi.Response) { r.Result = sidecarapi.None },
		"another sidecar":         func(r *sidecarapi.Response) { r.Started = started.Add(time.Second) },
		"another one without any": func(r *sidecarapi.Response) { r.Changes, r.Files = 1, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			pod := podAt(t, sidecar(t, key(1), func(request sidecarapi.Request) sidecarapi.Response {
				reply := allNew(request)
				reply.Started = started
				if asked++; asked == 2 {
					second(&reply)
				}
				return reply
			}))
			reply, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(2*sidecarapi.MaxFiles+1))
			if err != nil || reply.Result != sidecarapi.Pending {
				t.Errorf("%s, %v; want pending", reply.Result, err)
			}
		})
	}
}

// Who answers in the place of a sidecar can say anything, and nothing of it may stop the controller.
func TestRepliesWithoutFiles(t *testing.T) {
	t.Parallel()
	pod := podAt(t, sidecar(t, key(1), func(sidecarapi.Request) sidecarapi.Response { return sidecarapi.Response{Result: sidecarapi.Applied} }))
	reply, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(sidecarapi.MaxFiles+1))
	if err != nil || len(reply.Files) != 0 {
		t.Errorf("%+v, %v; want no files", reply, err)
	}
}

func TestTheNewestVolumeCounts(t *testing.T) {
	t.Parallel()
	newest := time.Now().UTC()
	pod := podAt(t, sidecar(t, key(1), func(request sidecarapi.Request) sidecarapi.Response {
		reply := allNew(request)
		if reply.Changed = newest.Add(-time.Hour); len(request.Files) > 1 {
			reply.Changed = newest
		}
		return reply
	}))
	reply, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(sidecarapi.MaxFiles+1))
	if err != nil || !reply.Changed.Equal(newest) {
		t.Errorf("changed at %s, %v; want %s", reply.Changed, err, newest)
	}
}

// unheard is how an error says that nothing is known of a pod.
type unheard string

const (
	heard         unheard = "" // the sidecar has said something that is understood
	unreachable   unheard = "unreachable"
	notUnderstood unheard = "not understood"
)

func unheardBy(err error) unheard {
	_, isUnreachable := errors.AsType[*inplace.UnreachableError](err)
	_, isNotUnderstood := errors.AsType[*inplace.NotUnderstoodError](err)
	switch {
	case isUnreachable:
		return unreachable
	case isNotUnderstood:
		return notUnderstood
	}
	return heard
}

func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }
	}
	hijack := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(connection, text)
				_ = connection.Close()
			}
		}
	}
	replies := func(reply sidecarapi.Response) http.HandlerFunc {
		return sidecar(t, key(1), func(sidecarapi.Request) sidecarapi.Response { return reply })
	}
	for name, c := range map[string]struct {
		handler     http.HandlerFunc
		wantUnheard unheard
		want        string
	}{
		"a sidecar without a key":                {says(http.StatusNotFound, sidecarapi.SaysNoKey), heard, "404: " + sidecarapi.SaysNoKey},
		"a sidecar that does not watch the file": {says(http.StatusBadRequest, sidecarapi.SaysNotWatched+`"/etc/a"; watched are none`), heard, `400: nothing watches "/etc/a"; watched are none`},
		"a sidecar that has just started":        {says(http.StatusServiceUnavailable, sidecarapi.SaysNotYet), heard, "the sidecar answers 503"},
		"a sidecar that is asked all the time":   {says(http.StatusTooManyRequests, sidecarapi.SaysTooMany), unreachable, "answers 429: too many requests"},
		"a sidecar of another installation":      {sidecar(t, key(2), allNew), notUnderstood, "it cannot be decrypted"},
		"a result of a later version":            {replies(sidecarapi.Response{Result: "queued"}), notUnderstood, `it has the unknown result "queued"`},
		"a later version that says which it is":  {replies(sidecarapi.Response{Result: "queued", Version: "v9.1"}), notUnderstood, "the sidecar has version v9.1"},
		"a digest of a later version":            {replies(sidecarapi.Response{Result: sidecarapi.Applied, Files: map[string]string{"/etc/conf/0": "sha512"}}), notUnderstood, `it has no digest for "/etc/conf/0"`},
		"more than fits":                         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, sidecarapi.MaxReply+100)) }, notUnderstood, "more than"},
		"a refusal of a later version":           {says(http.StatusBadRequest, "this request is of the first form, which is not spoken any more"), notUnderstood, "answers 400 (text withheld"},
		"a page of another program":              {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, unreachable, `something else answers with content type "text/html`},
		"bytes of another program":               {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) }, notUnderstood, "it cannot be decrypted"},
		"another program has no such page":       {http.NotFound, notUnderstood, "the program that listens there answers 404"},
		"another program wants another method":   {says(http.StatusMethodNotAllowed, ""), notUnderstood, "answers 405"},
		"another program says that it is busy":   {says(http.StatusTooManyRequests, ""), notUnderstood, "answers 429"},
		"another program fails":                  {says(http.StatusInternalServerError, ""), notUnderstood, "answers 500"},
		"another program has nothing to say":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, notUnderstood, "answers 204"},
		"a status that nobody knows":             {says(799, ""), notUnderstood, "answers 799"},
		"words that no sidecar says":             {says(http.StatusBadRequest, "\x1b[2J\xff debug page: password=hunter2"), notUnderstood, "answers 400 (text withheld"},
		"a header that is no HTTP":               {hijack("HTTP/1.1 200 OK\r\npassword hunter2\r\n\r\n"), unreachable, "the answer is not HTTP"},
		"a line that is no HTTP":                 {hijack("password=hunter2\r\n"), unreachable, "the answer is not HTTP"},
		"what answers leads elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, unreachable, "302"},
		"what is in between wants to be signed in": {says(http.StatusUnauthorized, ""), unreachable, "401"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, texts := podAt(t, c.handler), map[string]bool{}
			for range 2 {
				_, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(1))
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("error: %v, want one with %q and without anything of the application", err, c.want)
				}
				if got := unheardBy(err); got != c.wantUnheard {
					t.Errorf("%v: it counts as %q, want %q", err, got, c.wantUnheard)
				}
				texts[err.Error()] = true
			}
			if len(texts) != 1 {
				t.Errorf("texts %v, want one: it goes into an event", texts)
			}
		})
	}
}

func isUnreachable(err error) bool { return unheardBy(err) == unreachable }

// raw is a pod at whose port each connection is handled by a function.
func raw(t *testing.T, handle func(net.Conn)) observe.Pod {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			handle(c)
		}
	}()
	address, _ := listener.Addr().(*net.TCPAddr)
	return observe.Pod{Namespace: "shop", Name: "web-0", UID: "uid-0", Address: "127.0.0.1", Port: int32(address.Port)}
}

// question takes a question off a connection, all of it: what is left unread would reset the connection when that is closed.
func question(c net.Conn) {
	request, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		_, _ = io.Copy(io.Discard, request.Body)
	}
}

// Whatever stands in the way of the question says nothing of the pod, and says so in the same words each time: the text goes into
// an event.
func TestWhatNothingIsHeardOfIsUnreachable(t *testing.T) {
	t.Parallel()
	status := func(code int, text string) func(t *testing.T) observe.Pod {
		return func(t *testing.T) observe.Pod {
			return podAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, code) }))
		}
	}
	for name, c := range map[string]struct {
		pod  func(t *testing.T) observe.Pod
		want string
	}{
		"nobody listens": {func(t *testing.T) observe.Pod {
			server := httptest.NewServer(http.NotFoundHandler())
			defer server.Close()
			address, _ := server.Listener.Addr().(*net.TCPAddr)
			return observe.Pod{Name: "web-0", Address: "127.0.0.1", Port: int32(address.Port)}
		}, "connection refused"},
		"the connection is reset": {func(t *testing.T) observe.Pod {
			return raw(t, func(c net.Conn) {
				question(c)
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			})
		}, "connection reset by peer"},
		"the connection is closed": {func(t *testing.T) observe.Pod {
			return raw(t, func(c net.Conn) {
				question(c)
				_ = c.Close()
			})
		}, "the connection was closed without an answer"},
		"a mesh wants TLS": {func(t *testing.T) observe.Pod {
			return raw(t, func(c net.Conn) {
				question(c)
				_, _ = c.Write([]byte("\x15\x03\x01\x00\x02\x02\x16"))
				_ = c.Close()
			})
		}, "the answer is not HTTP; it may be the TLS of a service mesh"},
		"a mesh forbids it":            {status(http.StatusForbidden, "RBAC: access denied"), `something else answers 403: "RBAC: access denied"`},
		"the proxy of a mesh is alone": {status(http.StatusServiceUnavailable, "upstream connect error"), `something else answers 503: "upstream connect error"`},
		"a gateway is alone":           {status(http.StatusBadGateway, ""), "something else answers 502"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, texts := c.pod(t), map[string]bool{}
			for range 3 {
				_, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(1))
				closed, is := errors.AsType[*inplace.UnreachableError](err)
				if !is || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error: %v, want that it is unreachable, with %q", err, c.want)
				}
				texts[err.Error()] = true
				for _, part := range []string{"NetworkPolicy", "mesh", strconv.Itoa(int(pod.Port)), "inpod-system", "--confirm-through"} {
					if !strings.Contains(closed.Advice, part) {
						t.Errorf("advice %q, want %q in it", closed.Advice, part)
					}
				}
			}
			if len(texts) != 1 {
				t.Errorf("texts %v, want one", texts)
			}
		})
	}
}

func TestADroppedPacketIsNoAnswerInTime(t *testing.T) {
	t.Parallel()
	pod := raw(t, func(c net.Conn) { t.Cleanup(func() { _ = c.Close() }) }) // it takes the question, and says nothing
	_, err := inplace.NewAsker(key(1), inplace.Direct("inpod-system")).Status(t.Context(), pod, files(1))
	if !isUnreachable(err) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("error: %v", err)
	}
}

func TestANudgeIsAPatchOfTheStatus(t *testing.T) {
	t.Parallel()
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		answer error
		want   bool
	}{
		"taken":               {nil, false},
		"the pod is gone":     {apierrors.NewNotFound(pods, "web-0"), false},
		"another of its name": {apierrors.NewConflict(pods, "web-0", nil), false},
		"not allowed":         {apierrors.NewForbidden(pods, "web-0", nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewSimpleMetadataClient(fake.NewTestScheme())
			var got clienttesting.PatchAction
			client.PrependReactor("patch", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
				got = action.(clienttesting.PatchAction)
				return true, nil, c.answer
			})
			nudger := &inplace.Nudger{Client: client, FieldManager: "inpod"}
			err := nudger.Nudge(t.Context(), observe.Pod{Namespace: "shop", Name: "web-0", UID: "uid-0"}, "t1.0")
			if (err != nil) != c.want {
				t.Errorf("error: %v", err)
			}
			if got.GetSubresource() != "status" || got.GetNamespace() != "shop" || got.GetName() != "web-0" {
				t.Errorf("patched %s of %s/%s", got.GetSubresource(), got.GetNamespace(), got.GetName())
			}
			want := `{"metadata":{"annotations":{"` + annotation.Nudge + `":"t1.0"},"uid":"uid-0"}}`
			if string(got.GetPatch()) != want {
				t.Errorf("patch %s, want %s", got.GetPatch(), want)
			}
		})
	}
}

// A pod that was created with a former digest key answers as ever; one of a key that nobody knows raises a doubt.
func TestPodsOfFormerDigestKeysAreUnderstood(t *testing.T) {
	t.Parallel()
	foreign := 0
	asker := inplace.NewAsker(key(1), inplace.Direct("inpod-system"))
	asker.Foreign = func() { foreign++ }
	for next := byte(2); next <= 4; next++ {
		asker.SetKey(key(next))
		asker.SetKey(key(next)) // again, which forgets none
	}
	for from := byte(1); from <= 5; from++ {
		_, err := asker.Status(t.Context(), podAt(t, sidecar(t, key(from), allNew)), files(1))
		if known := from <= 4; (err == nil) != known {
			t.Errorf("key %d: %v", from, err)
		}
	}
	if foreign != 1 {
		t.Errorf("%d replies of a key that nobody knows, want 1", foreign)
	}
	asker.SetKey(key(5))
	if _, err := asker.Status(t.Context(), podAt(t, sidecar(t, key(1), allNew)), files(1)); err == nil {
		t.Error("keys are kept without end")
	}
}
