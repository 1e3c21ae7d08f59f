package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/internal/inject"
)

// The cheapest texts that make the most of one element: the price covers each of them, with the copies of growing lists.
func TestAnElementCostsNoMoreThanItsPrice(t *testing.T) {
	const count = maxElements/2 - 10
	for name, text := range map[string]string{
		"empty containers":         `"spec":{"containers":[` + repeated("{}", count) + `]}`,
		"containers that are none": `"spec":{"containers":[` + repeated("null", count) + `]}`,
		"containers of a number":   `"spec":{"initContainers":[` + repeated("1", count) + `]}`,
		"ephemeral containers":     `"spec":{"ephemeralContainers":[` + repeated("{}", count) + `]}`,
		"volumes":                  `"spec":{"volumes":[` + repeated("{}", count) + `]}`,
		"volumes with a source":    `"spec":{"volumes":[` + repeated(`{"projected":{}}`, count/2) + `]}`,
		"container statuses":       `"status":{"containerStatuses":[` + repeated("{}", count) + `]}`,
		"owners":                   `"metadata":{"ownerReferences":[` + repeated("{}", count) + `]}`,
		"annotations":              `"metadata":{"annotations":{` + numbered(count) + `}}`,
		"probes":                   `"spec":{"containers":[` + repeated(`{"livenessProbe":{"httpGet":{}}}`, count/3) + `]}`,
		"environment":              `"spec":{"containers":[{"env":[` + repeated(`{"valueFrom":{"fieldRef":{}}}`, count/3) + `]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":{` + text + `}}}`)
			n := elements(body)
			if n > maxElements {
				t.Fatalf("%d elements are not read at all", n)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := parse(body); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			// Growing lists leave their old copies to the garbage collector, so this is more than what is held at one time.
			t.Logf("%d bytes for each of %d elements", (after.TotalAlloc-before.TotalAlloc)/uint64(n), n)
			if each := int64(after.TotalAlloc-before.TotalAlloc) / int64(n); each > 3*bytesPerElement {
				t.Errorf("%d bytes for each of %d elements, and the price is %d", each, n, bytesPerElement)
			}
		})
	}
}

// The texts that make the longest answers: the price covers each of them, and what has no room is not answered with a patch.
func TestAnAnswerCostsNoMoreThanItsPrice(t *testing.T) {
	for name, tc := range map[string]struct {
		environment string
		wantSidecar bool
	}{
		"as little as can be":                {`{"name":"A"}`, true},
		"signs that HTML has a meaning for":  {`{"name":"A","value":"` + strings.Repeat("<", 60<<10) + `"}`, true},
		"control characters":                 {`{"name":"A","value":"` + strings.Repeat(`\u0001`, 60<<10) + `"}`, true},
		"many variables":                     {repeated(`{"name":"A"}`, 3_500), true},
		"as much as a review may have of it": {`{"name":"A","value":"` + strings.Repeat("<", 3_000_000) + `"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			pod := `{"metadata":{"annotations":{"inpod.dev/inject":"enabled","inpod.dev/reload-command":"[\"x\"]"}},"spec":{"volumes":[{"name":"v","configMap":{"name":"c"}}],` +
				`"containers":[{"name":"web","volumeMounts":[{"name":"v","mountPath":"/etc/web"}],"env":[` + tc.environment + `]}]}}`
			body := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","operation":"CREATE","namespace":"shop","resource":{"version":"v1","resource":"pods"},"object":` + pod + `}}`
			size, hasSidecar := 0, false
			handler := func(room int64, add bool) *Handler {
				h := &Handler{
					Inject: func(pod *corev1.Pod, o inject.Options) (inject.Change, inject.Report) {
						change, report := inject.Inject(pod, o)
						size, hasSidecar = change.Size(), report.Reason == inject.Injected
						if !add {
							change = inject.Change{}
						}
						return change, report
					},
					Options:  inject.Options{NativeSidecars: true, Image: "inpod/sidecar:1", StatusPort: 27467},
					Defaults: func(context.Context, string, string) (map[string]string, error) { return nil, nil },
					Excluded: func(string) bool { return false },
					Metrics:  NewMetrics(prometheus.NewPedanticRegistry()), Log: slog.New(slog.DiscardHandler),
				}
				h.once.Do(h.prepare)
				h.answers = newPool(room)
				return h
			}
			cost := func(h *Handler) (int64, *httptest.ResponseRecorder) {
				answer := httptest.NewRecorder()
				answer.Body = bytes.NewBuffer(make([]byte, 0, 2<<20)) // the connection's
				request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, PathPods, strings.NewReader(body))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				h.ServeHTTP(answer, request)
				runtime.ReadMemStats(&after)
				return int64(after.TotalAlloc - before.TotalAlloc), answer
			}
			nothing, _ := cost(handler(answers, false))
			all, answer := cost(handler(answers, true))
			if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"patch"`) || hasSidecar != tc.wantSidecar {
				t.Fatalf("a sidecar: %v, want %v; %d %.200s", hasSidecar, tc.wantSidecar, answer.Code, answer.Body)
			}
			t.Logf("%d bytes for %d that are added, which are %d for each", all-nothing, size, (all-nothing)/int64(size))
			// Growing texts leave their old copies to the garbage collector, so this is more than what is held at one time. The race
			// detector adds half of it.
			const noise, copies = 64 << 10, 3
			if all-nothing > copies*int64(size)*bytesPerAdded+noise {
				t.Errorf("%d bytes for %d that are added, and the price is %d for each", all-nothing, size, bytesPerAdded)
			}
			// There is room for the pod, and not for the answer.
			if _, answer := cost(handler(1, true)); answer.Code != http.StatusOK || strings.Contains(answer.Body.String(), `"patch"`) || !strings.Contains(answer.Body.String(), `"allowed":true`) {
				t.Errorf("without room %d %.200s", answer.Code, answer.Body)
			}
		})
	}
}

func repeated(text string, count int) string {
	return strings.TrimSuffix(strings.Repeat(text+",", count), ",")
}

func numbered(count int) string {
	var b strings.Builder
	for i := range count {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strconv.Itoa(i) + `":""`)
	}
	return b.String()
}

// Every member and element that a decoder makes is counted, whatever stands in strings.
func FuzzElements(f *testing.F) {
	f.Add(`{"a":[1,2,{"b":"}{[,\"\\"}],"c":{}}`)
	f.Add(`[[],[[]],"",{}]`)
	f.Add(`"\\"`)
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		if strings.Contains(text, "fieldsV1") {
			return // what is below it is left out
		}
		if created, counted := membersOf(value), elements([]byte(text)); created > counted {
			t.Errorf("%q has %d members and elements, counted %d", text, created, counted)
		}
	})
}

func membersOf(value any) int {
	count := 0
	switch v := value.(type) {
	case []any:
		count = len(v)
		for _, e := range v {
			count += membersOf(e)
		}
	case map[string]any:
		count = len(v)
		for _, e := range v {
			count += membersOf(e)
		}
	}
	return count
}

// However callers come and go: no more than the room is out, no caller has more than its part, and all of it comes back.
func TestAPoolIsNeverOverdrawn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2000)
		var mu sync.Mutex
		used, by, refused := int64(0), map[string]int64{}, 0
		var work sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			caller, amount := string(rune('a'+random.IntN(8))), 1+random.Int64N(600) // their parts are twice the room
			start, hold := time.Duration(random.IntN(20000))*time.Millisecond, time.Duration(random.IntN(100))*time.Millisecond
			work.Go(func() {
				time.Sleep(start)
				release, err := p.take(t.Context(), caller, amount)
				if err != nil {
					mu.Lock()
					refused++
					mu.Unlock()
					return
				}
				mu.Lock()
				used, by[caller] = used+amount, by[caller]+amount
				if used > 2000 || by[caller] > 500 {
					t.Errorf("%d are out, %d of them for %s", used, by[caller], caller)
				}
				mu.Unlock()
				time.Sleep(hold)
				mu.Lock()
				used, by[caller] = used-amount, by[caller]-amount
				mu.Unlock()
				release()
				release() // a second time does nothing
			})
		}
		work.Wait()
		if p.used != 0 || len(p.by) != 0 {
			t.Errorf("%d are still out, for %v", p.used, p.by)
		}
		if refused == 0 || refused == 2000 {
			t.Errorf("%d of 2000 were refused", refused)
		}
	})
}

// Whoever holds all of its part keeps nobody else waiting.
func TestOneCallerTakesNothingFromAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(2000)
		release, err := p.take(t.Context(), "greedy", 500)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		began := time.Now()
		if _, err := p.take(t.Context(), "greedy", 1); err == nil || time.Since(began) != patience {
			t.Errorf("more than its part: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		again, err := p.take(t.Context(), "other", 500)
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another caller: %v after %s", err, time.Since(began))
		}
		defer again()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := p.take(gone, "greedy", 1); err == nil {
			t.Error("who has gone still gets room")
		}
	})
}

// As many as there are, they leave room for who asks for little.
func TestManyGreedyCallersLeaveRoomForAModestOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(3200)
		for i := range 10 {
			for _, amount := range []int64{800, 400, 100, 50, 10, 1} {
				for {
					if _, ok := p.try(fmt.Sprint("greedy", i), amount); !ok {
						break
					}
				}
			}
		}
		began := time.Now()
		release, err := p.take(t.Context(), "modest", 100)
		if err != nil || time.Since(began) != 0 {
			t.Fatalf("%v after %s, while %d of %d are out", err, time.Since(began), p.used, p.room)
		}
		release()
	})
}

// A pod that a server-side apply or a controller has made comes with the fields that each of them manages.
func TestWhatManagesFieldsIsNotCounted(t *testing.T) {
	t.Parallel()
	const pod = `{"metadata":{"managedFields":[{"manager":"m","fieldsV1":%s}]},"spec":{"containers":[{},{}]}}`
	without := elements(fmt.Appendf(nil, pod, `{}`))
	for name, fields := range map[string]string{
		"members":             `{"f:a":{"f:b":{},"k:{\"name\":\"x\"}":{".":{},"f:c":{}}}}`,
		"brackets in strings": `{"}]":{},"\"{[,":[{},{}]}`,
		"an empty object":     `{}`,
		"spaces before it":    " \n\t{ \"f:a\" : {} }",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := elements(fmt.Appendf(nil, pod, fields)); got != without {
				t.Errorf("%d, want %d as without any", got, without)
			}
		})
	}
	for name, text := range map[string]string{
		"a value of that name":       `{"a":"fieldsV1","b":[1,2,3]}`,
		"a text under that name":     `{"fieldsV1":"x","b":[1,2,3]}`,
		"a number under that name":   `{"fieldsV1":1,"b":[1,2,3]}`,
		"a text that does not end":   `{"fieldsV1":{"a":[1,2,`,
		"a string that does not end": `{"a`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := elements([]byte(text)); strings.HasSuffix(text, "3]}") && got != 5 {
				t.Errorf("%d elements of %s, want 5", got, text)
			}
		})
	}
}

// Who announces much and sends nothing holds next to nothing: an API server still gets its answers.
func TestAnnouncementsTakeNoRoom(t *testing.T) {
	t.Parallel()
	h := &Handler{bodies: newPool(bodies)}
	for i := range 40 {
		reader, writer := io.Pipe()
		t.Cleanup(func() { _ = writer.Close() })
		go func() { _, _, _ = h.receive(t.Context(), fmt.Sprintf("192.0.2.%d", i), reader) }()
	}
	body, release, err := h.receive(t.Context(), "198.51.100.1", strings.NewReader(strings.Repeat("x", 3<<20)))
	if err != nil || len(body) != 3<<20 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	release()
	if h.bodies.by["198.51.100.1"] != 0 {
		t.Errorf("%d bytes are not given back", h.bodies.by["198.51.100.1"])
	}
}
