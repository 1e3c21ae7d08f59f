package leader

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// term is one try to lead: it stands between client-go's election and the Lease, and adds what the election lacks.
//
//   - Every request has a deadline, so that one that hangs cannot cost the leadership.
//   - A leader learns that its time is up when the renew deadline has passed since the beginning of the last request
//     that renewed. client-go reports it only after it has also tried to release the lease, for up to another renew
//     deadline, and by then the lease may have expired for the others.
//   - A leader that finds another holder in the Lease learns it at once.
//   - The lease is not released while work goes on, nor when another replica has taken it meanwhile: client-go decides
//     that by what it saw last, which may be older than the Lease that it overwrites.
//   - Failures are reported when they begin and when they end, and not every two seconds.
type term struct {
	elector *Elector
	lock    *resourcelock.LeaseLock

	lost    chan struct{} // closed when this replica must not act any more
	lose    func()        // closes lost
	drained chan struct{} // closed when no work that the lease protects is under way
	drain   func()        // closes drained

	mu       sync.Mutex
	deadline *time.Timer // nil before the lease was won
	holder   string      // as read from the Lease the last time
}

func newTerm(e *Elector) *term {
	t := &term{
		elector: e,
		lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: e.options.Namespace, Name: e.options.Name},
			Client:     e.options.Client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: e.options.Identity},
		},
		lost:    make(chan struct{}),
		drained: make(chan struct{}),
	}
	t.lose = sync.OnceFunc(func() { close(t.lost) })
	t.drain = sync.OnceFunc(func() { close(t.drained) })
	return t
}

var _ resourcelock.Interface = (*term)(nil)

// close ends the term, when no work is under way: the lease may be released now.
func (t *term) close() {
	t.mu.Lock()
	if t.deadline != nil {
		t.deadline.Stop()
	}
	t.mu.Unlock()
	t.drain()
}

// Get implements [resourcelock.Interface], as do the methods below.
func (t *term) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	bounded, cancel := context.WithTimeout(ctx, t.elector.options.RenewDeadline/2)
	defer cancel()
	record, raw, err := t.lock.Get(bounded)
	t.report(ctx, read, err)
	if err == nil {
		t.saw(record.HolderIdentity)
	}
	return record, raw, err
}

// saw notes who holds the lease.
func (t *term) saw(holder string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holder = holder
	if t.deadline != nil && holder != t.Identity() {
		t.lose()
	}
}

// Create makes the Lease, with this replica as its holder.
func (t *term) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return t.write(ctx, "create", record, t.lock.Create)
}

// Update takes, renews or (with an empty holder) releases the lease.
func (t *term) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	if record.HolderIdentity == "" {
		select {
		case <-t.drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !t.held() {
			return errNotHeld
		}
	}
	return t.write(ctx, "update", record, t.lock.Update)
}

var errNotHeld = errors.New("another replica holds the lease now: it is not ours to release")

func (t *term) held() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holder == t.Identity()
}

// RecordEvent does nothing: who leads is in the Lease, the log and the metrics.
func (t *term) RecordEvent(string) {}

// Identity is that of this replica.
func (t *term) Identity() string { return t.lock.Identity() }

// Describe names the Lease.
func (t *term) Describe() string { return t.lock.Describe() }

func (t *term) write(
	ctx context.Context, verb string, record resourcelock.LeaderElectionRecord,
	write func(context.Context, resourcelock.LeaderElectionRecord) error,
) error {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, t.elector.options.RenewDeadline/2)
	defer cancel()
	err := write(bounded, record)
	t.report(ctx, verb, err)
	if err == nil && record.HolderIdentity != "" {
		t.renewed(begin)
	}
	return err
}

// renewed moves the deadline. It counts from the beginning of the request, because the others may have seen the new
// state of the Lease from that moment on.
func (t *term) renewed(begin time.Time) {
	left := time.Until(begin.Add(t.elector.options.RenewDeadline))
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.deadline == nil:
		t.deadline = time.AfterFunc(left, t.lose)
	case t.deadline.Stop(): // when it has run out already, a late renewal does not bring the term back
		t.deadline.Reset(left)
	}
}

// report notes and logs whether the Lease can be used, when that changes.
func (t *term) report(ctx context.Context, verb string, err error) {
	switch {
	case ctx.Err() != nil:
		return // stopped on purpose
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		err = nil // another replica was faster, which is what an election is about
	case verb == read && apierrors.IsNotFound(err):
		err = nil // no replica has led yet
	}
	e := t.elector
	var now *trouble
	if err != nil {
		now = &trouble{verb: verb, err: fmt.Errorf("cannot %s Lease %s: %w", verb, e.lease(), err)}
	}
	e.mu.Lock()
	was := e.trouble
	// That the Lease can be read says nothing about a write that was refused; each attempt begins with a read.
	stays := now == nil && verb == read && was != nil && was.verb != read
	if !stays {
		e.trouble = now
	}
	e.mu.Unlock()
	switch {
	case stays:
	case now != nil && (was == nil || apierrors.ReasonForError(now.err) != apierrors.ReasonForError(was.err)):
		e.options.Log.Warn("leader election degraded, will retry", "error", now.err)
	case now == nil && was != nil:
		e.options.Log.Info("leader election recovered", "lease", e.lease())
	}
}

// trouble is why the Lease could not be used the last time.
type trouble struct {
	verb string
	err  error
}

// read is the verb of a request that changes nothing.
const read = "read"
