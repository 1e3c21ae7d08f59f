package objtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// RandomKeys are the keys that random objects and random usages have.
func RandomKeys() []string { return []string{"a", "b", "c", "d"} }

// RandomConfigMap returns a ConfigMap with some of [RandomKeys], in data or
// binaryData and with few different values, so that two of them often have
// something in common. Few have very many keys.
func RandomConfigMap(r *rand.Rand, name string) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: meta(name), Data: map[string]string{}, BinaryData: map[string][]byte{}}
	for _, key := range RandomKeys() {
		value := strconv.Itoa(r.IntN(3))
		switch r.IntN(5) {
		case 0:
		case 1:
			cm.BinaryData[key] = []byte(value)
		default:
			cm.Data[key] = value
		}
	}
	if r.IntN(10) == 0 {
		for i := range 95 + r.IntN(10) {
			cm.Data[fmt.Sprintf("many-%03d", i)] = "x"
		}
	}
	return cm
}

// RandomUsage returns a part by which the current container uses a source in some way.
func RandomUsage(r *rand.Rand, s Source) Part {
	if r.IntN(3) == 0 {
		s = s.Optional()
	}
	key := RandomKeys()[r.IntN(len(RandomKeys()))]
	items := s.Items(key, RandomKeys()[r.IntN(len(RandomKeys()))]+":dir/file")
	switch r.IntN(11) {
	case 0:
		return Mount(s)
	case 1:
		return Mount(items)
	case 2:
		return Projected(s, CM("else"))
	case 3:
		return Projected(items)
	case 4:
		return SubPath(s, key)
	case 5:
		return SubPath(items, key)
	case 6:
		return ProjectedSubPath(key, s, CM("else"))
	case 7:
		return SubPathExpr(s, "$(UNKNOWN)")
	case 8:
		return Env(s, key)
	case 9:
		return EnvFrom(s)
	default:
		return Unmounted(s)
	}
}

// RandomParts returns a template that uses sources in some ways, in containers of all kinds.
func RandomParts(r *rand.Rand, sources ...Source) []Part {
	parts := []Part{Container("app")}
	for i := range 1 + r.IntN(5) {
		switch r.IntN(6) {
		case 0:
			parts = append(parts, Init(fmt.Sprint("init-", i)))
		case 1:
			parts = append(parts, Sidecar(fmt.Sprint("sidecar-", i)))
		case 2:
			parts = append(parts, Container(fmt.Sprint("app-", i)))
		}
		parts = append(parts, RandomUsage(r, sources[r.IntN(len(sources))]))
	}
	return parts
}

// RandomMeeting returns a part by which the current container uses several sources where one may hide another: a projected
// volume or the environment, with other things between them.
func RandomMeeting(r *rand.Rand, sources ...Source) Part {
	pick := func() Source {
		s := sources[r.IntN(len(sources))]
		if r.IntN(3) == 0 {
			s = s.Optional()
		}
		return s
	}
	key := func() string { return RandomKeys()[r.IntN(len(RandomKeys()))] }
	switch r.IntN(6) {
	case 0:
		return Mount(pick().Items(key()+":x", key()+":x", key()))
	case 1:
		return func(b *building) {
			c := b.container()
			for range 1 + r.IntN(3) {
				from := pick().envFrom()
				from.Prefix = []string{"", "", "P_"}[r.IntN(3)]
				c.EnvFrom = append(c.EnvFrom, from)
			}
		}
	case 2:
		name := []string{"", "P_"}[r.IntN(2)] + key()
		return []Part{
			Var(name, "text"), FieldVar(name, "metadata.name"), Var("READS_"+strconv.Itoa(r.IntN(1_000_000)), "of $("+name+")"),
			env(corev1.EnvVar{Name: name, ValueFrom: pick().keyRef(key())}), env(corev1.EnvVar{Name: name, ValueFrom: pick().keyRef(key())}),
		}[r.IntN(5)]
	default:
		volume := projected(nil)
		for range 2 + r.IntN(3) {
			s := pick()
			switch r.IntN(6) {
			case 0:
				s = s.Items(key(), key()+":dir/"+key())
			case 1:
				s = s.Items(key() + ":" + key())
			}
			volume.Projected.Sources = append(volume.Projected.Sources, s.projection())
			switch r.IntN(8) {
			case 0:
				volume.Projected.Sources = append(volume.Projected.Sources, corev1.VolumeProjection{
					ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: key()},
				})
			case 1:
				volume.Projected.Sources = append(volume.Projected.Sources, corev1.VolumeProjection{
					DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "./" + key()}, {Path: "dir/" + key()}}},
				})
			}
		}
		return mounted(volume, corev1.VolumeMount{SubPath: []string{"", "", key(), "dir", "."}[r.IntN(5)]})
	}
}
