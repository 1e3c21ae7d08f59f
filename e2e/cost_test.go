//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// What one edit costs does not depend on how many workloads there are: one PATCH for each that uses the source, one
// event, and nothing is read.
func TestOneEditAmongFiveHundredWorkloadsIsOnePatchAndOneEvent(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"logLevel": "info"}, nil)
	const size = 500
	s.apply(configMap("everybody", "key", "1"), configMap("one", "key", "1"))
	objects := []runtime.Object{deployment("only", volume(ofConfigMap("one"))).idle().annotated(s.keys.auto, "true").object()}
	for i := range size - 1 {
		objects = append(objects, deployment(fmt.Sprintf("app-%d", i), volume(ofConfigMap("everybody"))).idle().annotated(s.keys.auto, "true").object())
	}
	s.applyMany(objects)
	workloads := s.rollouts().workloads()
	if len(workloads) != size {
		t.Fatalf("there are %d workloads, want %d", len(workloads), size)
	}
	s.hasBaseline(workloads...)
	only := framework.Deployment(s.ns, "only")
	pod := s.controllerPod()

	// A watch that the API server ends is begun again with a GET. It does that every five to ten minutes, so that a
	// reading without one is close.
	var calls map[string]float64
	for round := range 3 {
		if calls = s.costOf(pod, only, configMap("one", fmt.Sprintf("key-%d", round), "1")); calls["GET"] == 0 {
			break
		}
	}
	want := map[string]float64{"PATCH": 1, "POST": 1}
	for _, method := range []string{"GET", "PATCH", "POST", "PUT", "DELETE"} {
		if calls[method] != want[method] {
			t.Errorf("%g requests %s, want %g", calls[method], method, want[method])
		}
	}

	// And an edit that concerns everybody is one PATCH for each.
	before := s.rollouts()
	s.apply(configMap("everybody", "key", "2"))
	s.onlyRolled(before, slices.DeleteFunc(workloads, func(w framework.Workload) bool { return w == only })...)
}

// costOf edits a source that one workload uses, and counts the requests of the controller by method. The edit is one that
// was not made before: the same event again would be a PATCH of the first.
func (s *space) costOf(pod string, user framework.Workload, source runtime.Object) map[string]float64 {
	s.t.Helper()
	s.awaitQuiet(pod)
	audit, hasAudit := s.Audit(s.ctx)
	before, rolled := s.requests(pod), s.rollouts()
	reported := len(s.events(user, ""))
	s.apply(source)
	s.rolled(rolled, user)
	s.eventually("the event of the rollout", func() (string, bool) { now := len(s.events(user, "")); return strconv.Itoa(now), now > reported })
	s.awaitQuiet(pod)
	calls := difference(before, s.requests(pod))
	if hasAudit {
		s.onlyPatchAndEvent(audit)
	}
	return calls
}

// applyMany applies independent objects, several at a time.
func (s *space) applyMany(objects []runtime.Object) {
	s.t.Helper()
	const atOnce = 8
	errs := make([]error, atOnce)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			for j := i; j < len(objects) && errs[i] == nil; j += atOnce {
				errs[i] = s.Apply(s.ctx, s.ns, objects[j])
			}
		})
	}
	all.Wait()
	s.must(errors.Join(errs...))
}

// controllerPod returns the name of the only pod of the controller in charge.
func (s *space) controllerPod() string {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, s.Controller())
	s.must(err)
	if len(pods) != 1 {
		s.t.Fatalf("the controller has %d pods, want 1", len(pods))
	}
	return pods[0].Name
}

// requests are those that a controller has sent to the API server, by method.
func (s *space) requests(pod string) map[string]float64 {
	s.t.Helper()
	metrics, err := s.Metrics(s.ctx, s.Namespace, pod)
	s.must(err)
	all := map[string]float64{}
	for _, method := range []string{"GET", "PATCH", "POST", "PUT", "DELETE"} {
		all[method] = metrics.Sum("rest_client_requests_total", "method", method)
	}
	return all
}

// awaitQuiet waits until the controller has sent nothing for longer than it settles: events are sent after the PATCH
// that they report.
func (s *space) awaitQuiet(pod string) {
	s.t.Helper()
	quiet := patience.Stretch(2 * time.Second)
	last, since := s.requests(pod), time.Now()
	err := wait.PollUntilContextCancel(s.ctx, 200*time.Millisecond, false, func(context.Context) (bool, error) {
		now := s.requests(pod)
		if len(difference(last, now)) > 0 {
			last, since = now, time.Now()
		}
		return time.Since(since) > quiet, nil
	})
	s.must(err)
}

func difference(before, after map[string]float64) map[string]float64 {
	all := map[string]float64{}
	for method, count := range after {
		if count != before[method] {
			all[method] = count - before[method]
		}
	}
	return all
}

// onlyPatchAndEvent returns what else the controller in charge asked the API server for.
func (s *space) onlyPatchAndEvent(audit framework.AuditLog) {
	s.t.Helper()
	user := fmt.Sprintf("system:serviceaccount:%s:%s", s.Namespace, s.Controller().Name)
	calls, err := audit.Calls(user)
	s.must(err)
	var got []string
	for _, call := range calls {
		if call.Verb != "watch" {
			got = append(got, call.String())
		}
	}
	if len(got) != 2 || got[0] != "patch deployments only" || !strings.HasPrefix(got[1], "create events") {
		s.t.Errorf("the API server saw %q, want the patch of one deployment and one event", got)
	}
}
