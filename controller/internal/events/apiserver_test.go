package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// apiServer is what an API server does with Events. client-go's fake one cannot take its time inside a bubble, as it
// holds a mutex meanwhile.
type apiServer struct {
	takes       time.Duration // for each request
	failures    int           // how many requests fail from now on, with the error failure
	failure     error
	refuse      func(*corev1.Event) error // nil or what is wrong with an Event that is created
	loseAnswers int                       // how many requests from now on work, and time out on their way back

	mu       sync.Mutex
	events   map[string]*corev1.Event // by namespace/name
	requests []string
}

// slow lets each request take a time.
func slow(takes time.Duration) func(*apiServer) { return func(s *apiServer) { s.takes = takes } }

// failing answers the first requests with an error.
func failing(err error, times int) func(*apiServer) {
	return func(s *apiServer) { s.failures, s.failure = times, err }
}

var errAway = errors.New("the API server is away")

// written are the events in the cluster.
func (s *apiServer) written() []corev1.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []corev1.Event
	for _, e := range s.events {
		all = append(all, *e)
	}
	return all
}

// sent are the verbs of what was asked for.
func (s *apiServer) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// forget does what the API server does after an hour.
func (s *apiServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.events)
}

// Events implements [typedcorev1.EventsGetter].
func (s *apiServer) Events(namespace string) typedcorev1.EventInterface {
	return client{server: s, namespace: namespace}
}

type client struct {
	typedcorev1.EventInterface // nil: what is not below is not used

	server    *apiServer
	namespace string
}

func (c client) Create(ctx context.Context, e *corev1.Event, _ metav1.CreateOptions) (*corev1.Event, error) {
	return c.server.handle(ctx, "create", func(events map[string]*corev1.Event) (*corev1.Event, error) {
		if c.server.refuse != nil {
			if err := c.server.refuse(e); err != nil {
				return nil, err
			}
		}
		key := c.namespace + "/" + e.Name
		if _, exists := events[key]; exists {
			return nil, apierrors.NewAlreadyExists(corev1.Resource("events"), e.Name)
		}
		events[key] = e.DeepCopy()
		return e, nil
	})
}

func (c client) Patch(
	ctx context.Context, name string, form types.PatchType, body []byte, _ metav1.PatchOptions, _ ...string,
) (*corev1.Event, error) {
	return c.server.handle(ctx, "patch", func(events map[string]*corev1.Event) (*corev1.Event, error) {
		e, exists := events[c.namespace+"/"+name]
		if !exists {
			return nil, apierrors.NewNotFound(corev1.Resource("events"), name)
		}
		if form != types.MergePatchType {
			return nil, apierrors.NewBadRequest("not a merge patch")
		}
		return e, json.Unmarshal(body, e) // the same as a merge where there are no lists and no nulls
	})
}

func (s *apiServer) handle(
	ctx context.Context, verb string, do func(map[string]*corev1.Event) (*corev1.Event, error),
) (*corev1.Event, error) {
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, verb)
	if s.failures > 0 {
		s.failures--
		return nil, s.failure
	}
	e, err := do(s.events)
	if s.loseAnswers > 0 {
		s.loseAnswers--
		return nil, apierrors.NewTimeoutError("the answer is lost", 0)
	}
	return e, err
}
