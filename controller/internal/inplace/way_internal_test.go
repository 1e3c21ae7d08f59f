package inplace

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/sidecarapi"
)

// route is a way that a test makes up.
type route struct {
	place    time.Duration // until there is a place
	connects time.Duration // until it connects; 0 for never
	answers  time.Duration // until the sidecar answers after that
	refuses  bool
	foreign  bool // another program answers
	later    bool // the sidecar is of a version that says what nobody knows
}

// traffic counts attempts to connect: all that were, and those that go on.
type traffic struct{ used, open atomic.Int32 }

func (r route) way(t *testing.T, name string, seen *traffic) Way {
	t.Helper()
	return Way{
		admit: func(ctx context.Context, _ observe.Pod) (func(), error) {
			sleep(ctx, r.place)
			return func() {}, ctx.Err()
		},
		dial: func(ctx context.Context, _ observe.Pod) (net.Conn, error) {
			seen.used.Add(1)
			seen.open.Add(1)
			defer seen.open.Add(-1)
			switch {
			case r.refuses:
				return nil, errors.New("refused")
			case r.connects == 0:
				<-ctx.Done()
				return nil, ctx.Err()
			case !sleep(ctx, r.connects):
				return nil, ctx.Err()
			}
			ours, theirs := net.Pipe()
			go serveSidecar(t, theirs, r)
			return ours, nil
		},
		place:   func(observe.Pod) string { return "by the " + name },
		advice:  func(observe.Pod) string { return "Mend the " + name + "." },
		timeout: askTimeout,
	}
}

var testKey = bytes.Repeat([]byte{1}, 32)

// serveSidecar answers one question, with "applied" unless the route says otherwise.
func serveSidecar(t *testing.T, c net.Conn, r route) {
	defer func() { _ = c.Close() }()
	question, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(question.Body)
	time.Sleep(r.answers)
	request, err := sidecarapi.ParseRequest(body)
	if err != nil {
		t.Error(err)
		return
	}
	text, _ := sidecarapi.PublicKey(testKey)
	public, _ := sidecarapi.ParseKey(text)
	reply := sidecarapi.Response{Result: sidecarapi.Applied, At: time.Now()}
	if r.later {
		reply.Result = "queued"
	}
	encrypted, err := public.Encrypt(request.Nonce, reply)
	if err != nil {
		t.Error(err)
		return
	}
	answer := http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(encrypted)),
		Body: io.NopCloser(bytes.NewReader(encrypted)), Close: true,
	}
	if r.foreign {
		answer.StatusCode = http.StatusNotFound
	}
	_ = answer.Write(c)
}

// Where the network drops what it does not let through, every question by the first way takes as long as any may.
func TestTheSecondWayDoesNotWaitUntilTheFirstGivesUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, second route
		wantTook      time.Duration // at most
		wantSecond    int32         // attempts by it
		wantErr       string
	}{
		"the first connects at once":    {first: route{connects: 1}, wantTook: time.Millisecond},
		"the first never connects":      {second: route{connects: 1}, wantTook: 500 * time.Millisecond, wantSecond: 1},
		"the first is refused":          {first: route{refuses: true}, second: route{connects: 1}, wantTook: time.Millisecond, wantSecond: 1},
		"the first connects, and waits": {first: route{connects: 1, answers: 2 * time.Second}, second: route{connects: 1}, wantTook: 2*time.Second + time.Millisecond},
		"the first waits for a place":   {first: route{place: time.Minute, connects: 1}, second: route{connects: 1}, wantTook: time.Minute + time.Millisecond},
		"the first connects late, and the second never": {
			first: route{connects: time.Second}, wantTook: time.Second + time.Millisecond, wantSecond: 1,
		},
		"another program answers by the first": {
			first: route{connects: 1, foreign: true}, second: route{connects: 1}, wantTook: time.Millisecond, wantSecond: 1,
		},
		"another program answers by the first, and the second is refused": {
			first: route{connects: 1, foreign: true}, second: route{refuses: true}, wantTook: time.Millisecond, wantSecond: 1,
			wantErr: "the answer by the first is not understood: the program that listens there answers 404 (text withheld: " +
				"it may be the application's, and quote a secret)",
		},
		"a later version answers by the first, and says the same by the second": {
			first: route{connects: 1, later: true}, second: route{connects: 1}, wantTook: time.Millisecond,
			wantErr: `the answer by the first is not understood: it has the unknown result "queued"`,
		},
		"neither connects": {
			wantTook: 4 * time.Second, wantSecond: 1,
			wantErr: "the sidecar cannot be reached by the first: no answer in time; by the second: no answer in time",
		},
		"neither connects, and the second says so earlier": {
			second: route{refuses: true}, wantTook: 4 * time.Second, wantSecond: 1,
			wantErr: "the sidecar cannot be reached by the first: no answer in time; by the second: refused",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var first, second traffic
				asker := NewAsker(testKey, c.first.way(t, "first", &first), c.second.way(t, "second", &second))
				began := time.Now()
				reply, err := asker.Status(t.Context(), observe.Pod{Name: "web-0", Address: "10.0.0.1", Port: 27467}, Question{})
				took := time.Since(began)
				synctest.Wait()
				switch {
				case c.wantErr == "" && (err != nil || reply.Result != sidecarapi.Applied):
					t.Errorf("%q, %v; want applied", reply.Result, err)
				case c.wantErr != "" && (err == nil || err.Error() != c.wantErr):
					t.Errorf("error %v, want %s", err, c.wantErr)
				}
				if took > c.wantTook {
					t.Errorf("it took %s, want at most %s", took, c.wantTook)
				}
				if got := second.used.Load(); got != c.wantSecond {
					t.Errorf("%d attempts by the second way, want %d", got, c.wantSecond)
				}
				if n := first.open.Load() + second.open.Load(); n != 0 {
					t.Errorf("%d attempts go on after the answer", n)
				}
			})
		})
	}
}

// A question that hangs costs some 50 KB, and hundreds of workloads may be asked at the same time.
func TestDirectQuestionsHaveSoManyPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		way, got := Direct("inpod-system"), 0
		for range 1000 {
			if _, err := way.enter(ctx, observe.Pod{Namespace: "shop"}); err != nil {
				break
			}
			got++
		}
		if got != directs {
			t.Errorf("%d questions at the same time, want %d", got, directs)
		}
	})
}

// It is not parallel, since it counts the goroutines of the process.
func TestPodsThatWaitToBeAskedHaveNoGoroutine(t *testing.T) { //nolint:paralleltest // see above
	before := runtime.NumGoroutine()
	var most atomic.Int64
	release, full := make(chan struct{}), make(chan struct{}, atOnce)
	var work sync.WaitGroup
	work.Go(func() {
		each(make([]*podReload, 10_000), func(*podReload) {
			select {
			case full <- struct{}{}:
			default:
			}
			<-release
			most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
		})
	})
	for range atOnce {
		<-full
	}
	close(release)
	work.Wait()
	if n := int(most.Load()) - before; n > 10*atOnce {
		t.Errorf("%d goroutines for %d questions at the same time", n, atOnce)
	}
}

// sleep reports whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
