package events_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/controller/internal/events"
)

const soon = time.Second

// desk is a writer at work, with the API server that it writes to.
type desk struct {
	*events.Writer

	api      *apiServer
	registry *prometheus.Registry
	log      *bytes.Buffer // read it when the writer has stopped
	stop     func()        // asks the writer to stop and waits
}

// open starts a writer in a bubble. before may set the API server up.
func open(t *testing.T, before ...func(*apiServer)) *desk {
	t.Helper()
	d := &desk{api: &apiServer{events: map[string]*corev1.Event{}}, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	for _, set := range before {
		set(d.api)
	}
	d.Writer = events.New(events.Options{
		Client: d.api, Component: "inpod", Registerer: d.registry,
		Log: slog.New(slog.NewTextHandler(d.log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	d.stop = func() { cancel(); running.Wait() }
	t.Cleanup(d.stop)
	return d
}

// lost is what the metric says.
func (d *desk) lost(t *testing.T) float64 {
	t.Helper()
	families, err := d.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "inpod_events_total" && m.GetLabel()[0].GetValue() == "lost" {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatal("no metric inpod_events_total with result lost")
	return 0
}

func web() *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Deployment", APIVersion: "apps/v1", Namespace: "shop", Name: "web", UID: "uid-of-web"}
}

func TestWhatIsEmittedIsWrittenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		at := time.Now()
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "Rolling update started")
		time.Sleep(soon)
		got := d.api.written()
		if len(got) != 1 {
			t.Fatalf("%d events, want 1", len(got))
		}
		want := corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("web.%x", at.UnixNano())},
			InvolvedObject: *web(),
			Type:           "Normal", Reason: "Reloaded", Message: "Rolling update started", Count: 1,
			FirstTimestamp: metav1.NewTime(at), LastTimestamp: metav1.NewTime(at),
			Source: corev1.EventSource{Component: "inpod"}, ReportingController: "inpod",
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		if verbs := d.api.sent(); !cmp.Equal(verbs, []string{"create"}) {
			t.Errorf("requests %v, want one create", verbs)
		}
	})
}

func TestARepetitionIsCountedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		first := time.Now()
		for range 3 {
			d.Emit(web(), corev1.EventTypeWarning, "ReloadFail", "refused")
			time.Sleep(time.Minute)
		}
		got := d.api.written()
		if len(got) != 1 || got[0].Count != 3 {
			t.Fatalf("want one event with count 3: %v", got)
		}
		if !got[0].FirstTimestamp.Time.Equal(first) || !got[0].LastTimestamp.Time.Equal(first.Add(2*time.Minute)) {
			t.Errorf("first %s, last %s, want %s and 2 minutes later", got[0].FirstTimestamp, got[0].LastTimestamp, first)
		}
		if verbs := d.api.sent(); !cmp.Equal(verbs, []string{"create", "patch", "patch"}) {
			t.Errorf("requests %v, want one create and two patches", verbs)
		}
	})
}

// What is so for long is reported by each process that sees it, in other words maybe, and is one Event for as long as the API server
// keeps it.
func TestAStateIsOneEventAcrossRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first := open(t)
		first.State(web(), corev1.EventTypeWarning, "InvalidAnnotation", "value", "no")
		time.Sleep(soon)
		first.stop()
		second := open(t, func(s *apiServer) { s.events = first.api.events })
		second.State(web(), corev1.EventTypeWarning, "InvalidAnnotation", "value", "no")
		second.State(web(), corev1.EventTypeWarning, "InvalidAnnotation", "other value", "another")
		second.State(web(), corev1.EventTypeWarning, "InvalidAnnotation", "value", "no, says another pod")
		time.Sleep(soon)
		if events := second.api.written(); len(events) != 2 {
			t.Errorf("%d events, want 2", len(events))
		}
		second.api.forget()
		third := open(t, func(s *apiServer) { s.events = second.api.events })
		third.State(web(), corev1.EventTypeWarning, "InvalidAnnotation", "value", "no")
		time.Sleep(soon)
		if events := third.api.written(); len(events) != 1 {
			t.Errorf("%d events after the API server has dropped them, want 1", len(events))
		}
	})
}

// Equal ones that come faster than they can be written wait as one.
func TestABurstOfOneEventIsFewRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, slow(100*time.Millisecond))
		for range 1000 {
			d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "same")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(soon)
		got := d.api.written()
		if len(got) != 1 || got[0].Count != 1000 {
			t.Fatalf("want one event with count 1000, got %d events: %v", len(got), got)
		}
		if n := len(d.api.sent()); n > 15 {
			t.Errorf("%d requests for one second of 100 ms each", n)
		}
	})
}

func TestABurstOfManyEventsIsWrittenWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many = 2000
		d := open(t, slow(5*time.Millisecond))
		begin := time.Now()
		for i := range many {
			about := web()
			about.Name = fmt.Sprintf("web-%d", i)
			d.Emit(about, corev1.EventTypeNormal, "Reloaded", "Rolling update started")
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("Emit took %s: it must not wait for the API server", took)
		}
		time.Sleep(time.Minute)
		if got := d.api.written(); len(got) != many {
			t.Errorf("%d events were written, want %d", len(got), many)
		}
		if lost := d.lost(t); lost != 0 {
			t.Errorf("%v events were lost", lost)
		}
	})
}

func TestMemoryStaysBoundedWhileNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, failing(apierrors.NewInternalError(errAway), 1<<30))
		const tooMany = 10_500
		for i := range tooMany {
			d.Emit(web(), corev1.EventTypeNormal, "Reloaded", strconv.Itoa(i))
		}
		if lost := d.lost(t); lost != 500 {
			t.Errorf("%v events were given up, want 500", lost)
		}
		d.stop()
		if lost := d.lost(t); lost != tooMany {
			t.Errorf("%v events were lost in the end, want %d", lost, tooMany)
		}
		if n := strings.Count(d.log.String(), "\n"); n > 3 {
			t.Errorf("%d lines of log:\n%s", n, d.log)
		}
	})
}

func TestWhatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, failing(apierrors.NewInternalError(errAway), 5))
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(time.Minute)
		if got := d.api.written(); len(got) != 1 {
			t.Errorf("%d events were written, want 1", len(got))
		}
	})
}

// One event that cannot be written does not keep the others.
func TestAFailureConcernsOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, func(api *apiServer) {
			api.refuse = func(e *corev1.Event) error {
				if e.InvolvedObject.Name == "bad" {
					return apierrors.NewInternalError(errAway)
				}
				return nil
			}
		})
		bad := web()
		bad.Name = "bad"
		for i := range 10 {
			d.Emit(bad, corev1.EventTypeNormal, "Reloaded", strconv.Itoa(i))
		}
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(10 * time.Millisecond)
		if got := d.api.written(); len(got) != 1 || got[0].InvolvedObject.Name != "web" {
			t.Errorf("want the event about web, got %v", got)
		}
	})
}

func TestWhatCannotWorkIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "events"}
	for name, err := range map[string]error{
		"the right is missing, or the namespace is going": apierrors.NewForbidden(resource, "x", errAway),
		"the namespace is gone":                           apierrors.NewNotFound(resource, "x"),
		"the event is not valid":                          apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "x", nil),
		"the event is too large":                          apierrors.NewRequestEntityTooLargeError("x"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := open(t, failing(err, 1<<30))
				d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
				time.Sleep(time.Minute)
				if verbs := d.api.sent(); !cmp.Equal(verbs, []string{"create"}) {
					t.Errorf("requests %v, want one create", verbs)
				}
				if lost := d.lost(t); lost != 1 {
					t.Errorf("%v lost, want 1", lost)
				}
			})
		})
	}
}

func TestWhatStaysUnwrittenForLongIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, failing(apierrors.NewInternalError(errAway), 1<<30))
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(time.Hour)
		sent := len(d.api.sent())
		time.Sleep(time.Hour)
		if more := len(d.api.sent()) - sent; more > 0 {
			t.Errorf("%d attempts after an hour", more)
		}
		if lost := d.lost(t); lost != 1 {
			t.Errorf("%v lost, want 1", lost)
		}
	})
}

// The API server forgets an Event after an hour.
func TestAnEventThatIsGoneIsCreatedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(time.Hour)
		d.api.forget()
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(soon)
		if got := d.api.written(); len(got) != 1 || got[0].Count != 1 {
			t.Errorf("want one new event with count 1, got %v", got)
		}
	})
}

// An attempt that worked although its answer was lost is not made a second event.
func TestAnAnswerThatIsLostCausesNoSecondEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, func(api *apiServer) { api.loseAnswers = 1 })
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(soon)
		if got := d.api.written(); len(got) != 1 {
			t.Errorf("want one event, got %v", got)
		}
		if lost := d.lost(t); lost != 0 {
			t.Errorf("%v lost, want 0", lost)
		}
	})
}

func TestStoppingWritesWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, slow(10*time.Millisecond))
		for i := range 200 {
			d.Emit(web(), corev1.EventTypeNormal, "Reloaded", strconv.Itoa(i))
		}
		d.stop()
		if got := d.api.written(); len(got) != 200 {
			t.Errorf("%d events were written, want 200", len(got))
		}
	})
}

func TestStoppingTriesOnceMoreWhatHasFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, failing(apierrors.NewInternalError(errAway), 1))
		d.Emit(web(), corev1.EventTypeNormal, "Reloaded", "x")
		synctest.Wait() // the first attempt has failed, the second one waits
		d.stop()
		if got := d.api.written(); len(got) != 1 {
			t.Errorf("%d events were written, want 1", len(got))
		}
	})
}

func TestStoppingDoesNotTakeForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, slow(time.Second))
		for i := range 100 {
			d.Emit(web(), corev1.EventTypeNormal, "Reloaded", strconv.Itoa(i))
		}
		begin := time.Now()
		d.stop()
		if took := time.Since(begin); took > 7*time.Second {
			t.Errorf("stopping took %s", took)
		}
		if !strings.Contains(d.log.String(), "writing event failed") {
			t.Errorf("the log does not say it:\n%s", d.log)
		}
	})
}

func TestNamesAreValidForObjectsWithLongNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := open(t)
		about := web()
		about.Name = strings.Repeat("a-", 126) + "a"
		d.Emit(about, corev1.EventTypeNormal, "Reloaded", "x")
		time.Sleep(soon)
		got := d.api.written()
		if len(got) != 1 {
			t.Fatalf("%d events, want 1", len(got))
		}
		if faults := validation.IsDNS1123Subdomain(got[0].Name); len(faults) > 0 {
			t.Errorf("the name %s (%d characters): %v", got[0].Name, len(got[0].Name), faults)
		}
	})
}

func TestMetricsArePromLintClean(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	events.New(events.Options{Client: &apiServer{}, Registerer: registry, Log: slog.New(slog.DiscardHandler)})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
