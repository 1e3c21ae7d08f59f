//go:build e2e

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/patience"
)

// install puts inpod on the cluster.
func install(ctx context.Context, s *stage) error {
	if err := s.alone(ctx); err != nil {
		return err
	}
	if err := s.cleanUp(ctx); err != nil {
		return err
	}
	s.voice.Say("inpod is a controller, which watches and decides, and an injector, for the second act. Helm installs both, here "+
		"with rights in the namespace %s; without the last setting they work in all namespaces.", namespace)
	s.voice.Command("kubectl apply -f e2e/demo/manifests/namespace.yaml")
	manifest, err := s.manifest("namespace.yaml")
	if err != nil {
		return err
	}
	if err := s.cluster.ApplyYAML(ctx, "", manifest); err != nil {
		return err
	}
	s.voice.Command("helm install %s charts/inpod --namespace %s --create-namespace \\\n"+
		"    --set image.prefix=%s,image.tag=%s \\\n    --set 'namespaces={%s}'",
		release().Name, release().Namespace, s.cluster.Env.ImagePrefix, s.cluster.Env.ImageTag, namespace)
	begun := time.Now()
	if err := s.createNamespace(ctx, release().Namespace); err != nil {
		return err
	}
	if err := s.helm(ctx, nil); err != nil {
		return err
	}
	took := time.Since(begun)
	s.voice.Done("inpod is ready, %.1f s after the command", took.Seconds())
	s.rows = append(s.rows, row{changed: "inpod installed by Helm", did: "became ready", done: took})
	return nil
}

// helm installs or upgrades the release with settings of the controller.
func (s *stage) helm(ctx context.Context, config kit.Values) error {
	values := kit.Values{"namespaces": []string{namespace}}
	if config != nil {
		values["controller"] = kit.Values{"config": config}
	}
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	if err := s.cluster.Install(wait, release(), values); err != nil {
		return &failure{"the controller becomes ready", err.Error(), []string{fmt.Sprintf("kubectl -n %s describe pods", release().Namespace)}}
	}
	return nil
}

// cleanUp removes what an earlier walkthrough left, so that the story begins at the beginning.
func (s *stage) cleanUp(ctx context.Context) error {
	if err := s.cluster.Uninstall(ctx, release()); err != nil {
		return err
	}
	namespaces := s.cluster.Client.CoreV1().Namespaces()
	if _, err := namespaces.Get(ctx, namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return nil
	}
	s.voice.Say("An earlier walkthrough has left its namespace; it is removed first.")
	s.voice.Command("kubectl delete namespace %s", namespace)
	begun := time.Now()
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	if err := s.cluster.RemoveNamespace(wait, namespace); err != nil {
		return &failure{"namespace " + namespace + " is deleted", err.Error(), []string{"kubectl get namespace " + namespace + " -o yaml"}}
	}
	s.voice.Done("removed in %.1f s", time.Since(begun).Seconds())
	return nil
}

func (s *stage) createNamespace(ctx context.Context, name string) error {
	_, err := s.cluster.CreateNamespace(ctx, name, nil)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// alone makes sure that no other inpod would act in the namespace: two of them would count each other's edits.
func (s *stage) alone(ctx context.Context) error {
	list, err := s.cluster.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=inpod,app.kubernetes.io/component=controller",
	})
	if err != nil {
		return err
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.Namespace == release().Namespace || !watches(other.Spec.Template.Spec, namespace) {
			continue
		}
		instance := other.Labels["app.kubernetes.io/instance"]
		return &failure{
			"no other inpod that watches namespace " + namespace,
			fmt.Sprintf("release %s in namespace %s", instance, other.Namespace),
			[]string{fmt.Sprintf("helm uninstall %s -n %s", instance, other.Namespace)},
		}
	}
	return nil
}

// watches tells whether a controller with these arguments works in a namespace. It does not matter which annotations it
// reads: pods that ask for the sidecar are everybody's.
func watches(pod corev1.PodSpec, name string) bool {
	for _, argument := range pod.Containers[0].Args {
		if list, found := strings.CutPrefix(argument, "--namespaces="); found {
			return slices.Contains(strings.Split(list, ","), name)
		}
	}
	return true
}
