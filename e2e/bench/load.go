//go:build e2e

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
)

// autoKey is an annotation of our own, so that other workloads of the cluster are left alone.
const autoKey = "bench.inpod.dev/auto"

// label is on the namespaces that are to be removed.
const label = "bench.inpod.dev/run"

type bench struct {
	*framework.Cluster

	binary string
	own    string // the namespace of the digest key
	spaces []string
	// hollow has the pods of the workloads that are rolled or reloaded, sidecars answers for those that are reloaded.
	hollow   *framework.HollowNode
	sidecars *sidecars
}

func newBench(ctx context.Context, binary string) (*bench, error) {
	cluster, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	b := &bench{Cluster: cluster, binary: binary, sidecars: &sidecars{
		pods: map[string]*podOfBench{}, address: map[string]string{}, edits: map[string]edit{}, values: map[string]string{},
	}}
	// It comes first, since it serves the pods of a run that was killed, too.
	b.hollow, err = cluster.StartHollowNode(ctx, "inpod-bench-hollow", framework.HollowOptions{IP: b.sidecars.addressOf, Seen: b.sidecars.see})
	if err != nil {
		return nil, err
	}
	if err := cluster.RemoveLabeled(ctx, label, 0); err != nil {
		return nil, err
	}
	if err := b.awaitGone(ctx); err != nil {
		return nil, err
	}
	b.own, err = b.space(ctx, "inpod-bench")
	return b, err
}

// awaitGone waits for the end of the namespaces of a run: their names are needed again.
func (b *bench) awaitGone(ctx context.Context) error {
	for reported := false; ; {
		left, err := b.Client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: label})
		if err != nil || len(left.Items) == 0 {
			return err
		}
		if !reported {
			fmt.Printf("waiting for %d namespaces to go\n", len(left.Items))
			reported = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (b *bench) space(ctx context.Context, name string) (string, error) {
	namespace, err := b.CreateNamespace(ctx, name, map[string]string{label: "true"})
	b.spaces = append(b.spaces, namespace)
	return namespace, err
}

func (b *bench) cleanUp(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // also after an interrupt
	for _, namespace := range b.spaces {
		_ = b.DeleteNamespace(ctx, namespace)
	}
	_ = b.awaitGone(ctx) // the hollow node has to let its pods go
	_ = b.hollow.Stop(ctx)
}

// each calls f for 0 to n-1, several at a time, and returns the first error.
func each(n int, f func(i int) error) error {
	const atOnce = 8
	var (
		work  sync.WaitGroup
		mu    sync.Mutex
		first error
		next  int
	)
	for range min(atOnce, n) {
		work.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := first != nil
				mu.Unlock()
				if i >= n || stop {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					return
				}
			}
		})
	}
	work.Wait()
	return first
}

func (b *bench) configMap(ctx context.Context, namespace, name string) error {
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: map[string]string{"key": "1"},
	}
	_, err := b.Client.CoreV1().ConfigMaps(namespace).Create(ctx, cm, metav1.CreateOptions{})
	return ignoreExisting(err)
}

func ignoreExisting(err error) error {
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (b *bench) edit(ctx context.Context, namespace, name, value string) error {
	patch := fmt.Sprintf(`{"data":{"key":%q}}`, value)
	_, err := b.Client.CoreV1().ConfigMaps(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// deployment makes an annotated Deployment that has a ConfigMap in its environment. One that is to be rolled needs a pod,
// which is on the hollow node.
func (b *bench) deployment(ctx context.Context, namespace, name, configMap string, pods int32) error {
	return b.create(ctx, namespace, name, pods, corev1.Container{Env: []corev1.EnvVar{{Name: "KEY", ValueFrom: &corev1.EnvVarSource{
		ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}, Key: "key"},
	}}}})
}

// user makes an annotated Deployment of one pod that uses a whole source.
func (b *bench) user(ctx context.Context, namespace, name string, from corev1.EnvFromSource) error {
	return b.create(ctx, namespace, name, 1, corev1.Container{EnvFrom: []corev1.EnvFromSource{from}})
}

func (b *bench) create(ctx context.Context, namespace, name string, pods int32, container corev1.Container) error {
	container.Name, container.Image = "app", b.Env.AppImage()
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Annotations: map[string]string{autoKey: "true"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: &pods, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{container}},
			},
		},
	}
	b.hollow.Place(&d.Spec.Template.Spec)
	_, err := b.Client.AppsV1().Deployments(namespace).Create(ctx, d, metav1.CreateOptions{})
	return ignoreExisting(err)
}

// bareLoop is the cost of n patches of the form that a rollout has, one after the other.
func (b *bench) bareLoop(ctx context.Context, namespace string, n int) (time.Duration, error) {
	start := time.Now()
	for i := range n {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"bench.inpod.dev/bare":%q}},"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"BARE","value":%q}]}]}}}}`,
			strings.Repeat("x", 120), strings.Repeat("y", 40))
		_, err := b.Client.AppsV1().Deployments(namespace).
			Patch(ctx, fmt.Sprintf("d-%d", i), types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}
