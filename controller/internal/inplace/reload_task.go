package inplace

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// firstPause and lastPause bound the time until a pod is asked again, and leastPause is that between two rounds over few pods.
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
	leastPause = 50 * time.Millisecond
	// questionsPerSecond is about how many questions go to pods whose nudges wait, over all workloads, as long as each of them is
	// asked once in longestPause.
	questionsPerSecond = 200
	longestPause       = 30 * time.Second
	// kubeletTakes is about how long a kubelet takes from a nudge to the new content.
	kubeletTakes = 500 * time.Millisecond
	// slowPause is the time between two rounds after a bad verdict: an application may accept later what it rejects now.
	slowPause = 30 * time.Second
	// firstNudge and lastNudge bound the time until a pod whose kubelet has not brought the content is nudged again.
	firstNudge = 2 * time.Second
	lastNudge  = 30 * time.Second
	// patience is how long a sidecar that cannot reload its application may go on trying.
	patience = 20 * time.Second
	// gathering is how long pods without a sidecar may turn out to be ones that the cache did not have yet.
	gathering = 5 * time.Second
	// atOnce bounds the questions under way at the same time for one workload.
	atOnce = 16
	// firstKnock and lastKnock bound the time until a workload is tried again whose sidecars cannot be reached, and
	// knocks is how many of its pods are tried then: that may go on for days.
	firstKnock = 5 * time.Second
	lastKnock  = 30 * time.Second
	knocks     = 3
	// rotationPatience is how long a pod holds up the others whose driver has not brought it what others have: it goes
	// through the pods every two minutes unless configured otherwise.
	rotationPatience = 10 * time.Minute
	// closedNudges is how often a pod is nudged whose sidecar cannot be reached, or is not understood: enough for a kubelet that was
	// not up to date.
	closedNudges = 3
)

// reloadTask makes the pods of one workload take up one content.
type reloadTask struct {
	reloader *Reloader
	key      workload.Key
	target   string
	uses     []source.SourceState // all that the workload uses
	causes   []decide.Cause       // what changed of it
	since    time.Time            // when the content was first wanted; zero if nobody saw that
	ctx      context.Context      //nolint:containedctx // ends with the task, which a nudge that waits has to know
	stop     context.CancelFunc
	started  time.Time

	// These are used by run alone.
	pods         map[string]*podReload // by UID
	lackingSince time.Time             // since when there are fewer pods with the sidecar than pods
	leaving      bool                  // they may be as many as there are pods, with those that end
	missing      int                   // pods that there are to be and that are not known, or end
	reached      bool                  // a sidecar of the workload has answered in the last round
	knocked      int                   // pods that were tried while none could be reached
	outdatedAt   time.Time             // since when a pod needs a restart

	wake chan struct{} // holds a token where the next round is due at once

	mu      sync.Mutex
	current decide.InPlace
	evicted map[types.UID]time.Time // when
}

// podReload is what is known of one pod.
type podReload struct {
	pod       observe.Pod
	state     podState
	concerned bool // it has something of what changed
	unrotated bool // its driver has not brought it yet
	verified  bool // a verdict may rest on its last answer
	message   string
	reply     sidecarapi.Response // the last one, without its files
	answered  bool                // in this round
	nudges    int
	texts     int           // how many texts of nudges there were: one that waits gets a new one at each question
	nudgeAt   time.Time     // when to nudge again
	failingAt time.Time     // since when it fails
	runningAt time.Time     // since when it runs, as far as the reload task has seen
	askedAt   time.Time     // when it was asked last
	checkedAt time.Time     // when a round came to it last, be it without a question
	pause     time.Duration // until it is asked again
	doneAt    time.Time     // when its application has probably reloaded; zero if that was a while ago, or is not known
}

func (c *reloadTask) state() decide.InPlace {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// run goes on until every pod has confirmed or ctx ends.
func (c *reloadTask) run(ctx context.Context) {
	knock := firstKnock
	for all := true; ctx.Err() == nil; {
		c.round(ctx, all)
		if ctx.Err() != nil {
			return
		}
		state := c.aggregate(time.Now())
		if leadsToRollout(state.Verdict) {
			c.askAgain(ctx)
			state = c.aggregate(time.Now())
		}
		if ctx.Err() != nil {
			return
		}
		c.announce(state)
		if state.Verdict == decide.Confirmed {
			return
		}
		var wait time.Duration
		switch {
		case state.Verdict == decide.Unreachable:
			wait, all, knock = knock, true, min(2*knock, lastKnock)
		case state.Verdict != decide.Unknown || !state.Sidecar:
			wait, all = slowPause, true
		default:
			wait, all, knock = c.untilDue(time.Now()), false, firstKnock
		}
		switch c.sleep(ctx, wait) {
		case slept:
		case woken:
		case ended:
			return
		}
	}
}

// isDue reports whether a pod is to be asked again. What its kubelet has not brought is not there before it is nudged, unless the
// kubelet is faster: a pod whose nudge waits is asked seldom, the more wait the more seldom. It is asked before its nudge
// anyway. While nudges wait for longer than a second, each question takes from the time of the machine that they need: then a
// pod is asked when it has probably reloaded, by what other pods took for that.
func (c *reloadTask) isDue(s *podReload, now time.Time) bool { return !now.Before(c.dueAt(s)) }

func (c *reloadTask) dueAt(s *podReload) time.Time {
	if s.checkedAt.IsZero() {
		return time.Time{}
	}
	nudges := c.reloader.nudges
	waits, nudged := nudges.waits(s.pod.UID)
	waiting := nudges.waiting()
	busy := float64(waiting) > float64(nudges.pace.Limit())
	switch {
	case waits:
		share := time.Duration(waiting) * time.Second / questionsPerSecond
		return s.checkedAt.Add(min(max(lastPause, share), longestPause))
	case nudged.After(s.checkedAt) && busy:
		return nudged.Add(kubeletTakes + c.reloader.reloadTakes())
	case nudged.After(s.checkedAt):
		return nudged.Add(kubeletTakes)
	case busy && !s.doneAt.IsZero():
		return s.doneAt
	}
	return s.checkedAt.Add(s.pause)
}

// untilDue is how long it takes until a pod is to be asked, within bounds.
func (c *reloadTask) untilDue(now time.Time) time.Duration {
	wait := lastPause
	for _, s := range c.pods {
		if s.state != confirmed {
			wait = min(wait, c.dueAt(s).Sub(now))
		}
	}
	return max(wait, c.rest())
}

// rest is the least time between two rounds. It grows with the pods, since a round looks at each of them.
func (c *reloadTask) rest() time.Duration {
	const many = 1000
	return leastPause * time.Duration(1+len(c.pods)/many)
}

// nudged has the task look at its pods, since one was nudged, or need not be. After a bad verdict it looks at them all before long
// anyway.
func (c *reloadTask) nudged() {
	if state := c.state(); state.Verdict == decide.Unknown && state.Sidecar {
		c.wakeUp()
	}
}

// wakeUp has the task look at its pods.
func (c *reloadTask) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// announce notes the state, and asks for a decision if it is another one.
func (c *reloadTask) announce(state decide.InPlace) {
	c.mu.Lock()
	before := c.current
	c.current = state
	c.mu.Unlock()
	if before.Verdict != state.Verdict {
		c.reloader.metrics.verdict(state)
	}
	if !before.Same(state) {
		c.reloader.options.Enqueue(c.key)
	}
}

// round asks every pod that has not confirmed, or of these only those that are due. Where no sidecar could be reached it
// asks a few first.
func (c *reloadTask) round(ctx context.Context, everyone bool) {
	now := time.Now()
	c.refreshPods(now)
	for _, state := range c.pods {
		state.answered, state.verified = false, false
	}
	open := c.podsThat(func(s *podReload) bool { return s.state != confirmed })
	due, later := slices.Clone(open), []*podReload(nil)
	if !everyone {
		due, later = c.divide(open, now)
	}
	due = slices.DeleteFunc(due, func(s *podReload) bool { return c.isNudgedFirst(s, now) })
	for _, s := range due {
		_, nudged := c.reloader.nudges.waits(s.pod.UID)
		if s.pause = min(s.pause*3/2, lastPause); everyone || s.pause == 0 || nudged.After(s.checkedAt) {
			s.pause = firstPause // from a nudge on its kubelet is at it
		}
		s.checkedAt = now
	}
	if c.state().Verdict == decide.Unreachable {
		few := c.few(open)
		c.checkAll(ctx, few)
		if c.reached = anyAnswered(few); !c.reached {
			return
		}
		c.reopen(open, time.Now())
	}
	c.checkAll(ctx, due)
	switch {
	case len(due) == 0:
		return
	case anyAnswered(due) || !slices.ContainsFunc(due, isClosed) || !slices.ContainsFunc(open, c.isOverdue):
		c.reached = anyAnswered(due) // which counts where a pod is overdue
		return
	}
	for chunk := range slices.Chunk(later, atOnce) { // one that answers is enough
		if c.checkAll(ctx, chunk); anyAnswered(chunk) {
			c.reached = true
			return
		}
	}
	for _, s := range later {
		s.checkedAt = now
	}
	// Those that have confirmed say whether it is the one pod, or that none can be reached any more. What was heard before
	// does not count: another process would not know of it.
	done := c.few(c.podsThat(func(s *podReload) bool { return s.state == confirmed && s.pod.Address != "" && !s.pod.Lost }))
	c.greet(ctx, done)
	c.reached = anyAnswered(done)
}

// isNudgedFirst reports whether a pod need not be asked yet: it is asked just before its nudge, which waits since its source was
// edited.
func (c *reloadTask) isNudgedFirst(s *podReload, now time.Time) bool {
	if !s.checkedAt.IsZero() {
		return false
	}
	waits, _ := c.reloader.nudges.waits(s.pod.UID)
	want := expected(s.pod, c.uses, c.causes)
	if !waits || !want.concerned || want.beyond != (source.Ref{}) || !s.pod.Running || s.pod.Address == "" || s.pod.Lost {
		return false
	}
	s.concerned, s.runningAt, s.checkedAt, s.message = true, now, now, notRefreshed
	c.nudge(s, now)
	return true
}

// divide returns the pods that are due, and the others.
func (c *reloadTask) divide(pods []*podReload, now time.Time) (due, later []*podReload) {
	for _, s := range pods {
		if c.isDue(s, now) {
			due = append(due, s)
		} else {
			later = append(later, s)
		}
	}
	return due, later
}

// fresh is how old the answer of a pod may be on which a verdict rests.
const fresh = time.Second

func leadsToRollout(verdict decide.Verdict) bool {
	return verdict == decide.Overdue || verdict == decide.Failed || verdict == decide.NeedsRestart
}

// askAgain asks those pods again that a rollout would be for, since a round may take minutes. It stops where one still
// is such a pod: that is enough for the verdict, and is the first that a verdict names.
func (c *reloadTask) askAgain(ctx context.Context) {
	c.refreshPods(time.Now()) // some may be gone meanwhile
	suspects := c.podsThat(c.isSuspect)
	if changedAt := c.changedAt(); !changedAt.IsZero() { // that a younger one fails says most
		slices.SortStableFunc(suspects, func(a, b *podReload) int {
			switch x, y := isYounger(a, changedAt), isYounger(b, changedAt); {
			case x == y:
				return 0
			case x:
				return -1
			}
			return 1
		})
	}
	for chunk := range slices.Chunk(suspects, atOnce) {
		stale := slices.DeleteFunc(slices.Clone(chunk), func(s *podReload) bool { return time.Since(s.askedAt) < fresh })
		each(stale, func(s *podReload) { c.askPod(ctx, s) })
		for _, s := range chunk {
			s.verified = true
		}
		if ctx.Err() != nil || slices.ContainsFunc(chunk, c.isSuspect) {
			return
		}
	}
}

// isSuspect reports whether a rollout would be for this pod.
func (c *reloadTask) isSuspect(s *podReload) bool {
	return c.isOverdue(s) || hasFailed(s) && s.state != uncovered || isOutdated(s)
}

// reopen gives all pods their whole time again, since a sidecar answers of a workload whose sidecars could not be
// reached.
func (c *reloadTask) reopen(open []*podReload, now time.Time) {
	for _, state := range open {
		if !state.runningAt.IsZero() {
			state.runningAt, state.nudgeAt = now, time.Time{}
		}
	}
}

// podsThat returns the pods for which is holds, sorted by name.
func (c *reloadTask) podsThat(is func(*podReload) bool) []*podReload {
	var all []*podReload
	for _, state := range c.pods {
		if is(state) {
			all = append(all, state)
		}
	}
	slices.SortFunc(all, func(a, b *podReload) int { return strings.Compare(a.pod.Name, b.pod.Name) })
	return all
}

// few returns some of the pods, others each time.
func (c *reloadTask) few(pods []*podReload) []*podReload {
	if len(pods) <= knocks {
		return pods
	}
	var some []*podReload
	for range knocks {
		some = append(some, pods[c.knocked%len(pods)])
		c.knocked++
	}
	return some
}

func anyAnswered(pods []*podReload) bool {
	return slices.ContainsFunc(pods, func(s *podReload) bool { return s.answered })
}

func isClosed(s *podReload) bool { return s.state == closed }

// checkAll visits pods, a limited number at the same time.
func (c *reloadTask) checkAll(ctx context.Context, pods []*podReload) {
	each(pods, func(s *podReload) { c.checkPod(ctx, s) })
}

// greet finds out whether sidecars can be reached of pods that have confirmed.
func (c *reloadTask) greet(ctx context.Context, pods []*podReload) {
	each(pods, func(s *podReload) {
		_, _, err := c.reloader.ask(ctx, s.pod, Question{})
		s.answered = isHeard(err)
	})
}

// each does something with pods, a limited number at the same time. It panics as the last of them did that did.
func each(pods []*podReload, do func(*podReload)) {
	var work sync.WaitGroup
	var fault atomic.Value
	slots := make(chan struct{}, atOnce)
	for _, state := range pods {
		slots <- struct{}{} // before there is a goroutine: pods are many
		work.Go(func() {
			defer func() {
				if panicked := recover(); panicked != nil {
					fault.Store(fmt.Sprintf("%v\n%s", panicked, debug.Stack()))
				}
				<-slots
			}()
			do(state)
		})
	}
	work.Wait()
	if panicked := fault.Load(); panicked != nil {
		panic(panicked)
	}
}

// isHeard reports whether a sidecar has said something that is understood, though it may be no answer to the question.
func isHeard(err error) bool {
	_, unreachable := errors.AsType[*UnreachableError](err)
	return !unreachable && !isNotUnderstood(err)
}

func isNotUnderstood(err error) bool {
	_, is := errors.AsType[*NotUnderstoodError](err)
	return is
}

// refreshPods takes over which pods there are, and notes whether some lack the sidecar.
func (c *reloadTask) refreshPods(now time.Time) {
	present := map[string]bool{}
	ending, stuck := 0, 0
	for _, pod := range c.reloader.options.Cache.Pods(c.key) {
		if pod.Over || c.isEvicted(pod.UID) {
			ending++
			if pod.Lost && countsEnding(c.key.Kind) {
				stuck++
			}
			continue
		}
		id := string(pod.UID)
		present[id] = true
		if c.pods[id] == nil {
			c.pods[id] = &podReload{state: waiting}
		}
		c.pods[id].pod = pod
	}
	for id := range c.pods {
		if !present[id] {
			delete(c.pods, id) // replaced: what came in its place has the content from its start, or is asked itself
		}
	}
	w, exists := c.reloader.options.Cache.Workload(c.key)
	c.missing = max(0, w.Pods-len(present))
	switch missing := w.Pods - len(present) - stuck; {
	case exists && missing <= 0:
		c.lackingSince = time.Time{}
	case c.lackingSince.IsZero():
		c.lackingSince = now
		fallthrough
	default:
		c.leaving = missing+stuck <= ending // some kinds count pods that end, and replace them only then
	}
}

func (c *reloadTask) isEvicted(pod types.UID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, is := c.evicted[pod]
	return is
}

// evict notes that a pod is evicted, and looks at once. From now on the state does not name it.
func (c *reloadTask) evict(pod types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.evicted == nil {
		c.evicted = map[types.UID]time.Time{}
	}
	if _, done := c.evicted[pod]; !done {
		c.evicted[pod] = time.Now()
		c.current.Unavailable++
		c.current.Failing--
	}
	c.current.Failed = slices.DeleteFunc(slices.Clone(c.current.Failed), func(p decide.FailedPod) bool { return p.UID == pod })
	if c.current.Failing <= 0 {
		c.current = decide.InPlace{Sidecar: true, Unavailable: c.current.Unavailable}
	}
	c.wakeUp()
}

// countsEnding reports whether the status of a kind counts pods that are deleted. On a lost node nobody ends them.
func countsEnding(kind string) bool {
	return strings.HasSuffix(kind, "StatefulSet") || strings.HasSuffix(kind, "DaemonSet")
}

// checkPod asks one pod, and nudges it if its kubelet has not brought the content.
func (c *reloadTask) checkPod(ctx context.Context, s *podReload) {
	if c.askPod(ctx, s) {
		c.nudge(s, time.Now())
	} else {
		c.reloader.nudges.drop(s.pod.UID, c)
	}
}

// askPod asks one pod. It reports whether its kubelet may not have brought the content.
func (c *reloadTask) askPod(ctx context.Context, s *podReload) (lacks bool) {
	now := time.Now()
	want := expected(s.pod, c.uses, c.causes)
	s.concerned, s.doneAt = want.concerned, time.Time{}
	switch {
	case want.beyond != source.Ref{} && isYounger(s, c.changedAt()):
		s.state = confirmed // each of its containers has read the content at its start
		return false
	case want.beyond != source.Ref{}:
		s.state = uncovered
		s.message = notWatched(want.beyond)
		return false
	case !want.concerned:
		s.state = confirmed // it has nothing of what changed
		return false
	case s.pod.Lost:
		s.state, s.message = lost, nodeLost
		s.runningAt, s.failingAt = time.Time{}, time.Time{}
		return false
	case !s.pod.Running || s.pod.Address == "":
		s.state, s.message = waiting, podNotRunning
		s.runningAt = time.Time{}
		return false
	}
	if s.runningAt.IsZero() {
		s.runningAt = now
	}
	reply, at, err := c.reloader.ask(ctx, s.pod, want.ask())
	s.askedAt, now = at, at
	if s.answered = isHeard(err); s.state == unclear && !isNotUnderstood(err) {
		s.runningAt, s.nudgeAt = now, time.Time{} // nobody knew whether it was late: it has its whole time again
	}
	if err != nil {
		return failedToAsk(s, err)
	}
	state, refreshed := evaluateReply(reply, want, c.age(time.Now()), s.pod.Started)
	message := describe(reply, state, refreshed)
	s.unrotated = false
	if state == confirmed {
		var why string
		if state, why = evaluateMounts(&reply, want, s.pod.Started, now); state != confirmed {
			message, s.unrotated = why, state == waiting && want.unrotated.Name != ""
		}
	}
	s.state, s.message, s.reply = state, message, reply
	s.doneAt = c.reloader.expectDone(reply, refreshed, now)
	s.reply.Files, s.reply.Mounts = nil, nil // a workload may have thousands of pods, and each of them hundreds of files
	if s.unrotated {
		s.runningAt = time.Time{} // its time begins when the driver has brought it
	}
	switch {
	case state != failing:
		s.failingAt = time.Time{}
	case s.failingAt.IsZero() || s.comesUp(): // its time begins when it has come up
		s.failingAt = now
	}
	return !refreshed
}

// failedToAsk notes that a sidecar has not said anything of use. It reports whether a nudge may help.
func failedToAsk(s *podReload, err error) (lacks bool) {
	s.state, s.message, s.failingAt = waiting, err.Error(), time.Time{}
	unreachable, isClosed := errors.AsType[*UnreachableError](err)
	unknown, isUnclear := errors.AsType[*NotUnderstoodError](err)
	switch {
	case isUnclear:
		s.state, s.message = unclear, unknown.sentences()
	case !isClosed:
	case s.pod.SidecarDown:
		s.message = sidecarNotRunning
	default:
		s.state, s.message = closed, unreachable.sentences()
	}
	return s.state == waiting || s.nudges < closedNudges
}

// age is how long ago the content came to be wanted. If that was before this replica led, any volume counts as new enough
// once its kubelet has had the time for a nudge.
func (c *reloadTask) age(now time.Time) time.Duration {
	switch {
	case !c.since.IsZero():
		return now.Sub(c.since)
	case now.Sub(c.started) < gathering:
		return 0
	}
	return math.MaxInt64
}

// nudge has a pod nudged when it is time to.
func (c *reloadTask) nudge(s *podReload, now time.Time) {
	if c.ctx.Err() != nil {
		return // what was asked meanwhile has failed for this, and a nudge that waits is another task's
	}
	nudges := c.reloader.nudges
	waits, last := nudges.waits(s.pod.UID)
	if !waits && (now.Before(s.nudgeAt) || now.Before(last.Add(nudgePause(max(0, s.nudges-1))))) {
		return
	}
	if !waits && c.isShared() && !c.reloader.shared.Allow() {
		c.reloader.metrics.left()
		s.nudgeAt = now.Add(firstNudge)
		return
	}
	if !waits || s.nudges == 0 { // an early one that waits becomes the first
		s.nudgeAt = now.Add(nudgePause(s.nudges))
		s.nudges++
	}
	// An annotation that does not change makes no kubelet look: the number makes each nudge another one.
	text := fmt.Sprintf("%s.%d", c.target, s.texts)
	s.texts++
	pod := s.pod
	n := pendingNudge{pod: pod, key: c.key, text: text, asked: s.askedAt, by: c, needed: func(ctx context.Context, stale bool) bool {
		return c.ctx.Err() == nil && (!stale || c.reloader.hasNot(ctx, pod, expected(pod, c.uses, c.causes), c.age(time.Now())))
	}}
	if len(c.causes) > 0 {
		n.ref = c.causes[0].Ref
	}
	nudges.add(n, min(c.reloader.settle(c.key), firstNudge))
}

// nudgePause is how long after a nudge the next one is due, where so many were before it.
func nudgePause(before int) time.Duration { return min(firstNudge<<min(before, 8), lastNudge) }

// comesUp reports whether an application may not take part in a reload yet, since it has not been ready since it started. It has as
// long as any pod may take. One that has died did take part.
func (s *podReload) comesUp() bool { return s.pod.Starting && s.reply.Result != sidecarapi.Died }

// isShared reports whether nothing but sources that are in no namespace has changed.
func (c *reloadTask) isShared() bool {
	return len(c.causes) > 0 && !slices.ContainsFunc(c.causes, func(cause decide.Cause) bool { return !cause.Ref.Kind.ClusterScoped() })
}

// aggregate makes one verdict of what the pods say. A rejection counts more than anything else, since a rollout would break what
// works; a failure counts more than being late. That one pod is not understood counts more than that others are late: it may be
// that all of them are of a version that this one does not know.
func (c *reloadTask) aggregate(now time.Time) decide.InPlace {
	all := c.podsThat(func(*podReload) bool { return true })
	state := decide.InPlace{Sidecar: true}
	first := func(verdict decide.Verdict, is func(*podReload) bool) bool {
		at := slices.IndexFunc(all, is)
		if at >= 0 {
			state.Verdict, state.Message = verdict, all[at].message
			state.Pod, state.Container = all[at].pod.Name, all[at].pod.Container
		}
		return at >= 0
	}
	overdue := c.isOverdue
	switch {
	case first(decide.Rejected, func(s *podReload) bool { return s.state == rejected }):
	case c.lacks(now):
		state.Sidecar = false
	case c.isOutdated(all, now) && first(decide.NeedsRestart, isOutdated):
	case first(decide.Failed, hasFailed):
	case first(decide.NotUnderstood, func(s *podReload) bool { return s.state == unclear && overdue(s) }):
	case c.isOut(all, overdue) && first(decide.Unreachable, overdue):
	case first(decide.Overdue, overdue):
	case c.lackingSince.IsZero() && !slices.ContainsFunc(all, func(s *podReload) bool { return c.holdsUp(s, now) }) && heardOf(all):
		return confirmation(all)
	}
	if state.Verdict == decide.Failed || state.Verdict == decide.Overdue {
		c.failures(&state, all, now)
	} else if ever, _ := c.evictions(now); ever {
		state.Unavailable = c.unavailable(all, now)
	}
	return state
}

// evictions reports whether this task has had pods evicted, and how many of late: the caches of pods and of workloads
// are not in step.
func (c *reloadTask) evictions(now time.Time) (ever bool, lately int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.evicted {
		if now.Sub(at) < gathering {
			lately++
		}
	}
	return len(c.evicted) > 0, lately
}

// failures notes which pods failed. Those whose answer is old only count.
func (c *reloadTask) failures(state *decide.InPlace, all []*podReload, now time.Time) {
	changedAt := c.changedAt()
	state.Undated = changedAt.IsZero()
	for _, s := range all {
		younger := isYounger(s, changedAt)
		switch {
		case !c.fails(s) && younger:
			state.Replaced++
		case !c.fails(s):
		case s.verified || s.state == uncovered:
			state.Failed = append(state.Failed, decide.FailedPod{Name: s.pod.Name, UID: s.pod.UID, Younger: younger})
			fallthrough
		default:
			state.Failing++
		}
	}
	state.Unavailable = c.unavailable(all, now)
}

// fails reports whether a pod will not take the content up by a reload, or has not in time.
func (c *reloadTask) fails(s *podReload) bool { return c.isOverdue(s) || hasFailed(s) }

// unavailable counts the pods that are not ready, but for those that could be evicted: they may be ready or not.
func (c *reloadTask) unavailable(all []*podReload, now time.Time) int {
	n := c.missing
	_, lately := c.evictions(now)
	for _, s := range all {
		if !s.pod.Ready && !c.fails(s) {
			n++
		}
	}
	return max(n, lately)
}

// changedAt is when the last of what changed did, by the API server's clock; zero if that is not known of all of it.
func (c *reloadTask) changedAt() time.Time {
	var last time.Time
	for _, cause := range c.causes {
		i := slices.IndexFunc(c.uses, func(use source.SourceState) bool { return use.Usages.Ref == cause.Ref })
		if i < 0 || c.uses[i].Snapshot == nil || c.uses[i].Snapshot.ContentTime().IsZero() {
			return time.Time{}
		}
		if at := c.uses[i].Snapshot.ContentTime(); at.After(last) {
			last = at
		}
	}
	return last
}

// isYounger reports whether a pod was certainly made after a change. The API server cuts both times to seconds.
func isYounger(s *podReload, changedAt time.Time) bool {
	return !changedAt.IsZero() && s.pod.Created.After(changedAt)
}

// isOverdue reports whether a pod has not confirmed in time. A round may take longer than a pod may: what counts is
// that the pod was asked when its time was over, not what the time is now.
func (c *reloadTask) isOverdue(s *podReload) bool {
	return s.state != confirmed && !s.runningAt.IsZero() && s.askedAt.Sub(s.runningAt) >= c.reloader.options.Deadline
}

// hasFailed reports whether a pod will not take the content up by a reload.
func hasFailed(s *podReload) bool {
	return s.state == uncovered || s.state == failing && s.askedAt.Sub(s.failingAt) >= patience
}

// isOut reports whether no sidecar of the workload can be reached, and that nothing else is the matter with those that
// are late.
func (c *reloadTask) isOut(all []*podReload, overdue func(*podReload) bool) bool {
	return !c.reached && !slices.ContainsFunc(all, func(s *podReload) bool { return overdue(s) && s.state != closed })
}

func isOutdated(s *podReload) bool { return s.state == outdated }

// isOutdated reports whether pods need a restart, and that the others have had the time to say whether they accept the
// content: a restart would break those that do not.
func (c *reloadTask) isOutdated(all []*podReload, now time.Time) bool {
	if !slices.ContainsFunc(all, isOutdated) {
		c.outdatedAt = time.Time{}
		return false
	}
	if c.outdatedAt.IsZero() {
		c.outdatedAt = now
	}
	undecided := slices.ContainsFunc(all, func(s *podReload) bool { return s.state == waiting && !s.runningAt.IsZero() })
	return !undecided || now.Sub(c.outdatedAt) >= patience
}

// heardOf reports whether a pod has confirmed, or that none is out of sight: of pods whose nodes are all lost nothing
// is known.
func heardOf(all []*podReload) bool {
	return slices.ContainsFunc(all, hasTakenUp) ||
		!slices.ContainsFunc(all, func(s *podReload) bool { return s.state == lost })
}

// hasTakenUp reports whether a pod has confirmed something that it has.
func hasTakenUp(s *podReload) bool { return s.concerned && s.state == confirmed }

// confirmation is the verdict where nobody is waited for any more: how far that is known, and by what.
func confirmation(all []*podReload) decide.InPlace {
	state := decide.InPlace{Sidecar: true, Verdict: decide.Confirmed}
	if !slices.ContainsFunc(all, hasTakenUp) {
		state.Nothing = true
		return state
	}
	state.Proven = true
	away, down, unrotated, doubted := 0, 0, 0, false
	for _, s := range all {
		switch {
		case !s.concerned:
		case s.state == lost:
			away++
		case s.state != confirmed && s.unrotated:
			unrotated++
		case s.state != confirmed:
			down++
		case s.reply.Result != sidecarapi.Applied:
			state.Proven = state.Proven && !s.reply.Assumed
		case state.Pod == "" || !doubted && !s.reply.Proven:
			state.Pod, state.Container = s.pod.Name, s.pod.Container
			state.Trigger, state.Proof, doubted = s.reply.Trigger, s.reply.Proof, !s.reply.Proven
		}
	}
	state.Message = unasked(away, down, unrotated)
	state.Proven = state.Proven && !doubted && state.Message == ""
	return state
}

// lacks reports whether pods lack the sidecar, and are not only unknown yet or about to be replaced.
func (c *reloadTask) lacks(now time.Time) bool {
	limit := gathering
	if c.leaving {
		limit = c.reloader.options.Deadline
	}
	return !c.lackingSince.IsZero() && now.Sub(c.lackingSince) >= limit
}

// holdsUp reports whether the others have to wait for a pod. One that has not even started by the deadline reads the
// content when it does. What became of an eviction is waited for as long.
func (c *reloadTask) holdsUp(s *podReload, now time.Time) bool {
	limit := c.reloader.options.Deadline
	if s.unrotated {
		limit = max(limit, rotationPatience)
	}
	return s.state != confirmed && s.state != lost && (!s.runningAt.IsZero() || now.Sub(c.disturbed()) < limit)
}

// disturbed is when the task started, or had a pod evicted the last time: the pod in its place has its whole time.
func (c *reloadTask) disturbed() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.started
	for _, at := range c.evicted {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// nap is how a pause ended.
type nap int

const (
	slept nap = iota // it is over
	woken            // there is something to look at
	ended            // the task is over
)

// sleep waits for so long, or until there is something to look at. There is a rest in any case: nudges are many.
func (c *reloadTask) sleep(ctx context.Context, d time.Duration) nap {
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return slept
	case <-c.wake:
		timer.Reset(max(0, c.rest()-time.Since(began)))
	case <-ctx.Done():
		return ended
	}
	select {
	case <-timer.C:
		return woken
	case <-ctx.Done():
		return ended
	}
}
