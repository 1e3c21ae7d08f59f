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
