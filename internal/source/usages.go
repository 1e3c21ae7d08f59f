package source

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// csiDriver is the volume driver whose secretProviderClass attribute names a source.
const csiDriver = "secrets-store.csi.k8s.io"

// Usages returns every usage of a source in a pod template, in the order of
// the template: containers first, then init containers; mounts before
// environment. Volumes that no container mounts are not used.
func Usages(namespace string, spec *corev1.PodSpec) []Usage {
	volumes := make(map[string]*corev1.Volume, len(spec.Volumes))
	for i := range spec.Volumes {
		volumes[spec.Volumes[i].Name] = &spec.Volumes[i]
	}
	var usages []Usage
	for i := range spec.Containers {
		w := walk{namespace: namespace, volumes: volumes}
		usages = append(usages, w.container(&spec.Containers[i])...)
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		restartable := c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
		w := walk{namespace: namespace, volumes: volumes, init: true, runsOnce: !restartable}
		usages = append(usages, w.container(c)...)
	}
	return usages
}

// walk carries what is the same for all usages of one container.
type walk struct {
	namespace string
	volumes   map[string]*corev1.Volume
	init      bool
	runsOnce  bool
}

func (w walk) usage(c *corev1.Container, kind Kind, name string, via Via, keys []string, optional *bool) Usage {
	return Usage{
		Ref:       Ref{Kind: kind, Namespace: w.namespace, Name: name},
		Via:       via,
		Container: c.Name,
		Init:      w.init,
		RunsOnce:  w.runsOnce,
		Keys:      keys,
		Optional:  optional != nil && *optional,
	}
}

func (w walk) container(c *corev1.Container) []Usage {
	var usages []Usage
	for i := range c.VolumeMounts {
		mount := &c.VolumeMounts[i]
		if volume, ok := w.volumes[mount.Name]; ok {
			usages = append(usages, w.mount(c, mount, volume)...)
		}
	}
	for i := range c.EnvFrom {
		from := &c.EnvFrom[i]
		if r := from.ConfigMapRef; r != nil {
			usages = append(usages, w.usage(c, ConfigMap, r.Name, ViaEnvFrom, nil, r.Optional))
		}
		if r := from.SecretRef; r != nil {
			usages = append(usages, w.usage(c, Secret, r.Name, ViaEnvFrom, nil, r.Optional))
		}
	}
	for i := range c.Env {
		from := c.Env[i].ValueFrom
		if from == nil {
			continue
		}
		if r := from.ConfigMapKeyRef; r != nil {
			usages = append(usages, w.usage(c, ConfigMap, r.Name, ViaEnv, []string{r.Key}, r.Optional))
		}
		if r := from.SecretKeyRef; r != nil {
			usages = append(usages, w.usage(c, Secret, r.Name, ViaEnv, []string{r.Key}, r.Optional))
		}
	}
	// An empty name cannot refer to anything; the API server lets it pass.
	return slices.DeleteFunc(usages, func(u Usage) bool { return u.Ref.Name == "" })
}

// part is one source inside a volume.
type part struct {
	kind     Kind
	name     string
	items    []corev1.KeyToPath
	optional *bool
}

func (w walk) mount(c *corev1.Container, mount *corev1.VolumeMount, volume *corev1.Volume) []Usage {
	parts, via := volumeParts(volume)
	subPath, exact := mountSubPath(c, mount)
	usages := make([]Usage, 0, len(parts))
	for _, p := range parts {
		u := w.usage(c, p.kind, p.name, via, itemKeys(p.items), p.optional)
		u.Items = u.Keys
		if mount.SubPath != "" || mount.SubPathExpr != "" {
			u.Via, u.Shared = ViaSubPath, len(parts) > 1
			if exact && p.kind != SecretProviderClass {
				keys, used := subPathKeys(p.items, subPath)
				if !used {
					continue
				}
				u.Keys = keys
			}
		}
		usages = append(usages, u)
	}
	return usages
}

// volumeParts lists the sources of a volume.
func volumeParts(volume *corev1.Volume) ([]part, Via) {
	switch {
	case volume.ConfigMap != nil:
		v := volume.ConfigMap
		return []part{{ConfigMap, v.Name, v.Items, v.Optional}}, ViaVolume
	case volume.Secret != nil:
		v := volume.Secret
		return []part{{Secret, v.SecretName, v.Items, v.Optional}}, ViaVolume
	case volume.CSI != nil && volume.CSI.Driver == csiDriver:
		return []part{{kind: SecretProviderClass, name: volume.CSI.VolumeAttributes["secretProviderClass"]}}, ViaCSI
	case volume.Projected != nil:
		var parts []part
		for _, s := range volume.Projected.Sources {
			if v := s.ConfigMap; v != nil {
				parts = append(parts, part{ConfigMap, v.Name, v.Items, v.Optional})
			}
			if v := s.Secret; v != nil {
				parts = append(parts, part{Secret, v.Name, v.Items, v.Optional})
			}
		}
		return parts, ViaProjected
	}
	return nil, ""
}

// itemKeys returns the keys that items select, sorted and without repeats; nil for all.
func itemKeys(items []corev1.KeyToPath) []string {
	if len(items) == 0 {
		return nil
	}
	set := make(map[string]struct{}, len(items))
	for _, item := range items {
		set[item.Key] = struct{}{}
	}
	return slices.Sorted(maps.Keys(set))
}

// subPathKeys returns the keys whose files lie at or below subPath. Without
// items each key is a file of its own name. used is false if the source has
// no part in it.
func subPathKeys(items []corev1.KeyToPath, subPath string) (keys []string, used bool) {
	if first, rest, _ := strings.Cut(subPath, "/"); strings.HasPrefix(first, "..") {
		subPath = rest // a folder of the kubelet, such as ..data, with all files in it
	}
	if subPath == "" { // "." and the like: the volume's root
		return itemKeys(items), true
	}
	if len(items) == 0 {
		key, _, _ := strings.Cut(subPath, "/")
		return []string{key}, true
	}
	var below []corev1.KeyToPath
	for _, item := range items {
		path := cleanPath(item.Path)
		if path == subPath || strings.HasPrefix(path, subPath+"/") {
			below = append(below, item)
		}
	}
	return itemKeys(below), len(below) > 0
}
