package source

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// keysOf returns the data of a ConfigMap with so many keys, all of one value.
func keysOf(count int, value string) map[string]string {
	data := make(map[string]string, count)
	for i := range count {
		data[fmt.Sprintf("k%d", i)] = value
	}
	return data
}

// A source of very many keys is digested, and a layer of very many items is indexed, once for each decision: once for each key
// would stop the controller for every workload.
func TestTheWorkOfAShadowingDoesNotGrowWithTheSquareOfTheKeys(t *testing.T) {
	t.Parallel()
	const count = 300
	digester, err := NewDigester(make([]byte, minKeySize))
	if err != nil {
		t.Fatal(err)
	}
	var items []corev1.KeyToPath
	for key := range keysOf(count, "") {
		items = append(items, corev1.KeyToPath{Key: key, Path: key})
	}
	projection := func(name string, items []corev1.KeyToPath) corev1.VolumeProjection {
		of := &corev1.ConfigMapProjection{Items: items}
		of.Name = name
		return corev1.VolumeProjection{ConfigMap: of}
	}
	for name, tc := range map[string]struct {
		items                []corev1.KeyToPath
		wantFolds, wantScans int
	}{
		"every key is used":   {nil, 1, 0},
		"items name the keys": {items, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			volume := corev1.Volume{Name: "v"}
			volume.Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{projection("base", tc.items), projection("over", nil)}}
			container := corev1.Container{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "v"}}}
			scopes := GroupUsages(Usages("default", &corev1.PodSpec{Volumes: []corev1.Volume{volume}, Containers: []corev1.Container{container}}))
			uses := func(over map[string]string) (uses []SourceState) {
				for _, scope := range scopes {
					snapshot := OfConfigMap(&corev1.ConfigMap{Data: keysOf(count, "1")})
					if scope.Ref.Name == "over" {
						snapshot = OfConfigMap(&corev1.ConfigMap{Data: over})
					}
					uses = append(uses, SourceState{Usages: scope, Snapshot: &snapshot})
				}
				return uses
			}
			before := map[Ref]Record{}
			for _, use := range uses(map[string]string{"k0": "o"}) {
				before[use.Usages.Ref] = digester.Record(use)
			}
			now := uses(keysOf(count, "o"))
			shadowing := digester.Shadowing(now, before)
			changes := 0
			for _, use := range now {
				changes += len(shadowing.Diff(use, before[use.Usages.Ref]).Changes)
			}
			if changes != count-1 {
				t.Errorf("%d changes, want %d", changes, count-1)
			}
			if shadowing.known.folded != tc.wantFolds || shadowing.known.indexed != tc.wantScans {
				t.Errorf("%d sources digested and %d layers indexed, want %d and %d", shadowing.known.folded, shadowing.known.indexed, tc.wantFolds, tc.wantScans)
			}
		})
	}
}

func TestAKeyWithoutANameInItsPlaceIsSeen(t *testing.T) {
	t.Parallel()
	digester, err := NewDigester(make([]byte, minKeySize))
	if err != nil {
		t.Fatal(err)
	}
	counts, _ := digester.Shadowing(nil, nil).counts(Usage{Place: Place{{Names: []Name{{Key: "k", Name: "k"}}}}}, "l")
	if !counts {
		t.Error("its change is hidden")
	}
}
