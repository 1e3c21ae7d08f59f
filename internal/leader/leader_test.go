package leader_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/leader"
)

const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
	// takeover is the longest that a follower waits for a lease that is free: a retry period with client-go's jitter.
	takeover = 22 * retryPeriod / 10
)

// replica is one process that takes part.
type replica struct {
	elector  *leader.Elector
	registry *prometheus.Registry
	log      *lines
	stop     context.CancelFunc
	stopped  chan struct{}

	mu   sync.Mutex
	work []string
}

// start runs a replica with a client of its own. onStart may be nil: then the work ends with its context at once.
func start(t *testing.T, client *fake.Clientset, identity string, onStart func(ctx context.Context)) *replica {
	t.Helper()
	r := &replica{registry: prometheus.NewPedanticRegistry(), log: &lines{}, stopped: make(chan struct{})}
	elector, err := leader.New(leader.Options{
		Client: client.CoordinationV1(), Namespace: "inpod", Name: "inpod-controller", Identity: identity,
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		OnStart: func(ctx context.Context) {
			r.note("start")
			<-ctx.Done()
			if onStart != nil {
				onStart(ctx)
			}
			r.note("end")
		},
		Log:        slog.New(slog.NewTextHandler(r.log, nil)),
		Registerer: r.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.elector = elector
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() {
		defer close(r.stopped)
		elector.Run(ctx)
	}()
	return r
}

func (r *replica) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work = append(r.work, what)
}

func (r *replica) history() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.work, " ")
}

func (r *replica) gauge(t *testing.T) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(families) != 1 || families[0].GetName() != "inpod_leader" {
		t.Fatalf("metrics are %v", families)
	}
	return families[0].GetMetric()[0].GetGauge().GetValue()
}

// expect checks what the replica says about itself.
func (r *replica) expect(t *testing.T, leading bool, history string) {
	t.Helper()
	synctest.Wait()
	if got := r.elector.Leading(); got != leading {
		t.Errorf("Leading = %t, want %t", got, leading)
	}
	if got := r.gauge(t) == 1; got != leading {
		t.Errorf("inpod_leader is 1: %t, want %t", got, leading)
	}
	if got := r.history(); got != history {
		t.Errorf("work was %q, want %q", got, history)
	}
}

func holder(t *testing.T, client *fake.Clientset) string {
	t.Helper()
	lease, err := client.CoordinationV1().Leases("inpod").Get(t.Context(), "inpod-controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return *lease.Spec.HolderIdentity
}

// outage makes writes, or all requests, of one client fail while it is on.
type outage struct {
	mu  sync.Mutex
	err error
}

func (o *outage) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

func breakable(verbs string) (*fake.Clientset, *outage) {
	client, broken := fake.NewClientset(), &outage{}
	client.PrependReactor(verbs, "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		broken.mu.Lock()
		defer broken.mu.Unlock()
		return broken.err != nil, nil, broken.err
	})
	return client, broken
}

func TestOneLeadsAndTheOtherTakesOverAtOnceWhenItStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		first := start(t, client, "first", nil)
		first.expect(t, true, "start")
		second := start(t, client, "second", nil)
		time.Sleep(time.Minute)
		first.expect(t, true, "start")
		second.expect(t, false, "")
		if got := second.elector.Holder(); got != "first" {
			t.Errorf("the follower takes %q for the leader", got)
		}

		first.stop()
		<-first.stopped
		first.expect(t, false, "start end")
		if got := holder(t, client); got != "" {
			t.Errorf("after a clean stop the lease has the holder %q", got)
		}
		time.Sleep(takeover)
		second.expect(t, true, "start")
		second.stop()
		<-second.stopped
		if got := second.log.String(); !strings.Contains(got, "msg=following") || !strings.Contains(got, "leader=first") || !strings.Contains(got, `msg="acquired leadership"`) {
			t.Errorf("the log does not say who leads:\n%s", got)
		}
	})
}

func TestLeaseIsKeptUntilTheWorkHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		finish := make(chan struct{})
		first := start(t, client, "first", func(context.Context) { <-finish })
		synctest.Wait()
		second := start(t, client, "second", nil)
		first.stop()
		time.Sleep(10 * leaseDuration) // a write that takes forever
		first.expect(t, false, "start")
		second.expect(t, false, "")
		if got := holder(t, client); got != "first" {
			t.Errorf("the lease has the holder %q while the first one still writes", got)
		}
		close(finish)
		<-first.stopped
		time.Sleep(takeover)
		second.expect(t, true, "start")
		second.stop()
		<-second.stopped
	})
}

func TestLeaderThatCannotRenewStepsBackBeforeTheLeaseExpiresAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broken := breakable("*")
		only := start(t, client, "only", nil)
		only.expect(t, true, "start")
		time.Sleep(30 * time.Second)

		broken.set(errors.New("connection refused"))
		time.Sleep(renewDeadline)
		only.expect(t, false, "start end")
		if err := only.elector.Err(); err == nil || !strings.Contains(err.Error(), "Lease inpod/inpod-controller: connection refused") {
			t.Errorf("Err = %v", err)
		}
		time.Sleep(5 * time.Minute)
		if got := strings.Count(only.log.String(), "leader election degraded"); got != 1 {
			t.Errorf("the trouble is in the log %d times, want once:\n%s", got, only.log)
		}

		broken.set(nil)
		time.Sleep(leaseDuration + takeover)
		only.expect(t, true, "start end start")
		if err := only.elector.Err(); err != nil {
			t.Errorf("Err = %v", err)
		}
		if got := only.log.String(); !strings.Contains(got, "leader election recovered") || !strings.Contains(got, "lost leadership") {
			t.Errorf("log is\n%s", got)
		}
		only.stop()
		<-only.stopped
	})
}

// A request that hangs until its deadline is how a partition looks.
func TestLeaderWhoseRequestsHangStepsBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		hang := &outage{}
		client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
			hang.mu.Lock()
			err := hang.err
			hang.mu.Unlock()
			if err == nil {
				return false, nil, nil
			}
			time.Sleep(renewDeadline / 2) // the fake has no context; this is the timeout of each request
			return true, nil, context.DeadlineExceeded
		})
		only := start(t, client, "only", nil)
		only.expect(t, true, "start")
		hang.set(errors.New("hang"))
		time.Sleep(renewDeadline)
		only.expect(t, false, "start end")
		only.stop()
		<-only.stopped
	})
}

func TestLeaderStepsBackAtOnceWhenAnotherHasTakenTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		refuseOldVersions(t, client)
		first := start(t, client, "first", nil)
		first.expect(t, true, "start")

		steal(t, client)
		time.Sleep(retryPeriod)
		first.expect(t, false, "start end")
		if got := holder(t, client); got != "thief" {
			t.Errorf("the lease has the holder %q: somebody else's was released", got)
		}
		first.stop()
		<-first.stopped
	})
}

// client-go judges by the holder that it saw last and would take the lease away from its new holder.
func TestLeaseThatWasTakenDuringAnOutageIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broken := breakable("*")
		refuseOldVersions(t, client)
		only := start(t, client, "only", func(context.Context) {
			time.Sleep(retryPeriod / 2) // between two attempts to renew, so that nothing else happens now
			steal(t, client)
			broken.set(nil)
		})
		only.expect(t, true, "start")
		broken.set(errors.New("connection refused"))
		time.Sleep(renewDeadline + retryPeriod)
		only.expect(t, false, "start end")
		if got := holder(t, client); got != "thief" {
			t.Errorf("the lease has the holder %q: somebody else's was released", got)
		}
		only.stop()
		<-only.stopped
	})
}

// refuseOldVersions does what the fake does not: a renewal rests on the version that the renewing replica wrote itself,
// and is a conflict once another replica has written. A release reads the new version first and is accepted.
func refuseOldVersions(t *testing.T, client *fake.Clientset) {
	t.Helper()
	client.PrependReactor("update", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		current, err := client.Tracker().Get(action.GetResource(), "inpod", "inpod-controller")
		wanted := action.(clienttesting.UpdateAction).GetObject()
		if err == nil && holderOf(t, current) == "thief" && holderOf(t, wanted) != "" {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "inpod-controller", errors.New("changed"))
		}
		return false, nil, nil
	})
}

// steal gives the lease to another holder.
func steal(t *testing.T, client *fake.Clientset) {
	t.Helper()
	leases := schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	object, err := client.Tracker().Get(leases, "inpod", "inpod-controller")
	if err != nil {
		t.Fatal(err)
	}
	lease := object.(*coordinationv1.Lease).DeepCopy()
	lease.Spec.HolderIdentity = new("thief")
	lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
	if err := client.Tracker().Update(leases, lease, "inpod"); err != nil {
		t.Fatal(err)
	}
}

func TestForbiddenLeaseIsReportedOnceAndWinsWhenAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broken := breakable("create")
		broken.set(apierrors.NewForbidden(schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}, "inpod-controller", errors.New("no rule")))
		only := start(t, client, "only", nil)
		time.Sleep(time.Minute)
		only.expect(t, false, "")
		// The read before each create succeeds, so the report must not flap with it.
		if got := strings.Count(only.log.String(), "level=WARN"); got != 1 {
			t.Errorf("%d warnings, want one:\n%s", got, only.log)
		}
		if err := only.elector.Err(); !apierrors.IsForbidden(err) {
			t.Errorf("Err = %v", err)
		}
		broken.set(nil)
		time.Sleep(takeover)
		only.expect(t, true, "start")
		only.stop()
		<-only.stopped
	})
}

func TestWorkThatReturnsEarlyDoesNotEndLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elector, err := leader.New(leader.Options{
			Client: fake.NewClientset().CoordinationV1(), Namespace: "n", Name: "l", Identity: "i",
			LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
			Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); elector.Run(ctx) }()
		time.Sleep(time.Minute)
		if !elector.Leading() {
			t.Error("not leading after a minute")
		}
		stop()
		<-done
	})
}

func TestFollowerStopsWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broken := breakable("*")
		broken.set(errors.New("connection refused"))
		only := start(t, client, "only", nil)
		time.Sleep(time.Second)
		only.stop()
		<-only.stopped
		only.expect(t, false, "")
	})
}

func TestAlwaysLeadsFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := make(chan context.Context, 1)
		registry := prometheus.NewPedanticRegistry()
		elector := leader.Always(func(ctx context.Context) { started <- ctx }, slog.New(slog.DiscardHandler), registry)
		r := &replica{elector: elector, registry: registry}
		r.expect(t, true, "")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); elector.Run(ctx) }()
		work := <-started
		time.Sleep(time.Hour)
		r.expect(t, true, "")
		stop()
		<-done
		if work.Err() == nil {
			t.Error("the context of the work goes on after the stop")
		}
		r.expect(t, false, "")
		if elector.Err() != nil || elector.Holder() != "" {
			t.Errorf("Err = %v, Holder = %q", elector.Err(), elector.Holder())
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	valid := leader.Options{
		Client: fake.NewClientset().CoordinationV1(), Namespace: "n", Name: "l", Identity: "i",
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	for name, tc := range map[string]struct {
		change func(o *leader.Options)
		want   string
	}{
		"no identity":             {change: func(o *leader.Options) { o.Identity = "" }, want: "identity"},
		"no namespace":            {change: func(o *leader.Options) { o.Namespace = "" }, want: "namespace"},
		"a deadline that is late": {change: func(o *leader.Options) { o.RenewDeadline = leaseDuration }, want: "leaseDuration must be greater"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := valid
			tc.change(&options)
			if _, err := leader.New(options); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func holderOf(t *testing.T, object runtime.Object) string {
	t.Helper()
	return *object.(*coordinationv1.Lease).Spec.HolderIdentity
}

// lines is a buffer for several goroutines.
type lines struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}
