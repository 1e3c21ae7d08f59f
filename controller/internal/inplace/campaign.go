package inplace

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

const (
	// firstPause and lastPause bound the time between two rounds.
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
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
)

// campaign makes the pods of one workload take up one content.
type campaign struct {
	reloader *Reloader
	key      workload.Key
	target   string
	uses     []source.Use   // all that the workload uses
	causes   []decide.Cause // what changed of it
	since    time.Time      // when the content was first wanted; zero if nobody saw that
	stop     context.CancelFunc
	started  time.Time

	// These are used by run alone.
	pods         map[string]*podState // by UID
	lackingSince time.Time            // since when there are fewer pods with the sidecar than pods
	leaving      bool                 // they may be as many as there are pods, with those that end

	mu      sync.Mutex
	current decide.InPlace
}

// podState is what is known of one pod.
type podState struct {
	pod       observe.Pod
	standing  standing
	message   string
	nudges    int
	nudgeAt   time.Time // when to nudge again
	failingAt time.Time // since when it fails
	runningAt time.Time // since when it runs, as far as the campaign has seen
}

func (c *campaign) state() decide.InPlace {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// run goes on until every pod has confirmed or ctx ends.
func (c *campaign) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		c.round(ctx)
		if ctx.Err() != nil {
			return
		}
		state := c.sum(time.Now())
		if c.changed(state) {
			c.reloader.metrics.verdict(state.Verdict)
			c.reloader.options.Notify(c.key)
		}
		if state.Verdict == decide.Confirmed {
			return
		}
		pause = min(pause*3/2, lastPause)
		wait := pause
		if state.Verdict != decide.Unknown || !state.Sidecar {
			wait = slowPause
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// changed notes the state, and tells whether it is another one.
func (c *campaign) changed(state decide.InPlace) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := c.current != state
	c.current = state
	return changed
}

// round asks every pod that has not confirmed.
func (c *campaign) round(ctx context.Context) {
	c.muster(time.Now())
	var work sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, state := range c.pods {
		if state.standing == confirmed {
			continue
		}
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c.visit(ctx, state)
		})
	}
	work.Wait()
}

// muster takes over which pods there are, and notes whether some lack the sidecar.
func (c *campaign) muster(now time.Time) {
	present := map[string]bool{}
	ending := 0
	for _, pod := range c.reloader.options.World.Pods(c.key) {
		if pod.Over {
			ending++
			continue
		}
		id := string(pod.UID)
		present[id] = true
		if c.pods[id] == nil {
			c.pods[id] = &podState{standing: waiting}
		}
		c.pods[id].pod = pod
	}
	for id := range c.pods {
		if !present[id] {
			delete(c.pods, id) // replaced: what came in its place has the content from its start, or is asked itself
		}
	}
	w, exists := c.reloader.options.World.Workload(c.key)
	switch missing := w.Pods - len(present); {
	case exists && missing <= 0:
		c.lackingSince = time.Time{}
	case c.lackingSince.IsZero():
		c.lackingSince = now
		fallthrough
	default:
		c.leaving = missing <= ending // some kinds count pods that end, and replace them only then
	}
}

// visit asks one pod, and nudges it if its kubelet has not brought the content.
func (c *campaign) visit(ctx context.Context, s *podState) {
	now := time.Now()
	want := expected(s.pod, c.uses, c.causes)
	switch {
	case want.beyond != source.Ref{}:
		s.standing = uncovered
		s.message = fmt.Sprintf("its sidecar does not watch %s %s, which a container mounts", want.beyond.Kind, want.beyond.Name)
		return
	case !want.concerned:
		s.standing = confirmed // it has nothing of what changed
		return
	case !s.pod.Running || s.pod.Address == "":
		s.standing, s.message = waiting, "the pod does not run"
		s.runningAt = time.Time{}
		return
	}
	if s.runningAt.IsZero() {
		s.runningAt = now
	}
	reply, err := c.reloader.options.Ask(ctx, s.pod, want.files)
	if err != nil {
		s.standing, s.message = waiting, err.Error()
		s.failingAt = time.Time{}
		c.nudge(ctx, s, now)
		return
	}
	standing, refreshed := judge(reply, want, c.age(time.Now()), s.pod.Started)
	s.standing, s.message = standing, saying(reply, standing, refreshed)
	switch {
	case standing != failing:
		s.failingAt = time.Time{}
	case s.failingAt.IsZero():
		s.failingAt = now
	}
	if !refreshed {
		c.nudge(ctx, s, now)
	}
}

// age is how long ago the content came to be wanted. If that was before this replica led, any volume counts as new enough
// once its kubelet has had the time for a nudge.
func (c *campaign) age(now time.Time) time.Duration {
	switch {
	case !c.since.IsZero():
		return now.Sub(c.since)
	case now.Sub(c.started) < gathering:
		return 0
	}
	return math.MaxInt64
}

// nudge patches the annotation of a pod when it is time to.
func (c *campaign) nudge(ctx context.Context, s *podState, now time.Time) {
	if now.Before(s.nudgeAt) {
		return
	}
	// An annotation that does not change makes no kubelet look: the number makes each nudge another one.
	text := fmt.Sprintf("%s.%d", c.target, s.nudges)
	s.nudgeAt = now.Add(min(firstNudge<<min(s.nudges, 8), lastNudge))
	s.nudges++
	if err := c.reloader.nudge(ctx, s.pod, text); err != nil && ctx.Err() == nil {
		c.reloader.options.Log.Warn("a pod could not be nudged: its kubelet takes up to 90 s by itself",
			"workload", c.key, "pod", s.pod.Name, "error", err)
	}
}

// sum makes one verdict of what the pods say. A rejection counts more than anything else, since a rollout would break what
// works; a failure counts more than being late.
func (c *campaign) sum(now time.Time) decide.InPlace {
	all := slices.SortedFunc(maps.Values(c.pods), func(a, b *podState) int { return strings.Compare(a.pod.Name, b.pod.Name) })
	state := decide.InPlace{Sidecar: true}
	first := func(verdict decide.Verdict, is func(*podState) bool) bool {
		at := slices.IndexFunc(all, is)
		if at >= 0 {
			state.Verdict, state.Pod, state.Message = verdict, all[at].pod.Name, all[at].message
		}
		return at >= 0
	}
	switch {
	case first(decide.Rejected, func(s *podState) bool { return s.standing == rejected }):
	case c.lacks(now):
		state.Sidecar = false
	case first(decide.Failed, func(s *podState) bool {
		return s.standing == uncovered || s.standing == failing && now.Sub(s.failingAt) >= patience
	}):
	case first(decide.Overdue, func(s *podState) bool {
		return s.standing != confirmed && !s.runningAt.IsZero() && now.Sub(s.runningAt) >= c.reloader.options.Deadline
	}):
	case c.lackingSince.IsZero() && !slices.ContainsFunc(all, func(s *podState) bool { return c.holdsUp(s, now) }):
		state.Verdict = decide.Confirmed
	}
	return state
}

// lacks tells whether pods lack the sidecar, and are not only unknown yet or about to be replaced.
func (c *campaign) lacks(now time.Time) bool {
	limit := gathering
	if c.leaving {
		limit = c.reloader.options.Deadline
	}
	return !c.lackingSince.IsZero() && now.Sub(c.lackingSince) >= limit
}

// holdsUp tells whether the others have to wait for a pod. One that has not even started by the deadline reads the content
// when it does.
func (c *campaign) holdsUp(s *podState, now time.Time) bool {
	return s.standing != confirmed && (!s.runningAt.IsZero() || now.Sub(c.started) < c.reloader.options.Deadline)
}

// sleep tells whether d passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
