package inplace

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/confirm"
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
	uses     []source.Use
	since    time.Time // when the content was first wanted; zero if nobody saw that
	stop     context.CancelFunc
	started  time.Time

	pods map[string]*podState // by UID; used by run alone

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
		complete := c.round(ctx)
		if ctx.Err() != nil {
			return
		}
		state := c.sum(complete, time.Now())
		if c.changed(state) {
			c.reloader.metrics.verdict(state.Verdict)
			c.reloader.options.Notify(c.key)
		}
		if state.Verdict == decide.Confirmed || !state.Sidecar {
			return
		}
		pause = min(pause*3/2, lastPause)
		wait := pause
		if state.Verdict != decide.Unknown {
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

// round asks every pod that has not confirmed. complete tells that every pod of the workload carries the sidecar.
func (c *campaign) round(ctx context.Context) (complete bool) {
	present := map[string]bool{}
	alive := 0
	for _, pod := range c.reloader.options.World.Pods(c.key) {
		if pod.Over {
			continue
		}
		alive++
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
	w, exists := c.reloader.options.World.Workload(c.key)
	return exists && alive >= w.Pods
}

// visit asks one pod, and nudges it if its kubelet has not brought the content.
func (c *campaign) visit(ctx context.Context, s *podState) {
	now := time.Now()
	if !s.pod.Running || s.pod.Address == "" {
		s.standing, s.message = waiting, "the pod does not run"
		s.runningAt = time.Time{}
		return
	}
	if s.runningAt.IsZero() {
		s.runningAt = now
	}
	want := expected(s.pod, c.uses)
	reply, err := c.reloader.options.Ask(ctx, s.pod, want)
	if err != nil {
		s.standing, s.message = waiting, err.Error()
		s.failingAt = time.Time{}
		c.nudge(ctx, s, now)
		return
	}
	standing, refreshed := judge(reply, want, c.age(time.Now()))
	s.standing, s.message = standing, saying(reply)
	switch {
	case standing != failing:
		s.failingAt = time.Time{}
	case s.failingAt.IsZero():
		s.failingAt = now
	}
	if !refreshed {
		s.message = "its kubelet has not brought the new content"
		c.nudge(ctx, s, now)
	} else if standing == waiting && reply.Result == confirm.Pending && reply.Message == "" {
		s.message = "the sidecar has not finished"
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

// sum makes one verdict of what the pods say. A rejection counts more than a failure, since a rollout would break what
// works; both count more than being late.
func (c *campaign) sum(complete bool, now time.Time) decide.InPlace {
	state := decide.InPlace{Sidecar: true}
	if !complete {
		// Not all pods are there, or not all carry the sidecar.
		state.Sidecar = now.Sub(c.started) < gathering
		return state
	}
	all := make([]*podState, 0, len(c.pods))
	for _, s := range c.pods {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *podState) int {
		if a.pod.Name < b.pod.Name {
			return -1
		}
		return 1
	})
	first := func(verdict decide.Verdict, is func(*podState) bool) bool {
		at := slices.IndexFunc(all, is)
		if at >= 0 {
			state.Verdict, state.Pod, state.Message = verdict, all[at].pod.Name, all[at].message
		}
		return at >= 0
	}
	switch {
	case first(decide.Rejected, func(s *podState) bool { return s.standing == rejected }):
	case first(decide.Failed, func(s *podState) bool {
		return s.standing == failing && now.Sub(s.failingAt) >= patience
	}):
	case first(decide.Overdue, func(s *podState) bool {
		return s.standing != confirmed && !s.runningAt.IsZero() && now.Sub(s.runningAt) >= c.reloader.options.Deadline
	}):
	case !slices.ContainsFunc(all, func(s *podState) bool { return s.standing != confirmed }):
		state.Verdict = decide.Confirmed
	}
	return state
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
