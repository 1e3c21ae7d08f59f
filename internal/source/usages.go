package source

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// csiDriver is the volume driver whose secretProviderClass attribute names a source.
const csiDriver = "secrets-store.csi.k8s.io"

// ClassOf returns the SecretProviderClass that a volume shows, "" for one that shows none.
func ClassOf(volume *corev1.Volume) string {
	if volume.CSI == nil || volume.CSI.Driver != csiDriver {
		return ""
	}
	return volume.CSI.VolumeAttributes["secretProviderClass"]
}

// MaxShown bounds [Shown] of what is followed: [Usages] makes about a kilobyte of each. Real templates have hundreds.
const MaxShown = 20_000

// Shown is how many sources and files the mounts of a pod template show, all together. A template has room for thousands of mounts
// of a volume of thousands of sources.
func Shown(spec *corev1.PodSpec) int {
	ofVolume := make(map[string]int, len(spec.Volumes))
	for i := range spec.Volumes {
		volume := &spec.Volumes[i]
		number := 1
		switch {
		case volume.ConfigMap != nil:
			number += len(volume.ConfigMap.Items)
		case volume.Secret != nil:
			number += len(volume.Secret.Items)
		case volume.Projected != nil:
			for j := range volume.Projected.Sources {
				number += 1 + itemsOf(&volume.Projected.Sources[j])
			}
		}
		ofVolume[volume.Name] = number
	}
	shown := 0
	for _, containers := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range containers {
			for _, mount := range containers[i].VolumeMounts {
				shown += ofVolume[mount.Name]
				if mount.SubPathExpr != "" { // which may name each variable
					shown += len(containers[i].Env)
				}
			}
		}
	}
	return shown
}

// itemsOf is how many files a source of a projected volume names.
func itemsOf(s *corev1.VolumeProjection) int {
	switch {
	case s.ConfigMap != nil:
		return len(s.ConfigMap.Items)
	case s.Secret != nil:
		return len(s.Secret.Items)
	case s.DownwardAPI != nil:
		return len(s.DownwardAPI.Items)
	}
	return 0
}

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
		Ref:       kind.Ref(w.namespace, name),
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
	place, fromLayers, envLayers := w.environment(c)
	add := func(u Usage, layer int) {
		if place != nil {
			u.Place, u.Layer = place, layer
		}
		usages = append(usages, u)
	}
	for i := range c.EnvFrom {
		from := &c.EnvFrom[i]
		if r := from.ConfigMapRef; r != nil {
			add(w.usage(c, ConfigMap, r.Name, ViaEnvFrom, nil, r.Optional), fromLayers[i])
		}
		if r := from.SecretRef; r != nil {
			add(w.usage(c, Secret, r.Name, ViaEnvFrom, nil, r.Optional), fromLayers[i])
		}
	}
	for i := range c.Env {
		from := c.Env[i].ValueFrom
		if from == nil {
			continue
		}
		if r := from.ConfigMapKeyRef; r != nil {
			add(w.usage(c, ConfigMap, r.Name, ViaEnv, []string{r.Key}, r.Optional), envLayers[i])
		}
		if r := from.SecretKeyRef; r != nil {
			add(w.usage(c, Secret, r.Name, ViaEnv, []string{r.Key}, r.Optional), envLayers[i])
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
	layer    int
}

// layer returns what the part gives to the volume.
func (w walk) layer(p part) Layer {
	return Layer{Ref: p.kind.Ref(w.namespace, p.name), All: len(p.items) == 0, Names: itemNames(p.items)}
}

func (w walk) mount(c *corev1.Container, mount *corev1.VolumeMount, volume *corev1.Volume) []Usage {
	parts, place, via := w.volumeParts(volume)
	subPath, exact := mountSubPath(c, mount)
	usages := make([]Usage, 0, len(parts))
	below := place
	if exact {
		below = place.below(subPath)
	}
	for _, p := range parts {
		u := w.usage(c, p.kind, p.name, via, itemKeys(p.items), p.optional)
		u.Items = u.Keys
		if place != nil {
			u.Place, u.Layer = place, p.layer
		}
		if mount.SubPath != "" || mount.SubPathExpr != "" {
			u.Via, u.Shared = ViaSubPath, len(parts) > 1
			if exact && p.kind != SecretProviderClass {
				keys, used := subPathKeys(p.items, subPath)
				if !used {
					continue
				}
				u.Keys, u.Place = keys, below
			}
		}
		usages = append(usages, u)
	}
	return usages
}

// volumeParts lists the sources of a volume.
func (w walk) volumeParts(volume *corev1.Volume) ([]part, Place, Via) {
	switch {
	case volume.ConfigMap != nil:
		v := volume.ConfigMap
		only := part{kind: ConfigMap, name: v.Name, items: v.Items, optional: v.Optional}
		return []part{only}, meets([]Layer{w.layer(only)}), ViaVolume
	case volume.Secret != nil:
		v := volume.Secret
		only := part{kind: Secret, name: v.SecretName, items: v.Items, optional: v.Optional}
		return []part{only}, meets([]Layer{w.layer(only)}), ViaVolume
	case ClassOf(volume) != "":
		return []part{{kind: SecretProviderClass, name: ClassOf(volume)}}, nil, ViaCSI
	case volume.Projected != nil:
		parts, layers := w.projected(volume.Projected.Sources)
		return parts, meets(layers), ViaProjected
	}
	return nil, nil, ""
}

// projected lists the sources of a projected volume, and what gives files to it.
func (w walk) projected(sources []corev1.VolumeProjection) (parts []part, layers []Layer) {
	for i := range sources {
		s := &sources[i]
		one, isBundle := bundlePart(s)
		switch {
		case isBundle:
		case s.ConfigMap != nil:
			one = part{kind: ConfigMap, name: s.ConfigMap.Name, items: s.ConfigMap.Items, optional: s.ConfigMap.Optional}
		case s.Secret != nil:
			one = part{kind: Secret, name: s.Secret.Name, items: s.Secret.Items, optional: s.Secret.Optional}
		default:
			if names := itemNames(OtherFiles(s)); len(names) > 0 {
				layers = append(layers, Layer{Names: names})
			}
			continue
		}
		if one.name != "" {
			one.layer = len(layers)
			parts, layers = append(parts, one), append(layers, w.layer(one))
		}
	}
	return parts, layers
}

// bundlePart returns the part that a bundle of trust anchors is; ok is false for any other source.
func bundlePart(s *corev1.VolumeProjection) (p part, ok bool) {
	ref, items, ok := Bundle(s)
	if !ok {
		return part{}, false
	}
	return part{kind: ref.Kind, name: ref.Name, items: items, optional: s.ClusterTrustBundle.Optional}, true
}

// Bundle returns the ClusterTrustBundle of a source of a projected volume, and its file; ok is false for any other source.
func Bundle(s *corev1.VolumeProjection) (ref Ref, items []corev1.KeyToPath, ok bool) {
	if s.ClusterTrustBundle == nil {
		return Ref{}, nil, false
	}
	ref, ok = bundleRef(s.ClusterTrustBundle)
	return ref, []corev1.KeyToPath{{Key: bundleKey, Path: s.ClusterTrustBundle.Path}}, ok
}

// OtherFiles returns the files of what is no source, as items without a key. They are there in every pod that runs.
func OtherFiles(s *corev1.VolumeProjection) []corev1.KeyToPath {
	if _, _, isSource := Bundle(s); isSource {
		return nil
	}
	var paths []string
	switch {
	case s.DownwardAPI != nil:
		for _, item := range s.DownwardAPI.Items {
			paths = append(paths, item.Path)
		}
	case s.ServiceAccountToken != nil:
		paths = []string{s.ServiceAccountToken.Path}
	case s.ClusterTrustBundle != nil:
		paths = []string{s.ClusterTrustBundle.Path}
	case s.PodCertificate != nil:
		paths = []string{s.PodCertificate.CredentialBundlePath, s.PodCertificate.KeyPath, s.PodCertificate.CertificateChainPath}
	}
	var files []corev1.KeyToPath
	for _, p := range paths {
		if p != "" {
			files = append(files, corev1.KeyToPath{Path: p})
		}
	}
	return files
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
