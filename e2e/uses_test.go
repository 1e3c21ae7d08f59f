//go:build e2e

package e2e_test

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// use is one way in which a pod consumes a source; it adds it to the pod.
type use func(*corev1.PodSpec)

// ref refers to a source from a pod.
type ref struct {
	kind, name string
	optional   bool
}

func ofConfigMap(name string) ref { return ref{kind: "ConfigMap", name: name} }
func ofSecret(name string) ref    { return ref{kind: "Secret", name: name} }

// ifPresent makes the reference an optional one.
func (r ref) ifPresent() ref {
	r.optional = true
	return r
}

// volume mounts all keys at /NAME.
func volume(r ref) use {
	return mounted(r.volume(), r.name, corev1.VolumeMount{MountPath: "/" + r.name})
}

// projected mounts one key through a projected volume as /NAME/KEY.
func projected(r ref, key string) use {
	return mounted(r.projection(key), r.name, corev1.VolumeMount{MountPath: "/" + r.name})
}

// subPath mounts one key as the file /NAME/KEY.
func subPath(r ref, key string) use {
	return mounted(r.volume(), r.name, corev1.VolumeMount{MountPath: "/" + r.name + "/" + key, SubPath: key})
}

// subPathExpr is like subPath, with the key taken from a variable.
func subPathExpr(r ref, key string) use {
	mount := mounted(r.volume(), r.name, corev1.VolumeMount{MountPath: "/" + r.name + "/" + key, SubPathExpr: "$(SUB_PATH)"})
	return func(pod *corev1.PodSpec) {
		pod.Containers[0].Env = append(pod.Containers[0].Env, corev1.EnvVar{Name: "SUB_PATH", Value: key})
		mount(pod)
	}
}

// env gives one key as a variable.
func env(variable string, r ref, key string) use {
	return func(pod *corev1.PodSpec) {
		pod.Containers[0].Env = append(pod.Containers[0].Env, corev1.EnvVar{Name: variable, ValueFrom: r.value(key)})
	}
}

// envFrom gives all keys as variables.
func envFrom(r ref) use {
	return func(pod *corev1.PodSpec) {
		pod.Containers[0].EnvFrom = append(pod.Containers[0].EnvFrom, r.values())
	}
}

// initVolume mounts all keys in an init container, which ends before the others begin.
func initVolume(r ref) use {
	return func(pod *corev1.PodSpec) {
		init := container("init-"+r.name, "ls", "/"+r.name)
		init.VolumeMounts = []corev1.VolumeMount{{Name: r.name, MountPath: "/" + r.name}}
		pod.InitContainers = append(pod.InitContainers, init)
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: r.name, VolumeSource: r.volume()})
	}
}

// initEnv gives one key as a variable of an init container.
func initEnv(variable string, r ref, key string) use {
	return func(pod *corev1.PodSpec) {
		init := container("init-"+r.name, "env", variable)
		init.Env = []corev1.EnvVar{{Name: variable, ValueFrom: r.value(key)}}
		pod.InitContainers = append(pod.InitContainers, init)
	}
}

// sidecarVolume mounts all keys in an init container that keeps running.
func sidecarVolume(r ref) use {
	return func(pod *corev1.PodSpec) {
		init := container("sidecar-"+r.name, "sleep")
		init.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
		init.VolumeMounts = []corev1.VolumeMount{{Name: r.name, MountPath: "/" + r.name}}
		pod.InitContainers = append(pod.InitContainers, init)
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: r.name, VolumeSource: r.volume()})
	}
}

func mounted(source corev1.VolumeSource, name string, mount corev1.VolumeMount) use {
	return func(pod *corev1.PodSpec) {
		mount.Name = name
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: name, VolumeSource: source})
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, mount)
	}
}

func (r ref) object() corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: r.name} }

func (r ref) volume() corev1.VolumeSource {
	if r.kind == "Secret" {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: r.name, Optional: &r.optional}}
	}
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: r.object(), Optional: &r.optional}}
}

func (r ref) projection(key string) corev1.VolumeSource {
	items := []corev1.KeyToPath{{Key: key, Path: key}}
	source := corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: r.object(), Items: items, Optional: &r.optional}}
	if r.kind == "Secret" {
		source = corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: r.object(), Items: items, Optional: &r.optional}}
	}
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{source}}}
}

func (r ref) value(key string) *corev1.EnvVarSource {
	if r.kind == "Secret" {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: r.object(), Key: key, Optional: &r.optional}}
	}
	return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: r.object(), Key: key, Optional: &r.optional}}
}

func (r ref) values() corev1.EnvFromSource {
	prefix := strings.ToUpper(strings.ReplaceAll(r.name, "-", "_")) + "_"
	if r.kind == "Secret" {
		return corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{LocalObjectReference: r.object(), Optional: &r.optional}}
	}
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: r.object(), Optional: &r.optional}}
}
