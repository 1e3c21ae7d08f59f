package observe

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/workload"
)

// kept is what the store needs of an object's metadata, in a quarter of the memory of a [metav1.ObjectMeta].
type kept struct {
	*metav1.ObjectMeta // that of nothing, for the other methods of a [metav1.Object]

	Namespace, Name string
	UID             types.UID
	ResourceVersion string
}

// nothing is the rest of the metadata of every object that is kept. It is not modified.
var nothing = &metav1.ObjectMeta{} //nolint:gochecknoglobals // a constant

func keptOf(meta metav1.Object) kept {
	return kept{
		ObjectMeta: nothing,
		Namespace:  meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUID(), ResourceVersion: meta.GetResourceVersion(),
	}
}

// GetNamespace implements [metav1.Object].
func (k kept) GetNamespace() string { return k.Namespace }

// GetName implements [metav1.Object].
func (k kept) GetName() string { return k.Name }

// GetUID implements [metav1.Object].
func (k kept) GetUID() types.UID { return k.UID }

// GetResourceVersion implements [metav1.Object].
func (k kept) GetResourceVersion() string { return k.ResourceVersion }

// mostTexts bounds how many texts an [interner] knows.
const mostTexts = 4096

// interner keeps one copy of texts that many objects have, such as the names of namespaces and keys: each object comes
// with copies of its own. It knows the last texts only.
type interner struct {
	mu    sync.Mutex
	texts map[string]string
}

func newInterner() *interner { return &interner{texts: map[string]string{}} }

// text returns a text of the same content.
func (i *interner) text(text string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if same, ok := i.texts[text]; ok {
		return same
	}
	if len(i.texts) >= mostTexts {
		clear(i.texts)
	}
	i.texts[text] = text
	return text
}

// view has a view share the texts that many workloads have. The view is not used elsewhere yet.
func (i *interner) view(v *workload.View) {
	v.Key.Namespace, v.Revision = i.text(v.Key.Namespace), i.text(v.Revision)
	for n := range v.Containers {
		v.Containers[n] = i.text(v.Containers[n])
	}
	for n := range v.Usages {
		usage := &v.Usages[n]
		usage.Ref.Namespace, usage.Container = i.text(usage.Ref.Namespace), i.text(usage.Container)
		for _, keys := range [][]string{usage.Keys, usage.Except, usage.Items} {
			for k := range keys {
				keys[k] = i.text(keys[k])
			}
		}
	}
}
