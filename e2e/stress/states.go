//go:build e2e

package main

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"inpod.dev/inpod/e2e/stress/internal/judge"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
)

const between = 400 * time.Millisecond // two observations

// state is what is observed of one workload.
type state struct {
	generation int64
	uid        types.UID
	// behind are the sources whose content it has not taken up.
	behind []string
}

func always(runtime.Object) bool { return true }

// follow compares until the context ends, and notes how long each workload waits for what has changed.
func (s *stage) follow(ctx context.Context) {
	for ctx.Err() == nil {
		s.mu.Lock()
		before := maps.Clone(s.pending)
		s.mu.Unlock()
		states, err := s.states(ctx)
		if err == nil { // else the API server is away
			s.note(before, states, time.Now())
		}
		sleep(ctx, between)
	}
}

// templates counts the templates of each Deployment until the context ends. The generation of a Deployment, unlike that of any
// other kind, grows with every annotation.
func (s *stage) templates(ctx context.Context) {
	last := map[string]map[string]any{}
	for ctx.Err() == nil {
		// Without a resource version it begins with what there is.
		watcher, err := s.Custom(kinds()[plan.Deployment].resource, space).Watch(ctx, metav1.ListOptions{})
		if err != nil { // the API server is away
			sleep(ctx, between)
			continue
		}
		for event := range watcher.ResultChan() {
			u, ok := event.Object.(*unstructured.Unstructured)
			if !ok || event.Type == watch.Error {
				continue
			}
			template, _, _ := unstructured.NestedMap(u.Object, kinds()[plan.Deployment].template...)
			before, known := last[u.GetName()]
			if known && !reflect.DeepEqual(before, template) {
				s.mu.Lock()
				s.rolled[u.GetName()]++
				s.mu.Unlock()
			}
			last[u.GetName()] = template
		}
	}
}

func (s *stage) note(before map[string]time.Time, states map[string]state, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.plan.Workloads {
		if uid := states[w.Name].uid; uid != "" && !slices.Contains(s.lives[w.Name], uid) {
			s.lives[w.Name] = append(s.lives[w.Name], uid)
		}
	}
	for name, since := range before {
		// What changed during this observation is for the next one.
		if s.pending[name].Equal(since) && len(states[name].behind) == 0 {
			s.waits = append(s.waits, wait{name, since, now})
			delete(s.pending, name)
		}
	}
}

// states reads every workload and compares what the controller has recorded with what was written last.
func (s *stage) states(ctx context.Context) (map[string]state, error) {
	s.mu.Lock()
	content := maps.Clone(s.content)
	s.mu.Unlock()
	states := map[string]state{}
	for _, k := range plan.Kinds() {
		list, err := s.Custom(kinds()[k].resource, space).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", k, err)
		}
		for _, item := range list.Items {
			states[item.GetName()] = state{item.GetGeneration(), item.GetUID(), s.behind(item.GetName(), item.GetAnnotations()[annotation.Baseline], content)}
		}
	}
	for _, w := range s.plan.Workloads {
		if _, has := states[w.Name]; !has { // as a Job is for a while that is recreated
			states[w.Name] = state{behind: []string{"it is gone"}}
		}
	}
	return states, nil
}

// behind are the sources for which a workload has recorded other content than they have. A baseline of before the digest key
// was replaced says it in other words.
func (s *stage) behind(name, text string, content map[plan.Source]map[string]string) []string {
	s.mu.Lock()
	digesters := append([]source.Digester{s.digester}, s.former...)
	s.mu.Unlock()
	for _, digester := range digesters {
		if baseline, fault := digester.Read(space, text); fault == source.Readable {
			return s.behindBy(digester, name, baseline, content)
		}
	}
	return s.behindBy(digesters[0], name, source.Baseline{}, content)
}

func (s *stage) behindBy(digester source.Digester, name string, baseline source.Baseline, content map[plan.Source]map[string]string) []string {
	var behind []string
	for _, scope := range source.GroupUsages(s.usages[name]) {
		var snapshot source.Snapshot
		from := plan.Source{Kind: string(scope.Ref.Kind), Name: scope.Ref.Name}
		switch object := manifest(from, content[from]).(type) {
		case *corev1.ConfigMap:
			snapshot = source.OfConfigMap(object)
		case *corev1.Secret:
			snapshot = source.OfSecret(object)
		}
		recorded, has := baseline.Known()[scope.Ref]
		if !has || !recorded.Equal(digester.Record(source.SourceState{Usages: scope, Snapshot: &snapshot})) {
			behind = append(behind, from.Kind+" "+from.Name)
		}
	}
	return behind
}

// awaitAll waits until every workload has taken up everything, and returns what it saw last.
func (s *stage) awaitAll(ctx context.Context) (map[string]state, error) {
	var last map[string]state
	err := persist(ctx, func() error {
		states, err := s.states(ctx)
		if err != nil {
			return err
		}
		last = states
		var behind []string
		for name, state := range states {
			if !s.has(name) {
				continue // the Jobs of CronJobs, and placeholders of Jobs that are recreated
			}
			if len(state.behind) > 0 && !s.mayBeHeld(name) {
				behind = append(behind, fmt.Sprintf("%s (%s)", name, strings.Join(state.behind, ", ")))
			}
		}
		if len(behind) > 0 {
			slices.Sort(behind)
			return fmt.Errorf("have not taken up everything: %s", strings.Join(behind, ", "))
		}
		return nil
	})
	return last, err
}

// mayBeHeld reports whether the template of a workload was put back, and no source was changed since.
func (s *stage) mayBeHeld(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return judge.MayBeHeld(s.applied[name], s.undone[name])
}

func (s *stage) has(name string) bool {
	return slices.ContainsFunc(s.plan.Workloads, func(w plan.Workload) bool { return w.Name == name })
}

// jobs counts the Jobs of each CronJob, and returns the newest.
func (s *stage) jobs(ctx context.Context) (count map[string]int, newest map[string]string, err error) {
	list, err := s.Client.BatchV1().Jobs(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, err
	}
	count, newest = map[string]int{}, map[string]string{}
	slices.SortFunc(list.Items, func(a, b batchv1.Job) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	for _, job := range list.Items {
		if owner := metav1.GetControllerOf(&job); owner != nil && owner.Kind == string(plan.CronJob) {
			count[owner.Name]++
			newest[owner.Name] = job.Name
		}
	}
	return count, newest, nil
}
