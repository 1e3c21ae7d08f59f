package alert

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// transport answers requests in a bubble: with 200, or not at all while the receiver is away.
type transport struct {
	away  atomic.Bool
	tries atomic.Int64

	mu               sync.Mutex
	underWay, atMost int
}

func (r *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	r.tries.Add(1)
	r.count(1)
	defer r.count(-1)
	if r.away.Load() {
		<-request.Context().Done() // a dropped packet: nobody refuses the connection
		return nil, request.Context().Err()
	}
	time.Sleep(100 * time.Millisecond)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: request}, nil
}

func (r *transport) count(more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.underWay += more
	r.atMost = max(r.atMost, r.underWay)
}

func posterTo(t *testing.T, r *transport) *Poster {
	t.Helper()
	p, err := NewPoster("http://example.com/secret-token", "")
	if err != nil {
		t.Fatal(err)
	}
	p.client.HTTPClient.Transport = r
	return p
}

func TestAReceiverThatIsAwayIsNotWaitedForEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &transport{}
		p := posterTo(t, r)
		post := func() (time.Duration, error) {
			bounded, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			begin := time.Now()
			err := p.Post(bounded, Body{Type: "text/plain", Bytes: []byte("x")})
			return time.Since(begin), err
		}
		if _, err := post(); err != nil {
			t.Fatal(err)
		}
		r.away.Store(true)
		waited, begin := time.Duration(0), time.Now()
		for time.Since(begin) < time.Hour {
			took, err := post()
			if err == nil {
				t.Fatal("it is away, and takes a post")
			}
			waited += took
			time.Sleep(time.Second)
		}
		// Three at first, and then one each minute or so.
		if limit := 20 * time.Minute; waited > limit {
			t.Errorf("%s of an hour were spent on waiting, want less than %s", waited, limit)
		}
		r.away.Store(false)
		time.Sleep(lastAway)
		for range 3 {
			if _, err := post(); err != nil {
				t.Errorf("it is back: %v", err)
			}
		}
	})
}

func TestARefusalIsAnAnswer(t *testing.T) {
	t.Parallel()
	r := &receiver{statuses: []int{http.StatusForbidden}}
	p, _ := poster(t, r)
	for range 2 * tolerated {
		if err := p.Post(t.Context(), Body{Type: "text/plain"}); err == nil || errors.As(err, new(*AwayError)) {
			t.Errorf("%v, want the refusal", err)
		}
	}
}

func TestFewPostsAreUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &transport{}
		p := posterTo(t, r)
		var posts sync.WaitGroup
		for range 100 {
			posts.Go(func() {
				if err := p.Post(t.Context(), Body{Type: "text/plain"}); err != nil {
					t.Error(err)
				}
			})
		}
		posts.Wait()
		if r.atMost != maxPosts {
			t.Errorf("%d posts at the same time, want %d", r.atMost, maxPosts)
		}
	})
}

func TestAlertsWaitForTheirReceiver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &transport{}
		a := alerter(t, posterTo(t, r))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { a.Run(ctx) })
		r.away.Store(true)
		for range 100 {
			a.Send(message())
		}
		time.Sleep(10 * time.Minute)
		lost := counted(t, a, "failed")
		if lost > 15 {
			t.Errorf("%v of 100 alerts were given up in ten minutes without a receiver", lost)
		}
		r.away.Store(false)
		time.Sleep(5 * time.Minute)
		if delivered, lost := counted(t, a, "delivered"), counted(t, a, "failed"); delivered+lost != 100 {
			t.Errorf("%v delivered and %v given up, of 100", delivered, lost)
		}
		r.away.Store(true)
		for range 100 {
			a.Send(message())
		}
		time.Sleep(5 * time.Minute)
		begin := time.Now()
		stop()
		running.Wait()
		if took := time.Since(begin); took > flushTime {
			t.Errorf("the stop took %s, want at most %s", took, flushTime)
		}
	})
}
