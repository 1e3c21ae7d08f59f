package admission_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

// What the chart gives the injector, and what it has the runtime keep to.
const (
	memoryLimit = 128 << 20
	goMemLimit  = "GOMEMLIMIT=120795955" // nine tenths
)

// asFloodServer is set in the environment of the process that is flooded: this program again, so that the memory of the clients
// is not counted.
const asFloodServer = "INPOD_TEST_FLOOD_SERVER"

func TestFloodServer(t *testing.T) {
	if os.Getenv(asFloodServer) == "" {
		t.Log("nothing to do: TestAFloodTakesNoMemoryAndKeepsNobodyWaiting starts this test in a process of its own")
		return
	}
	w := newWebhook()
	w.Inject = inject.Inject
	fmt.Printf("port %s\n", serveReviews(t, w))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the other process is done
}

// flooded is the process that is flooded.
type flooded struct {
	port string
	pid  int
}

func startFlooded(tb testing.TB) flooded {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^TestFloodServer$")
	command.Env = append(os.Environ(), asFloodServer+"=1", goMemLimit)
	in, err := command.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := command.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = in.Close()
		_ = command.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if port, ok := strings.CutPrefix(lines.Text(), "port "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return flooded{port, command.Process.Pid}
		}
	}
	tb.Fatal("the server has not started")
	return flooded{}
}

// peak is the most memory that the process had at a time, in bytes, without the pages of its own file: the kernel takes these
// back when memory is short, before it ends a process.
func (f flooded) peak(tb testing.TB) int64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", f.pid))
	if err != nil {
		tb.Fatal(err)
	}
	sizes := map[string]int64{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
			sizes[name] = n << 10
		}
	}
	if sizes["VmHWM"] == 0 {
		tb.Fatal("the kernel does not say how much memory a process had")
	}
	return sizes["VmHWM"] - sizes["RssFile"]
}

func send(ctx context.Context, client *http.Client, port string, body []byte, isChunked bool) (status int, answer []byte) {
	var from io.Reader = bytes.NewReader(body)
	if isChunked {
		from = io.MultiReader(from)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://127.0.0.1:"+port+admission.PathPods, from)
	if err != nil {
		return 0, nil
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return 0, nil
	}
	return response.StatusCode, answer
}

// flood has ten addresses post what costs most until the test ends: 7 MB with a length and without one, 3 MB, which is read, the same
// in an environment that a sidecar with a command would get, and as many tiny containers as are read. It returns how many reviews were posted.
func (f flooded) flood(t *testing.T) (posted *atomic.Int64, stop func()) {
	t.Helper()
	large := func(size int) []byte {
		review := request(strings.Replace(asks, `"annotations": {`, `"annotations": {"example.com/large": "`+strings.Repeat("x", size)+`", `, 1))
		body, err := json.Marshal(review)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	tiny := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"shop","operation":"CREATE",` +
		`"resource":{"version":"v1","resource":"pods"},"object":{"metadata":{"annotations":{"inpod.dev/inject":"enabled"}},"spec":{"containers":[` +
		strings.Repeat("{},", 7_900) + `{}]}}}}`)
	environment := func(size int) []byte {
		pod := strings.Replace(strings.Replace(asks, `reload-url": "http://127.0.0.1/reload"`, `reload-command": "[\"x\"]"`, 1), `"image": "nginx"`,
			`"image": "nginx", "env": [{"name": "A", "value": "`+strings.Repeat("<", size)+`"}]`, 1)
		return []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","namespace":"shop","operation":"CREATE",` +
			`"resource":{"version":"v1","resource":"pods"},"object":` + pod + `}}`)
	}
	bodies := [][]byte{large(7 << 20), large(3<<20 - 64<<10), environment(3<<20 - 64<<10), environment(60 << 10), tiny, append(bytes.Repeat([]byte(" "), 3<<20-64<<10), tiny...)}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	posted = &atomic.Int64{}
	for address := range 10 {
		for connection := range 4 {
			client := clientAt(t, fmt.Sprintf("127.0.1.%d", address+1))
			clients.Go(func() {
				for i := connection; ctx.Err() == nil; i++ {
					send(ctx, client, f.port, bodies[i%len(bodies)], i/len(bodies)%2 == 1)
					posted.Add(1)
				}
			})
		}
	}
	return posted, func() { cancel(); clients.Wait() }
}

// Ten clients post 7 MB pods, and pods of tiny containers, as fast as they can. Others are answered, and the memory stays below
// the limit of the chart. How long an answer takes is printed: it means something on an idle machine with more processors than
// clients.
func TestAFloodTakesNoMemoryAndKeepsNobodyWaiting(t *testing.T) {
	server := startFlooded(t)
	body, err := json.Marshal(request(asks))
	if err != nil {
		t.Fatal(err)
	}
	client := clientAt(t, "127.0.0.2")
	const times = 300
	ask := func(enough func() bool) (took []time.Duration) {
		for len(took) < times || !enough() {
			began := time.Now()
			status, answer := send(t.Context(), client, server.port, body, false)
			took = append(took, time.Since(began))
			if status != http.StatusOK || !bytes.Contains(answer, []byte(`"patch"`)) {
				t.Fatalf("%d %s", status, answer)
			}
		}
		slices.Sort(took)
		return took
	}
	report := func(when string, took []time.Duration) {
		t.Logf("%s: median %s, 99th percentile %s, peak memory %.1f MiB", when, took[len(took)/2].Round(10*time.Microsecond),
			took[len(took)*99/100].Round(10*time.Microsecond), float64(server.peak(t))/(1<<20))
	}
	report("before", ask(func() bool { return true }))
	posted, stop := server.flood(t)
	report("during the flood", ask(func() bool { return posted.Load() >= 200 }))
	stop()
	t.Logf("%d reviews were posted", posted.Load())
	switch peak := server.peak(t); {
	case isRace:
		t.Log("memory is not judged: the race detector takes several times as much")
	case peak > memoryLimit:
		t.Errorf("the server had %d bytes, and the limit of the chart is %d", peak, memoryLimit)
	}
}
