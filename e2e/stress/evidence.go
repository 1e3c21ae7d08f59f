//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/judge"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// keepEvidence writes down what there is about workloads that are not as they have to be, before anything is removed: for
// each its object, baseline, sources, pods, events and decisions; and of each controller its log and its metrics.
func (s *stage) keepEvidence(ctx context.Context, of map[string]plan.Kind) {
	if len(of) == 0 {
		return
	}
	ctx, cancel := patience.Context(ctx, time.Minute)
	defer cancel()
	logs := s.controllers(ctx)
	for name, kind := range of {
		s.evidenceOf(ctx, kind, name, logs)
	}
	s.say("evidence about %d workloads is in %s", len(of), s.folder)
}

// evidenceOf writes down what there is about one workload.
func (s *stage) evidenceOf(ctx context.Context, kind plan.Kind, name string, logs map[string]string) {
	keep := func(file string, object any, err error) { s.keep(filepath.Join(name, file), object, err) }
	u, err := s.Custom(kinds()[kind].resource, space).Get(ctx, name, metav1.GetOptions{})
	keep("object.yaml", u, err)
	if err == nil {
		text := u.GetAnnotations()[annotation.Baseline]
		s.mu.Lock()
		baseline, fault := s.digester.Read(space, text)
		s.mu.Unlock()
		keep("baseline.txt", fmt.Sprintf("%s\n\nread as: %v\n%+v\n", text, fault, baseline), nil)
	}
	for _, w := range s.plan.Workloads {
		if w.Name != name {
			continue
		}
		for _, from := range w.Sources() {
			object, err := s.sourceOf(ctx, from)
			keep(fmt.Sprintf("%s-%s.yaml", from.Kind, from.Name), object, err)
		}
	}
	pods, err := s.Client.CoreV1().Pods(space).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	keep("pods.yaml", pods, err)
	selected := fields.Set{"involvedObject.kind": string(kind), "involvedObject.name": name}.AsSelector().String()
	events, err := s.Client.CoreV1().Events(space).List(ctx, metav1.ListOptions{FieldSelector: selected})
	keep("events.yaml", events, err)
	s.mu.Lock()
	since := s.begun
	if changes := s.applied[name]; len(changes) > 0 {
		since = changes[len(changes)-1].Begin.Add(-settle)
	}
	history := fmt.Sprintf("changes: %v\ntemplate put back: %v\n", s.applied[name], s.undone[name])
	s.mu.Unlock()
	keep("history.txt", history, nil)
	var decisions strings.Builder
	for from, log := range logs {
		if lines := judge.Decisions(log, string(kind), space, name, since); len(lines) > 0 {
			fmt.Fprintf(&decisions, "# %s\n%s\n", from, strings.Join(lines, "\n"))
		}
	}
	keep("decisions.log", decisions.String(), nil)
}

func (s *stage) sourceOf(ctx context.Context, from plan.Source) (any, error) {
	if from.Kind == "ConfigMap" {
		return s.Client.CoreV1().ConfigMaps(space).Get(ctx, from.Name, metav1.GetOptions{})
	}
	return s.Client.CoreV1().Secrets(space).Get(ctx, from.Name, metav1.GetOptions{})
}

// controllers writes down the logs and metrics of each controller that is there, and returns all logs by their files: also
// those of the controllers that are gone.
func (s *stage) controllers(ctx context.Context) map[string]string {
	logs := map[string]string{}
	pods, err := s.Pods(ctx, s.release.Controller())
	if err != nil {
		s.keep("controllers.txt", nil, err)
	}
	for _, pod := range pods {
		for file, options := range map[string]corev1.PodLogOptions{
			pod.Name + ".log": {}, pod.Name + "-before.log": {Previous: true},
		} {
			if log, err := s.Logs(ctx, pod.Namespace, pod.Name, options); err == nil {
				s.keep(file, log, nil)
			}
		}
		metrics, err := s.Get(ctx, pod.Namespace, pod.Name, "9090", "/metrics")
		s.keep(pod.Name+"-metrics.txt", string(metrics), err)
	}
	files, _ := filepath.Glob(filepath.Join(s.folder, "*.log"))
	for _, file := range files {
		if log, err := os.ReadFile(file); err == nil {
			logs[filepath.Base(file)] = string(log)
		}
	}
	return logs
}

// keep writes a text, or an object as YAML, into the folder of this run; or why there is none.
func (s *stage) keep(file string, object any, err error) {
	text, isText := object.(string)
	switch {
	case err != nil:
		text = "not there: " + err.Error() + "\n"
	case !isText:
		encoded, err := yaml.Marshal(object)
		if text = string(encoded); err != nil {
			text = err.Error()
		}
	}
	path := filepath.Join(s.folder, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		s.say("evidence is lost: %v", err)
	}
}

// folderOf is where this run keeps logs and evidence.
func folderOf(seed uint64) (string, error) {
	root, err := framework.Checkout()
	return filepath.Join(root, "dist", "stress", fmt.Sprintf("%s-seed-%d", time.Now().UTC().Format("20060102-150405"), seed)), err
}
