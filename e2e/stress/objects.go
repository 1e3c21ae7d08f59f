//go:build e2e

package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/annotation"
)

// domain is that of the annotation keys: another controller in the cluster does not follow the workloads.
const domain = "stress.inpod.dev"

// kind is where objects of a kind are, and where their pod template is.
type kind struct {
	resource schema.GroupVersionResource
	template []string
}

func kinds() map[plan.Kind]kind {
	direct := []string{"spec", "template"}
	return map[plan.Kind]kind{
		plan.Deployment:       {appsv1.SchemeGroupVersion.WithResource("deployments"), direct},
		plan.StatefulSet:      {appsv1.SchemeGroupVersion.WithResource("statefulsets"), direct},
		plan.DaemonSet:        {appsv1.SchemeGroupVersion.WithResource("daemonsets"), direct},
		plan.CronJob:          {batchv1.SchemeGroupVersion.WithResource("cronjobs"), []string{"spec", "jobTemplate", "spec", "template"}},
		plan.Job:              {batchv1.SchemeGroupVersion.WithResource("jobs"), direct},
		plan.Rollout:          {schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}, direct},
		plan.DeploymentConfig: {schema.GroupVersionResource{Group: "apps.openshift.io", Version: "v1", Resource: "deploymentconfigs"}, direct},
		plan.CloneSet:         {schema.GroupVersionResource{Group: domain, Version: "v1", Resource: "clonesets"}, []string{"spec", "pod", "template"}},
	}
}

// object is a workload as Kubernetes has it.
func (s *stage) object(w plan.Workload) (*unstructured.Unstructured, error) {
	labels := map[string]string{"app": w.Name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: s.pod(w)}
	if w.Form == plan.InPlace {
		template.Annotations = map[string]string{annotation.InjectKey: "enabled", "inpod.dev/preset": "nginx"}
	}
	selector, replicas := &metav1.LabelSelector{MatchLabels: labels}, int32(1)
	var typed any
	switch w.Kind {
	case plan.StatefulSet:
		typed = &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, Selector: selector, Template: template, ServiceName: w.Name, RevisionHistoryLimit: new(int32(3)),
		}}
	case plan.DaemonSet:
		typed = &appsv1.DaemonSet{Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}}
	case plan.CronJob:
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		typed = &batchv1.CronJob{Spec: batchv1.CronJobSpec{
			Schedule: "0 0 29 2 *", SuccessfulJobsHistoryLimit: new(int32(100)), FailedJobsHistoryLimit: new(int32(100)),
			JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template, BackoffLimit: new(int32(3))}},
		}}
	case plan.Job:
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		typed = &batchv1.Job{Spec: batchv1.JobSpec{Template: template, BackoffLimit: new(int32(3))}}
	case plan.Deployment, plan.Rollout, plan.DeploymentConfig, plan.CloneSet:
		typed = &appsv1.Deployment{Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: selector, Template: template, RevisionHistoryLimit: new(int32(3)),
		}}
	}
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", w.Kind, w.Name, err)
	}
	delete(fields, "status")
	u := &unstructured.Unstructured{Object: fields}
	if err := s.reshape(w, u); err != nil {
		return nil, fmt.Errorf("%s %s: %w", w.Kind, w.Name, err)
	}
	u.SetAPIVersion(kinds()[w.Kind].resource.GroupVersion().String())
	u.SetKind(string(w.Kind))
	u.SetName(w.Name)
	u.SetNamespace(space)
	if w.Form != plan.InPlace {
		u.SetAnnotations(map[string]string{domain + "/auto": "true"})
	}
	return u, nil
}

// reshape makes the spec of a Deployment one of a kind without a Go type here.
func (s *stage) reshape(w plan.Workload, u *unstructured.Unstructured) error {
	if w.Kind != plan.Rollout && w.Kind != plan.DeploymentConfig && w.Kind != plan.CloneSet {
		return nil
	}
	template, _, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil {
		return err
	}
	spec := map[string]any{}
	switch w.Kind {
	case plan.Rollout:
		spec["replicas"], spec["selector"] = int64(1), map[string]any{"matchLabels": map[string]any{"app": w.Name}}
		spec["strategy"] = map[string]any{"canary": map[string]any{}}
	case plan.DeploymentConfig:
		spec["replicas"], spec["selector"] = int64(1), map[string]any{"app": w.Name}
	default:
	}
	u.Object["spec"] = spec
	return unstructured.SetNestedMap(u.Object, template, kinds()[w.Kind].template...)
}

// pod is what the pods of a workload are.
func (s *stage) pod(w plan.Workload) corev1.PodSpec {
	config := corev1.LocalObjectReference{Name: w.Name}
	mountedAs := func(mount corev1.VolumeMount, from corev1.VolumeSource) corev1.PodSpec {
		mount.Name = "config"
		return corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: s.Env.AppImage(), VolumeMounts: []corev1.VolumeMount{mount}}},
			Volumes:    []corev1.Volume{{Name: "config", VolumeSource: from}},
		}
	}
	whole := corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: config}}
	variable := corev1.EnvVar{Name: "CONFIG_value", ValueFrom: &corev1.EnvVarSource{
		ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: config, Key: w.Key()},
	}}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: s.Env.AppImage()}}}
	app := &spec.Containers[0]
	switch w.Form {
	case plan.Env:
		app.Env = append(app.Env, variable)
	case plan.EnvFrom:
		app.EnvFrom = append(app.EnvFrom, corev1.EnvFromSource{Prefix: "CONFIG_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: config}})
	case plan.Volume:
		spec = mountedAs(corev1.VolumeMount{MountPath: "/config"}, whole)
	case plan.SubPath:
		spec = mountedAs(corev1.VolumeMount{MountPath: "/config/value", SubPath: "value"}, whole)
	case plan.Projected:
		spec = mountedAs(corev1.VolumeMount{MountPath: "/config"}, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: config, Items: []corev1.KeyToPath{{Key: w.Key(), Path: "value"}},
			}}},
		}})
	case plan.Init:
		spec.InitContainers = []corev1.Container{{Name: "init", Image: s.Env.AppImage(), Args: []string{"env", "CONFIG_value"}, Env: []corev1.EnvVar{variable}}}
	case plan.InPlace:
		spec = mountedAs(corev1.VolumeMount{MountPath: "/etc/nginx/conf.d"}, whole)
		spec.Containers[0].Image = s.Env.NginxImage()
	}
	app = &spec.Containers[0]
	if w.Form != plan.InPlace {
		app.EnvFrom = append(app.EnvFrom, corev1.EnvFromSource{Prefix: "SECRET_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: config}})
	}
	if w.Shared {
		shared := corev1.LocalObjectReference{Name: plan.Shared().Name}
		app.EnvFrom = append(app.EnvFrom, corev1.EnvFromSource{Prefix: "SHARED_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: shared}})
	}
	if w.Kind == plan.CronJob {
		app.Args = []string{"env", "CONFIG_value"}
	}
	if !w.Runs && w.Kind != plan.CronJob && w.Kind != plan.Job {
		s.hollow.Place(&spec)
	}
	spec.TerminationGracePeriodSeconds = new(int64(1))
	spec.EnableServiceLinks = new(false)
	return spec
}

// manifest is a source as Kubernetes has it. What nginx reads is a configuration that answers with the value.
func manifest(from plan.Source, content map[string]string) runtime.Object {
	metadata := metav1.ObjectMeta{Name: from.Name, Namespace: space}
	if from.Kind == "ConfigMap" {
		return &corev1.ConfigMap{ObjectMeta: metadata, Data: written(content)}
	}
	data := map[string][]byte{}
	for key, value := range content {
		data[key] = []byte(value)
	}
	return &corev1.Secret{ObjectMeta: metadata, Data: data}
}

func written(content map[string]string) map[string]string {
	data := map[string]string{}
	for key, value := range content {
		if key == "default.conf" {
			value = fmt.Sprintf("server {\n  listen 8080;\n  location / { return 200 \"%s\\n\"; }\n}\n", value)
		}
		data[key] = value
	}
	return data
}

// values are the settings of the release.
func values(strategy string) framework.Values {
	config := framework.Values{
		"logLevel":       "debug", // each decision is evidence
		"reloadStrategy": strategy, "settle": settle.String(), "isArgoRollouts": true, "isOpenshift": true,
		// A short lease: a leader that is dead keeps the others waiting for so long.
		"leaseDuration": "4s", "leaseRenewDeadline": "3s", "leaseRetryPeriod": "1s",
		"autoAnnotation": domain + "/auto", "configmapAutoAnnotation": "configmap." + domain + "/auto",
		"secretAutoAnnotation": "secret." + domain + "/auto", "configmapAnnotation": "configmap." + domain + "/reload",
		"secretAnnotation": "secret." + domain + "/reload", "autoSearchAnnotation": domain + "/search",
		"searchMatchAnnotation": domain + "/match", "ignoreAnnotation": domain + "/ignore",
	}
	clones := kinds()[plan.CloneSet].resource
	return framework.Values{
		"namespaces": []string{space},
		"injector":   framework.Values{"replicas": 1},
		"controller": framework.Values{
			"replicas": 2, "config": config, "readinessProbe": framework.Values{"periodSeconds": 1},
			"workloadKinds": []any{framework.Values{
				"kind": string(plan.CloneSet), "group": clones.Group, "version": clones.Version, "resource": clones.Resource, "templatePath": "spec.pod.template",
			}},
		},
	}
}
