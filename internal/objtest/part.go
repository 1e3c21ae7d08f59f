package objtest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Annotation annotates the object itself, so a workload and not its pods.
func Annotation(key, value string) Part {
	return func(b *building) { metav1.SetMetaDataAnnotation(b.meta, key, value) }
}

// TemplateAnnotation annotates the pod template.
func TemplateAnnotation(key, value string) Part {
	return func(b *building) { metav1.SetMetaDataAnnotation(&b.template.ObjectMeta, key, value) }
}

// Label labels the pod template.
func Label(key, value string) Part {
	return func(b *building) { metav1.SetMetaDataLabel(&b.template.ObjectMeta, key, value) }
}

// Container begins a regular container.
func Container(name string) Part {
	return func(b *building) { b.begin(&b.template.Spec.Containers, corev1.Container{Name: name}) }
}

// Init begins an init container that runs once.
func Init(name string) Part {
	return func(b *building) { b.begin(&b.template.Spec.InitContainers, corev1.Container{Name: name}) }
}

// Sidecar begins an init container that keeps running.
func Sidecar(name string) Part {
	return func(b *building) {
		b.begin(&b.template.Spec.InitContainers, corev1.Container{Name: name, RestartPolicy: new(corev1.ContainerRestartPolicyAlways)})
	}
}

// Mount mounts a volume of one source.
func Mount(s Source) Part { return mounted(s.volume(), corev1.VolumeMount{}) }

// SubPath mounts one path inside a volume of one source.
func SubPath(s Source, path string) Part {
	return mounted(s.volume(), corev1.VolumeMount{SubPath: path})
}

// SubPathExpr is the same with variables in the path.
func SubPathExpr(s Source, expr string) Part {
	return mounted(s.volume(), corev1.VolumeMount{SubPathExpr: expr})
}

// Projected mounts a projected volume of several sources.
func Projected(sources ...Source) Part { return mounted(projected(sources), corev1.VolumeMount{}) }

// ProjectedSubPath mounts one path inside such a volume.
func ProjectedSubPath(path string, sources ...Source) Part {
	return mounted(projected(sources), corev1.VolumeMount{SubPath: path})
}

// CSI mounts a volume of the secrets-store driver for a SecretProviderClass.
func CSI(class string) Part {
	return mounted(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
		Driver: "secrets-store.csi.k8s.io", ReadOnly: new(true), VolumeAttributes: map[string]string{"secretProviderClass": class},
	}}, corev1.VolumeMount{})
}

// VolumeMount mounts any volume.
func VolumeMount(volume corev1.VolumeSource, mount corev1.VolumeMount) Part {
	return mounted(volume, mount)
}

// Unmounted adds a volume of one source that no container mounts.
func Unmounted(s Source) Part {
	return func(b *building) { b.volume(s.volume()) }
}

// Env sets a variable from one key of a source.
func Env(s Source, key string) Part {
	return env(corev1.EnvVar{Name: s.variable(key), ValueFrom: s.keyRef(key)})
}

// EnvNamed sets a variable of any name from one key of a source.
func EnvNamed(name string, s Source, key string) Part {
	return env(corev1.EnvVar{Name: name, ValueFrom: s.keyRef(key)})
}

// EnvFrom sets variables from all keys of a source, with a prefix that no other source has.
func EnvFrom(s Source) Part { return EnvFromPrefixed(s.variable(""), s) }

// EnvFromPrefixed is the same with a prefix. Of several with one prefix the later one wins.
func EnvFromPrefixed(prefix string, s Source) Part {
	return func(b *building) {
		c, from := b.container(), s.envFrom()
		from.Prefix = prefix
		c.EnvFrom = append(c.EnvFrom, from)
	}
}

// Var sets a variable to a text.
func Var(name, value string) Part { return env(corev1.EnvVar{Name: name, Value: value}) }

// FieldVar sets a variable from a field of the pod.
func FieldVar(name, path string) Part {
	return env(corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}})
}

func env(variable corev1.EnvVar) Part {
	return func(b *building) { c := b.container(); c.Env = append(c.Env, variable) }
}

// volume adds a volume and returns its name.
func (b *building) volume(volume corev1.VolumeSource) string {
	name := fmt.Sprintf("volume-%d", len(b.template.Spec.Volumes))
	b.template.Spec.Volumes = append(b.template.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: volume})
	return name
}

func mounted(volume corev1.VolumeSource, mount corev1.VolumeMount) Part {
	return func(b *building) {
		c := b.container()
		mount := mount
		mount.Name = b.volume(volume)
		mount.MountPath = fmt.Sprintf("/mnt/%d", len(c.VolumeMounts))
		c.VolumeMounts = append(c.VolumeMounts, mount)
	}
}
