//go:build e2e

package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/demo/internal/voice"
	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// namespace is where everything but inpod itself runs.
const namespace = "inpod-demo"

// release is the installation of inpod.
func release() kit.Release { return kit.Release{Name: "inpod", Namespace: "inpod-system"} }

//go:embed manifests
var manifests embed.FS

// stage is what the chapters work with and leave behind.
type stage struct {
	voice   *voice.Voice
	cluster *kit.Cluster
	rows    []row
	// revisions are how many templates each Deployment has had if everything went as told: each rollout adds one.
	revisions map[string]int
}

func newStage(v *voice.Voice, cluster *kit.Cluster) *stage {
	return &stage{voice: v, cluster: cluster, revisions: map[string]int{}}
}

func (s *stage) whereKubectl() string {
	if onLocalCluster(s.cluster.Env) {
		return "make cluster-shell opens a shell with kubectl set up for it, make cluster-down removes it."
	}
	return fmt.Sprintf("helm uninstall %s -n %s and kubectl delete namespace %s undo what was done here.", release().Name, release().Namespace, namespace)
}

// apply applies a manifest and waits until its Deployment runs and inpod has recorded what it uses.
func (s *stage) apply(ctx context.Context, file, deployment string) error {
	s.voice.Command("kubectl apply -f e2e/demo/manifests/%s", file)
	manifest, err := s.manifest(file)
	if err != nil {
		return err
	}
	if err := s.cluster.ApplyYAML(ctx, namespace, manifest); err != nil {
		return err
	}
	w := kit.Deployment(namespace, deployment)
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	if err := s.cluster.AwaitRollout(wait, w); err != nil {
		return &failure{"the pods of " + deployment + " become ready", err.Error(), []string{podsOf(deployment)}}
	}
	state, err := s.cluster.Await(wait, w, "annotation "+annotation.Observed, func(state kit.State) bool {
		return state.Annotations[annotation.Observed] != ""
	})
	if err != nil {
		return &failure{"inpod records what " + deployment + " uses in its annotation " + annotation.Observed, err.Error(), nil}
	}
	s.revisions[deployment] = 1
	if err := s.check(state); err != nil {
		return err
	}
	s.voice.Done("its pods are ready; inpod has recorded what they use (digests, in annotation %s) and rolled nothing", annotation.Observed)
	return nil
}

// revision is the annotation in which Kubernetes counts the templates of a Deployment. Its generation counts more: edits
// of annotations as well.
const revision = "deployment.kubernetes.io/revision"

// check fails if a Deployment has been rolled more or less often than was told.
func (s *stage) check(state kit.State) error {
	want, got := strconv.Itoa(s.revisions[state.Name]), state.Annotations[revision]
	if got == want && state.Pending == "" {
		return nil
	}
	if number, err := strconv.Atoi(got); err == nil {
		s.revisions[state.Name] = number // told once: what follows is about what happens from now on
	}
	saw := "revision " + got
	if state.Pending != "" {
		saw += ", and a rollout under way: " + state.Pending
	}
	return &failure{fmt.Sprintf("%s at revision %s and at rest", state.Name, want), saw, []string{eventsOf(state.Name)}}
}

func (s *stage) manifest(file string) (string, error) {
	text, err := manifests.ReadFile("manifests/" + file)
	return withImages(string(text), s.cluster.Env, os.Getenv), err
}

// edit is a change of one key of a ConfigMap: a piece of its text for another one.
type edit struct{ configMap, key, from, to string }

// change applies an edit and shows it.
func (s *stage) change(ctx context.Context, e edit) error {
	maps := s.cluster.Client.CoreV1().ConfigMaps(namespace)
	object, err := maps.Get(ctx, e.configMap, metav1.GetOptions{})
	if err != nil {
		return err
	}
	before := object.Data[e.key]
	if !strings.Contains(before, e.from) {
		return &failure{
			fmt.Sprintf("%q in key %s of ConfigMap %s", e.from, e.key, e.configMap), fmt.Sprintf("%q", before),
			[]string{fmt.Sprintf("kubectl -n %s get configmap %s -o yaml", namespace, e.configMap)},
		}
	}
	after := strings.Replace(before, e.from, e.to, 1)
	patch, err := json.Marshal(map[string]any{"data": map[string]string{e.key: after}})
	if err != nil {
		return err
	}
	s.voice.Command("kubectl -n %s edit configmap %s", namespace, e.configMap)
	s.voice.Block(changedLines(e.key, before, after))
	_, err = maps.Patch(ctx, e.configMap, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: kit.FieldManager})
	return err
}

// changedLines shows the lines that differ between two texts with the same number of lines.
func changedLines(key, before, after string) string {
	var text strings.Builder
	text.WriteString("  " + key + ":\n")
	now := strings.Split(after, "\n")
	for i, line := range strings.Split(before, "\n") {
		if i < len(now) && now[i] != line {
			text.WriteString("-   " + line + "\n+   " + now[i] + "\n")
		}
	}
	return text.String()
}

// untouched checks that the workloads are as the story left them: same template, and no rollout under way.
func (s *stage) untouched(ctx context.Context, deployments ...string) error {
	for _, name := range deployments {
		state, err := s.cluster.State(ctx, kit.Deployment(namespace, name))
		if err != nil {
			return err
		}
		if err := s.check(state); err != nil {
			return err
		}
		s.voice.Done("%s is as it was, at revision %d", name, s.revisions[name])
	}
	return nil
}

// inEach runs a command in each pod and checks what it prints.
func (s *stage) inEach(ctx context.Context, pods []string, want string, command ...string) error {
	s.voice.Command("kubectl -n %s exec POD -- %s", namespace, strings.Join(command, " "))
	for _, pod := range pods {
		out, err := s.cluster.Exec(ctx, namespace, pod, "nginx", command...)
		if err != nil {
			return err
		}
		out = strings.TrimSpace(out)
		if out != want {
			return &failure{
				fmt.Sprintf("%q from %s in pod %s", want, strings.Join(command, " "), pod), fmt.Sprintf("%q", out),
				[]string{fmt.Sprintf("kubectl -n %s exec %s -- %s", namespace, pod, strings.Join(command, " "))},
			}
		}
		s.voice.Plain(fmt.Sprintf("    %s: %s", pod, out))
	}
	return nil
}
