package objtest

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Source is a ConfigMap or Secret as a pod template refers to it.
type Source struct {
	secret   bool
	name     string
	items    []corev1.KeyToPath
	optional *bool
}

// CM refers to a ConfigMap.
func CM(name string) Source { return Source{name: name} }

// Sec refers to a Secret.
func Sec(name string) Source { return Source{secret: true, name: name} }

// Items selects keys of a volume: "key", which is a file of that name, or "key:path".
func (s Source) Items(items ...string) Source {
	for _, item := range items {
		key, path, found := strings.Cut(item, ":")
		if !found {
			path = key
		}
		s.items = append(slices.Clip(s.items), corev1.KeyToPath{Key: key, Path: path})
	}
	return s
}

// Optional says that a pod starts without it.
func (s Source) Optional() Source {
	s.optional = new(true)
	return s
}

// Required says explicitly that a pod does not start without it, as the API server's default does silently.
func (s Source) Required() Source {
	s.optional = new(false)
	return s
}

func (s Source) ref() corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: s.name} }

func (s Source) volume() corev1.VolumeSource {
	if s.secret {
		return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: s.name, Items: s.items, Optional: s.optional}}
	}
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: s.ref(), Items: s.items, Optional: s.optional}}
}

func (s Source) projection() corev1.VolumeProjection {
	if s.secret {
		return corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: s.ref(), Items: s.items, Optional: s.optional}}
	}
	return corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: s.ref(), Items: s.items, Optional: s.optional}}
}

func projected(sources []Source) corev1.VolumeSource {
	volume := &corev1.ProjectedVolumeSource{}
	for _, s := range sources {
		volume.Sources = append(volume.Sources, s.projection())
	}
	return corev1.VolumeSource{Projected: volume}
}

func (s Source) keyRef(key string) *corev1.EnvVarSource {
	if s.secret {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: s.ref(), Key: key, Optional: s.optional}}
	}
	return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: s.ref(), Key: key, Optional: s.optional}}
}

func (s Source) envFrom() corev1.EnvFromSource {
	if s.secret {
		return corev1.EnvFromSource{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: s.ref(), Optional: s.optional}}
	}
	return corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: s.ref(), Optional: s.optional}}
}

// variable is a name for the environment variable of a key: db, tls.key → DB_TLS_KEY.
func (s Source) variable(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(fmt.Sprintf("%s_%s", s.name, key)))
}
