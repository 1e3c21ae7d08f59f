//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/patience"
)

// breakThings injects the faults of the plan, each at its time, and returns when all are over.
func (s *stage) breakThings(ctx context.Context) error {
	var refusals sync.WaitGroup
	problems := make(chan error, len(s.plan.Faults))
	for _, fault := range s.plan.Faults {
		if !s.sleepUntil(ctx, fault.At) {
			break
		}
		switch fault.What {
		case plan.Refusal:
			refusals.Go(func() { problems <- s.refuse(ctx, fault) })
			continue
		case plan.SlowAdmission:
			refusals.Go(func() { s.report(fault, s.delay(ctx, fault)) })
			continue
		case plan.Copy:
			refusals.Go(func() { s.report(fault, s.copied(ctx, fault)) })
			continue
		default:
		}
		if err := s.hurt(ctx, fault); err != nil {
			s.say("%s: did not succeed: %v", fault.What, err)
			continue
		}
		s.count(fault.What)
	}
	refusals.Wait()
	close(problems)
	err := ctx.Err()
	for problem := range problems {
		err = errors.Join(err, problem)
	}
	return err
}

func (s *stage) count(what plan.What) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[what]++
}

// report says that a fault did not succeed: that is no failure of the controller.
func (s *stage) report(fault plan.Fault, err error) {
	if err != nil {
		s.say("%s: did not succeed: %v", fault.What, err)
	}
}

func (s *stage) hurt(ctx context.Context, fault plan.Fault) error {
	ctx, cancel := patience.Context(ctx, time.Minute)
	defer cancel()
	switch what := fault.What; what {
	case plan.RestartAPI:
		return s.restartAPI(ctx)
	case plan.DeleteLeader, plan.KillLeader:
		return s.kill(ctx, true, what == plan.KillLeader)
	case plan.DeleteFollower, plan.KillFollower:
		return s.kill(ctx, false, what == plan.KillFollower)
	case plan.Undo:
		return s.undo(ctx, fault.Workload)
	case plan.KeyReplaced:
		return s.replaceKey(ctx)
	case plan.Refusal, plan.SlowAdmission, plan.Copy: // they last, so that breakThings begins them
	}
	return nil
}

// restartAPI ends the API server and starts it. A moment before nothing is written: of two changes when the controller
// saw only one before the outage it cannot know that they belong together.
func (s *stage) restartAPI(ctx context.Context) error {
	if s.cluster == "" {
		return errors.New("not the local cluster")
	}
	s.writing.Lock()
	unlock := sync.OnceFunc(s.writing.Unlock)
	defer unlock()
	sleep(ctx, time.Second)
	time.AfterFunc(500*time.Millisecond, unlock)
	return command(ctx, s.cluster, "restart", "kube-apiserver")
}

// kill ends the leader or another replica: its pod, or its process alone.
func (s *stage) kill(ctx context.Context, leader, process bool) error {
	controller := s.release.Controller()
	lease, err := s.Client.CoordinationV1().Leases(s.release.Namespace).Get(ctx, controller.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	holder := ""
	if lease.Spec.HolderIdentity != nil {
		holder = *lease.Spec.HolderIdentity
	}
	pods, err := s.Pods(ctx, controller)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if strings.HasPrefix(holder, pod.Name) != leader {
			continue
		}
		s.keepLog(ctx, pod)
		if !process || s.cluster == "" {
			return s.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))})
		}
		if len(pod.Status.ContainerStatuses) == 0 || pod.Status.ContainerStatuses[0].State.Running == nil {
			continue
		}
		_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
		return command(ctx, s.cluster, "shell", "ctr", "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", id)
	}
	return errors.New("there is none at the moment")
}

// keepLog writes what a controller that is about to die has logged.
func (s *stage) keepLog(ctx context.Context, pod corev1.Pod) {
	log, err := s.Logs(ctx, pod.Namespace, pod.Name, corev1.PodLogOptions{})
	if err == nil {
		s.keep(fmt.Sprintf("%03.0fs-%s.log", time.Since(s.begun).Seconds(), pod.Name), log, nil)
	}
}

// refuse makes the API server refuse edits of the template of one Deployment for a while.
func (s *stage) refuse(ctx context.Context, fault plan.Fault) error {
	policy, binding := policyOn(s.plan.Refused)
	remove := func(ctx context.Context) error {
		return persist(ctx, func() error { return s.Delete(ctx, space, binding, policy) })
	}
	defer func() {
		ctx, cancel := patience.Context(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_ = remove(ctx)
	}()
	if err := persist(ctx, func() error { return s.Apply(ctx, space, policy, binding) }); err != nil {
		return err
	}
	if err := persist(ctx, func() error { return s.isRefused(ctx, true) }); err != nil {
		return err
	}
	s.say("admission refuses edits of Deployment %s", s.plan.Refused)
	s.count(plan.Refusal)
	if fault.At == plan.Calm {
		s.mu.Lock()
		s.alone[0] = time.Now()
		s.mu.Unlock()
	}
	s.sleepUntil(ctx, fault.At+fault.For)
	if fault.At == plan.Calm {
		s.mu.Lock()
		s.alone[1] = time.Now()
		s.mu.Unlock()
	}
	if err := remove(ctx); err != nil {
		return err
	}
	s.say("admission allows edits of Deployment %s again", s.plan.Refused)
	return nil
}

func policyOn(name string) (*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	metadata := metav1.ObjectMeta{Name: space, Labels: map[string]string{domain + "/made": "true"}}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metadata, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": space}},
			ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				ResourceNames: []string{name},
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
				},
			}},
		},
		Validations: []admissionregistrationv1.Validation{{
			Expression: "object.spec.template == oldObject.spec.template", Message: "stress refuses the template of " + name,
		}},
	}}
	return policy, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metadata, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: space, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
}

// isRefused asks with a dry run: nothing announces that the API server has taken up a policy.
func (s *stage) isRefused(ctx context.Context, want bool) error {
	edit := []byte(`{"spec":{"template":{"metadata":{"annotations":{"` + domain + `/probe":"x"}}}}}`)
	options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: framework.FieldManager}
	_, err := s.Client.AppsV1().Deployments(space).Patch(ctx, s.plan.Refused, types.MergePatchType, edit, options)
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
		return err
	}
	if (err != nil) != want {
		return fmt.Errorf("admission does not yet do what its policy says; wanted refused=%t: %w", want, err)
	}
	return nil
}

// command runs a program in the folder of the local cluster; its error has what the program printed.
func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
