//go:build e2e

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/judge"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/source"
)

// errNothingToUndo says that a Deployment has one revision.
var errNothingToUndo = errors.New("there is no former revision")

const revision = "deployment.kubernetes.io/revision"

// skippedByUndo reports whether kubectl leaves an annotation alone (kubectl/pkg/polymorphichelpers/rollback.go).
func skippedByUndo(key string) bool {
	switch key {
	case corev1.LastAppliedConfigAnnotation, revision, "deployment.kubernetes.io/revision-history",
		"deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas", "deprecated.deployment.rollback.to":
		return true
	}
	return false
}

// undo puts the template of the former revision of a Deployment back, with its annotations, as kubectl rollout undo does.
func (s *stage) undo(ctx context.Context, name string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	deployment, err := s.Client.AppsV1().Deployments(space).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	sets, err := s.Client.AppsV1().ReplicaSets(space).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	former := formerOf(deployment, sets.Items)
	if former == nil {
		return errNothingToUndo
	}
	template := former.Spec.Template.DeepCopy()
	delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	annotations := map[string]string{}
	for key, value := range deployment.Annotations {
		if skippedByUndo(key) {
			annotations[key] = value
		}
	}
	for key, value := range former.Annotations {
		if !skippedByUndo(key) {
			annotations[key] = value
		}
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/spec/template", "value": template},
		{"op": "replace", "path": "/metadata/annotations", "value": annotations},
	})
	if err != nil {
		return err
	}
	_, err = s.Client.AppsV1().Deployments(space).Patch(ctx, name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: "kubectl"})
	if err != nil {
		return fmt.Errorf("undo Deployment %s: %w", name, err)
	}
	s.mu.Lock()
	s.undone[name] = append(s.undone[name], time.Now())
	s.edited[name]++
	s.mu.Unlock()
	s.say("the last rollout of Deployment %s is undone", name)
	return nil
}

// formerOf is the ReplicaSet of the revision before the newest one, nil for none.
func formerOf(deployment *appsv1.Deployment, sets []appsv1.ReplicaSet) *appsv1.ReplicaSet {
	number := func(set *appsv1.ReplicaSet) int { n, _ := strconv.Atoi(set.Annotations[revision]); return n }
	var newest, former *appsv1.ReplicaSet
	for i := range sets {
		set := &sets[i]
		switch {
		case !metav1.IsControlledBy(set, deployment):
		case newest == nil || number(set) > number(newest):
			newest, former = set, newest
		case former == nil || number(set) > number(former):
			former = set
		}
	}
	return former
}

// copied makes a copy of a Deployment with its baseline, as somebody does who exports and applies it, and watches it.
func (s *stage) copied(ctx context.Context, fault plan.Fault) error {
	deployments := s.Custom(kinds()[plan.Deployment].resource, space)
	name := fmt.Sprintf("%s-copy-%d", fault.Workload, int(fault.At.Seconds()))
	bounded, cancel := patience.Context(ctx, time.Minute)
	defer cancel()
	err := persist(bounded, func() error {
		u, err := deployments.Get(bounded, fault.Workload, metav1.GetOptions{})
		if err != nil {
			return err
		}
		metadata := map[string]any{"name": name, "namespace": space}
		if annotations, has, _ := unstructured.NestedMap(u.Object, "metadata", "annotations"); has {
			metadata["annotations"] = annotations
		}
		u.Object["metadata"] = metadata
		delete(u.Object, "status")
		for _, path := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "template", "metadata", "labels"}} {
			if err := unstructured.SetNestedStringMap(u.Object, map[string]string{"app": name}, path...); err != nil {
				return err
			}
		}
		_, err = deployments.Create(bounded, u, metav1.CreateOptions{FieldManager: framework.FieldManager})
		if apierrors.IsAlreadyExists(err) { // the answer to a try before was lost
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("copy Deployment %s: %w", fault.Workload, err)
	}
	created := time.Now()
	s.count(plan.Copy)
	s.say("Deployment %s is copied with its baseline", fault.Workload)
	sleep(ctx, fault.For)
	s.mu.Lock()
	if problem := judge.Copy(fault.Workload, s.applied[fault.Workload], created, settle, s.rolled[name]); problem != "" {
		s.mistaken = append(s.mistaken, errors.New(problem))
		s.suspects[name] = plan.Deployment
	}
	suspect := s.suspects[name] != ""
	s.mu.Unlock()
	if suspect {
		return nil // it is evidence
	}
	bounded, cancel = patience.Context(ctx, time.Minute)
	defer cancel()
	return persist(bounded, func() error {
		return s.Delete(bounded, space, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: space}})
	})
}

// replaceKey replaces the key of the digests, as who restores the namespace without this Secret does.
func (s *stage) replaceKey(ctx context.Context) error {
	secrets := s.Client.CoreV1().Secrets(s.release.Namespace)
	before, err := secrets.Get(ctx, s.release.Name+"-inpod-digest-key", metav1.GetOptions{})
	if err != nil {
		return err
	}
	key := make([]byte, len(before.Data["key"]))
	_, _ = rand.Read(key) // it never fails
	next := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: before.Name, Namespace: before.Namespace, Labels: before.Labels, Annotations: before.Annotations},
		Type:       before.Type, Data: map[string][]byte{"key": key}, Immutable: before.Immutable,
	}
	if err := secrets.Delete(ctx, before.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if _, err := secrets.Create(ctx, next, metav1.CreateOptions{FieldManager: framework.FieldManager}); err != nil {
		return err // a controller that starts has made one
	}
	digester, err := source.NewDigester(key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.former = append(s.former, s.digester)
	s.digester = digester
	s.mu.Unlock()
	s.say("the digest key is replaced")
	return nil
}

// delay makes admission slow for the writes of the controller to one Deployment. The webhook is a
// Service that accepts connections and says nothing, so that the API server waits for its time-out and goes on.
func (s *stage) delay(ctx context.Context, fault plan.Fault) error {
	var silent *framework.Silent
	err := persist(ctx, func() (err error) {
		silent, err = s.StartSilent(ctx, s.release.Namespace)
		return err
	})
	if err != nil {
		return err
	}
	webhook := slowWebhook(silent, fault.Workload, s.release.Namespace)
	remove := func(ctx context.Context) error {
		return persist(ctx, func() error { return s.Delete(ctx, space, webhook) })
	}
	defer func() {
		ctx, cancel := patience.Context(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = remove(ctx)
	}()
	if err := persist(ctx, func() error { return s.Apply(ctx, space, webhook) }); err != nil {
		return err
	}
	s.count(plan.SlowAdmission)
	s.say("admission is slow for Deployment %s", fault.Workload)
	s.sleepUntil(ctx, fault.At+fault.For)
	if err := remove(ctx); err != nil {
		return err
	}
	asked := 0
	err = persist(ctx, func() (err error) {
		asked, err = silent.Asked(ctx)
		return err
	})
	s.say("admission is as fast as before; %d requests had to wait", asked)
	return err
}

func slowWebhook(silent *framework.Silent, name, namespace string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: space + "-slow", Labels: map[string]string{domain + "/made": "true"}},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "slow." + domain, ClientConfig: admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
				Namespace: silent.Namespace, Name: silent.Name, Port: &silent.Port,
			}},
			AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(10)),
			FailurePolicy: new(admissionregistrationv1.Ignore), SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": space}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
			MatchConditions: []admissionregistrationv1.MatchCondition{{
				Name:       "the-controller",
				Expression: fmt.Sprintf("request.name == %q && request.userInfo.username.startsWith(%q)", name, "system:serviceaccount:"+namespace+":"),
			}},
		}},
	}
}
