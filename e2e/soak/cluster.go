//go:build e2e

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/patience"
)

const (
	space    = "inpod-soak"
	replicas = 3
	limit    = 5 * time.Minute
)

// soak is the stage: a release that is limited to one namespace, and two workloads in it.
type soak struct {
	*kit.Cluster

	release kit.Release
	memory  memory
}

// set installs everything.
func set(ctx context.Context) (*soak, error) {
	cluster, err := kit.Connect()
	if err != nil {
		return nil, err
	}
	s := &soak{Cluster: cluster, release: kit.Release{Name: "soak", Namespace: space + "-system"}, memory: memory{}}
	fmt.Println("soak: installing")
	if err := s.Uninstall(ctx, s.release); err != nil {
		return nil, err
	}
	for _, name := range []string{space, s.release.Namespace} {
		if err := s.RemoveNamespace(ctx, name); err != nil {
			return nil, err
		}
		if _, err := s.Client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return nil, err
		}
	}
	wait, cancel := patience.Context(ctx, limit)
	defer cancel()
	if err := s.Install(wait, s.release, kit.Values{"namespaces": []string{space}}); err != nil {
		return nil, err
	}
	if err := s.ApplyYAML(wait, space, s.manifest()); err != nil {
		return nil, err
	}
	for _, name := range []string{"live", "rolled"} {
		if err := s.AwaitRollout(wait, kit.Deployment(space, name)); err != nil {
			return nil, err
		}
		if _, err := s.Await(wait, kit.Deployment(space, name), "its baseline", func(state kit.State) bool {
			return state.Annotations["inpod.dev/observed"] != ""
		}); err != nil {
			return nil, err
		}
	}
	if err := s.look(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// server is an nginx configuration that answers with a version.
func server(version int) string {
	return fmt.Sprintf("server {\n  listen 8080;\n  location / { return 200 \"%d\\n\"; }\n}\n", version)
}

func (s *soak) manifest() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: live}
data: {default.conf: %q}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: rolled}
data: {version: "0"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: live}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: live}}
  template:
    metadata:
      labels: {app: live}
      annotations: {inpod.dev/inject: enabled, inpod.dev/preset: nginx}
    spec:
      containers:
      - name: nginx
        image: %[3]s
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 2}
        volumeMounts: [{name: conf, mountPath: /etc/nginx/conf.d}]
      volumes: [{name: conf, configMap: {name: live}}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: rolled
  annotations: {reloader.stakater.com/auto: "true"}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: rolled}}
  template:
    metadata: {labels: {app: rolled}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: app
        image: %[4]s
        args: [serve]
        env: [{name: VERSION, valueFrom: {configMapKeyRef: {name: rolled, key: version}}}]
`, server(0), replicas, s.Env.NginxImage(), s.Env.AppImage())
}

func (s *soak) write(ctx context.Context, name, key, value string) error {
	patch := fmt.Sprintf(`{"data":{%q:%q}}`, key, value)
	_, err := s.Client.CoreV1().ConfigMaps(space).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

func (s *soak) pods(ctx context.Context, name string) ([]corev1.Pod, error) {
	return s.Pods(ctx, kit.Deployment(space, name))
}

// settled waits until every pod has the last edits, and says which have not.
func (s *soak) settled(ctx context.Context, e edits) []error {
	wait, cancel := patience.Context(ctx, limit)
	defer cancel()
	for _, w := range []struct {
		name, path string
		want       int
	}{{"live", "/", e.live}, {"rolled", "/env/VERSION", e.rolled}} {
		var seen string
		for {
			var all bool
			if all, seen = s.everyPodAnswers(wait, w.name, w.path, strconv.Itoa(w.want)); all {
				break
			}
			select {
			case <-wait.Done():
				return []error{fmt.Errorf("%s: want %d from every pod, got %s", w.name, w.want, seen)}
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

func (s *soak) everyPodAnswers(ctx context.Context, name, path, want string) (all bool, seen string) {
	pods, err := s.pods(ctx, name)
	if err != nil {
		return false, err.Error()
	}
	all = true
	var answers []string
	for _, pod := range pods {
		answer, err := s.Get(ctx, space, pod.Name, "8080", path)
		got := strings.TrimSpace(string(answer))
		if err != nil {
			got = err.Error()
		}
		all = all && got == want
		answers = append(answers, pod.Name+": "+got)
	}
	return all && len(pods) == replicas, strings.Join(answers, ", ")
}

// unchanged says which pods were restarted or replaced.
func unchanged(before, after []corev1.Pod) []error {
	var problems []error
	known := map[types.UID]string{}
	for _, pod := range before {
		known[pod.UID] = pod.Name
	}
	for _, pod := range after {
		if _, ok := known[pod.UID]; !ok {
			problems = append(problems, fmt.Errorf("pod %s is a new one", pod.Name))
		}
		delete(known, pod.UID)
		for _, status := range append(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses...) {
			if status.RestartCount > 0 {
				problems = append(problems, fmt.Errorf("container %s of pod %s was restarted %d times", status.Name, pod.Name, status.RestartCount))
			}
		}
	}
	for _, name := range known {
		problems = append(problems, fmt.Errorf("pod %s is gone", name))
	}
	return problems
}
