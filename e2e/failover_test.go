//go:build e2e

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

func TestNothingIsLostOrDoneTwiceWhenTheLeaderGoes(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	// A short lease, so that the test does not wait a quarter of a minute for a leader that is dead.
	s.install(framework.Values{
		"leaseDuration": patience.Stretch(4 * time.Second).String(), "leaseRenewDeadline": patience.Stretch(3 * time.Second).String(), "leaseRetryPeriod": "1s",
	}, framework.Values{"replicas": 2})
	const size = 40
	var workloads []framework.Workload
	for i := range size {
		name := fmt.Sprintf("app-%d", i)
		a := newApp(kinds()[i%len(kinds())], name, []use{env("KEY", ofConfigMap(name), "key")}).idle().annotated(s.keys.auto, "true")
		s.apply(configMap(name, "key", "1"), a.object())
		workloads = append(workloads, a.in(s.ns))
	}
	s.hasBaseline(workloads...)

	killed := metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}
	for value, way := range map[string]metav1.DeleteOptions{"killed": killed, "stopped": {}} {
		s.must(s.AwaitRelease(s.ctx, s.Release))
		before, gone := s.rollouts(), s.leader("")
		for i := range size {
			s.apply(configMap(fmt.Sprintf("app-%d", i), "key", value))
			if i == size/2 {
				// The first ones have settled: the leader goes in the middle of its work.
				s.rolled(before, workloads[0])
				s.must(s.Client.CoreV1().Pods(s.Namespace).Delete(s.ctx, gone, way))
			}
		}
		s.onlyRolled(before, workloads...)
		s.leader(gone)
	}
}

func TestALeaderThatIsStoppedHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	// A lease so long that nobody gets it within this test unless it is released.
	s.install(framework.Values{"leaseDuration": "10m", "leaseRenewDeadline": "1m", "leaseRetryPeriod": "1s"}, framework.Values{"replicas": 2})
	stopped := s.leader("")
	s.must(s.Client.CoreV1().Pods(s.Namespace).Delete(s.ctx, stopped, metav1.DeleteOptions{}))
	s.leader(stopped)
	s.marker()
}

// leader waits for a leader other than the given one and returns the name of its pod.
func (s *space) leader(not string) string {
	s.t.Helper()
	begun := time.Now()
	lease, err := framework.AwaitObject(s.ctx, s.Client.CoordinationV1().RESTClient(), "leases", s.Namespace, s.Controller().Name,
		func(object runtime.Object) bool {
			lease, ok := object.(*coordinationv1.Lease)
			return ok && lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" && *lease.Spec.HolderIdentity != not
		})
	if err != nil {
		s.t.Fatalf("waited %s for a leader other than %q: %v", time.Since(begun).Round(time.Second), not, err)
	}
	return *lease.(*coordinationv1.Lease).Spec.HolderIdentity
}
