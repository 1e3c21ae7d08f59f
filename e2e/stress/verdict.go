//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/judge"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/patience"
)

// row is the result of one workload.
type row struct {
	changes, settled, rollouts int
	behind                     []string
	held                       bool
}

// judge waits until everything is at rest, and says what is not as it has to be.
func (s *stage) judge(ctx context.Context) []error {
	s.say("waiting until every workload has the final content")
	problems := s.mistaken
	patient, enough := patience.Context(ctx, limit)
	if states, err := s.awaitAll(patient); err != nil {
		problems = append(problems, err)
		for _, w := range s.plan.Workloads {
			if len(states[w.Name].behind) > 0 && !s.mayBeHeld(w.Name) {
				s.suspects[w.Name] = w.Kind
			}
		}
	}
	s.keepEvidence(ctx, s.suspects) // before anything repairs it
	kept := maps.Clone(s.suspects)
	enough()
	wait, cancel := patience.Context(ctx, limit) // what is behind is asked for its pods, too
	defer cancel()
	// Whatever is rolled once too often is so within the time in which changes settle, and by a controller that is there.
	if err := s.AwaitRelease(wait, s.release); err != nil {
		problems = append(problems, err)
	}
	sleep(ctx, 3*settle)
	problems = append(problems, s.rows(wait)...)
	problems = append(problems, s.workloads(wait)...)
	problems = append(problems, s.unchanged(wait)...)
	maps.DeleteFunc(s.suspects, func(name string, _ plan.Kind) bool { _, has := kept[name]; return has })
	s.keepEvidence(ctx, s.suspects)
	return append(problems, s.held()...)
}

// workloads judges each workload by its result and its pods.
func (s *stage) workloads(ctx context.Context) []error {
	pods, err := s.pods(ctx)
	if err != nil {
		return []error{err}
	}
	events, err := s.events(ctx)
	if err != nil {
		return []error{err}
	}
	var problems []error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.plan.Workloads {
		r, known := s.results[w.Name]
		if !known {
			continue // that was said
		}
		verdict := judge.Of(judge.Workload{
			Kind: w.Kind, Name: w.Name, Changes: s.applied[w.Name], Settle: settle / 2, Rolled: r.rollouts, Behind: r.behind,
			Pods: pods[w.Name], Undone: s.undone[w.Name], Events: events[string(w.Kind)+"/"+w.Name],
		})
		r.held = verdict.Held
		s.results[w.Name] = r
		for _, problem := range verdict.Problems {
			problems = append(problems, errors.New(problem))
			s.suspects[w.Name] = w.Kind
		}
	}
	return problems
}

// events are the reasons of the events about each workload.
func (s *stage) events(ctx context.Context) (map[string][]string, error) {
	list, err := s.Client.CoreV1().Events(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	reasons := map[string][]string{}
	for _, event := range list.Items {
		about := event.InvolvedObject.Kind + "/" + event.InvolvedObject.Name
		reasons[about] = append(reasons[about], event.Reason)
	}
	return reasons, nil
}

// rows fills in the result of each workload.
func (s *stage) rows(ctx context.Context) []error {
	states, err := s.states(ctx)
	if err != nil {
		return []error{err}
	}
	started, _, err := s.jobs(ctx)
	if err != nil {
		return []error{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = map[string]row{}
	for _, w := range s.plan.Workloads {
		r := row{
			changes: len(s.applied[w.Name]), settled: plan.Settled(s.applied[w.Name], settle/2),
			rollouts: int(states[w.Name].generation-s.first[w.Name]) - s.edited[w.Name], behind: states[w.Name].behind,
		}
		switch w.Kind {
		case plan.Deployment:
			r.rollouts = s.rolled[w.Name] - s.edited[w.Name]
		case plan.CronJob: // a Job is started
			r.rollouts = started[w.Name]
		case plan.Job: // it is recreated
			r.rollouts = len(s.lives[w.Name]) - 1
		default:
		}
		s.results[w.Name] = r
	}
	return nil
}

// pods reads the pods, and says what is wrong with those of each workload: what is recorded may be wrong.
func (s *stage) pods(ctx context.Context) (map[string]string, error) {
	problems := map[string]string{}
	_, newest, err := s.jobs(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range s.plan.Workloads {
		want := s.content[w.ConfigMap()][w.Key()]
		var err error
		switch {
		case w.Kind == plan.Job:
			err = s.eventually(ctx, want, func() (string, error) {
				pod, err := s.podOf(ctx, w.Name)
				if err != nil {
					return "", err
				}
				return s.config(ctx, w, pod)
			})
		case w.Kind == plan.CronJob && newest[w.Name] != "":
			err = s.eventually(ctx, want, func() (string, error) { return s.ofJob(ctx, newest[w.Name]) })
		case w.Form == plan.InPlace:
			err = s.inPods(ctx, w, want, func(pod corev1.Pod) (string, error) {
				answer, err := s.Get(ctx, space, pod.Name, "8080", "/")
				return string(answer), err
			})
		case w.Runs:
			err = s.inPods(ctx, w, want, func(pod corev1.Pod) (string, error) { return s.config(ctx, w, pod.Name) })
			if err == nil {
				err = s.inPods(ctx, w, s.content[w.Secret()]["value"], func(pod corev1.Pod) (string, error) {
					return s.Exec(ctx, space, pod.Name, "app", "/app", "env", "SECRET_value")
				})
			}
		}
		if err != nil {
			problems[w.Name] = err.Error()
		}
	}
	return problems, nil
}

// livePods are the pods that reload in place, once they are ready.
func (s *stage) livePods(ctx context.Context) (map[types.UID]string, error) {
	live := map[types.UID]string{}
	for _, w := range s.plan.Workloads {
		if w.Form != plan.InPlace {
			continue
		}
		of := framework.Workload{Kind: string(w.Kind), Namespace: space, Name: w.Name}
		if err := s.AwaitRollout(ctx, of); err != nil {
			return nil, err
		}
		pods, err := s.Pods(ctx, of)
		if err != nil {
			return nil, err
		}
		for _, pod := range pods {
			restarts := int32(0)
			for _, status := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
				restarts += status.RestartCount
			}
			live[pod.UID] = fmt.Sprintf("pod %s with %d restarts", pod.Name, restarts)
		}
	}
	return live, nil
}

// unchanged checks whether the pods that reload in place are those of the start, and were not restarted.
func (s *stage) unchanged(ctx context.Context) []error {
	now, err := s.livePods(ctx)
	if err != nil {
		return []error{err}
	}
	if !maps.Equal(s.live, now) {
		return []error{fmt.Errorf("the pods that reload in place were %v at the start, and are %v",
			slices.Sorted(maps.Values(s.live)), slices.Sorted(maps.Values(now)))}
	}
	return nil
}

// config is what a pod has of the ConfigMap.
func (s *stage) config(ctx context.Context, w plan.Workload, pod string) (string, error) {
	switch w.Form {
	case plan.Init:
		return s.Logs(ctx, space, pod, corev1.PodLogOptions{Container: "init"})
	case plan.Env, plan.EnvFrom:
		return s.Exec(ctx, space, pod, "app", "/app", "env", "CONFIG_value")
	default:
		return s.Exec(ctx, space, pod, "app", "/app", "cat", "/config/value")
	}
}

// inPods waits until the rollout is complete and each pod has the content.
func (s *stage) inPods(ctx context.Context, w plan.Workload, want string, get func(corev1.Pod) (string, error)) error {
	of := framework.Workload{Kind: string(w.Kind), Namespace: space, Name: w.Name}
	if err := s.AwaitRollout(ctx, of); err != nil {
		return err
	}
	pods, err := s.Pods(ctx, of)
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		return errors.New("has no pods")
	}
	for _, pod := range pods {
		if err := s.eventually(ctx, want, func() (string, error) { return get(pod) }); err != nil {
			return fmt.Errorf("pod %s: %w", pod.Name, err)
		}
	}
	return nil
}

// ofJob is what the pod of a Job has printed.
func (s *stage) ofJob(ctx context.Context, name string) (string, error) {
	pod, err := s.podOf(ctx, name)
	if err != nil {
		return "", err
	}
	return s.Logs(ctx, space, pod, corev1.PodLogOptions{})
}

// podOf is the pod of a Job.
func (s *stage) podOf(ctx context.Context, job string) (string, error) {
	pods, err := s.Client.CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + job})
	if err != nil {
		return "", err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			return pod.Name, nil
		}
	}
	return "", fmt.Errorf("no pod of Job %s", job)
}

// eventually gives a runtime that is busy some time.
func (s *stage) eventually(ctx context.Context, want string, get func() (string, error)) error {
	ctx, cancel := patience.Context(ctx, 20*time.Second)
	defer cancel()
	return persist(ctx, func() error {
		got, err := get()
		if err != nil {
			return err
		}
		if got = strings.TrimSpace(got); got != want {
			return fmt.Errorf("its pods have %q, want %q", got, want)
		}
		return nil
	})
}

// held checks whether the refusal of one workload held up the others: what changed while there was no other fault has to be
// taken up before it ended, and as fast as before it began.
func (s *stage) held() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone[1].IsZero() { // nothing was refused
		return nil
	}
	var problems []error
	calm, alone := s.between(s.begun, s.alone[0]), s.between(s.alone[0], s.alone[1])
	const enough = 15 * time.Second // a change that is made later need not be taken up before the end
	for _, w := range alone {
		if w.since.Before(s.alone[1].Add(-enough)) && w.till.After(s.alone[1]) {
			problems = append(problems, fmt.Errorf("%s had to wait until the refusal of %s ended", w.workload, s.plan.Refused))
		}
	}
	if usual, now := longest(calm), longest(alone); now > 3*usual+5*time.Second {
		problems = append(problems, fmt.Errorf("while %s was refused others waited up to %s, and before up to %s", s.plan.Refused, now, usual))
	}
	return problems
}

// between are the waits of the workloads that are not refused for changes of a time.
func (s *stage) between(from, to time.Time) []wait {
	var some []wait
	for _, w := range s.waits {
		if w.workload != s.plan.Refused && w.since.After(from) && w.since.Before(to) {
			some = append(some, w)
		}
	}
	return some
}

func lengths(waits []wait) []time.Duration {
	var all []time.Duration
	for _, w := range waits {
		all = append(all, w.till.Sub(w.since))
	}
	slices.Sort(all)
	return all
}

func longest(waits []wait) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	return slices.Max(lengths(waits))
}

// print prints the table, the faults and the waits.
func (s *stage) print(out io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "kind\tworkloads\tchanges\tsettled changes\trollouts\ttaken up\tlongest wait")
	for _, k := range plan.Kinds() {
		s.printKind(table, string(k), func(w plan.Workload) bool { return w.Kind == k && w.Form != plan.InPlace })
		if k == plan.Deployment {
			s.printKind(table, "Deployment, in place", func(w plan.Workload) bool { return w.Form == plan.InPlace })
		}
	}
	s.printKind(table, "all", func(plan.Workload) bool { return true })
	_ = table.Flush()
	fmt.Fprintln(out, "\nA change counts for each workload whose pods see it; changes less than the settle time apart are one settled change.")
	for _, w := range s.plan.Workloads {
		if s.results[w.Name].held {
			fmt.Fprintf(out, "%s %s has old content, since its template was put back: held and reported\n", w.Kind, w.Name)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(out, "fault: %s: %d times\n", what, s.faults[what])
	}
	type period struct {
		name     string
		from, to time.Time
	}
	periods := []period{{"without faults", s.begun, time.Now()}}
	if !s.alone[1].IsZero() {
		periods = []period{
			{"without faults", s.begun, s.alone[0]},
			{"while one workload was refused, the others", s.alone[0], s.alone[1]},
			{"with all faults", s.alone[1], time.Now()},
		}
	}
	for _, period := range periods {
		if all := lengths(s.between(period.from, period.to)); len(all) > 0 {
			fmt.Fprintf(out, "wait %s: median %s, longest %s, of %d\n", period.name, round(all[len(all)/2]), round(all[len(all)-1]), len(all))
		}
	}
}

func (s *stage) printKind(out io.Writer, name string, has func(plan.Workload) bool) {
	count, taken, sum := 0, 0, row{}
	var waits []wait
	for _, w := range s.plan.Workloads {
		if !has(w) {
			continue
		}
		r, known := s.results[w.Name]
		count++
		sum.changes, sum.settled, sum.rollouts = sum.changes+r.changes, sum.settled+r.settled, sum.rollouts+r.rollouts
		if known && len(r.behind) == 0 {
			taken++
		}
		waits = append(waits, slices.DeleteFunc(slices.Clone(s.waits), func(x wait) bool { return x.workload != w.Name })...)
	}
	fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", name, count, sum.changes, sum.settled, sum.rollouts, taken, round(longest(waits)))
}

func round(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
