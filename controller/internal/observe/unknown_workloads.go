package observe

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Pods that carry the sidecar may belong to nothing that inpod could roll: bare pods, those of a ReplicaSet that somebody made by
// hand, or of a kind that was not named to inpod. They are followed all the same, by what controls them or each for itself: their
// kubelets are nudged, their sidecars asked, and what comes of it is an event. What they use is what their sidecars watch.
// Nothing is written but nudges, and nothing is ever rolled.

// stray is what is kept of such a pod besides what is kept of every pod.
type stray struct {
	about   corev1.ObjectReference
	created time.Time
	usages  []source.Usage
	policy  annotation.Policy
}

// strayOf returns the key under which a pod without a known workload is followed, and what is kept of it; no key for one that is
// left alone.
func (o *Observer) strayOf(pod *corev1.Pod) (workload.Key, *stray) {
	about := corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	key := workload.Key{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		about.APIVersion, about.Kind, about.Name, about.UID = owner.APIVersion, owner.Kind, owner.Name, owner.UID
		version, err := schema.ParseGroupVersion(owner.APIVersion)
		if err != nil || version.Group == "batch" {
			return workload.Key{}, nil // Jobs that inpod ignores by its settings
		}
		key.Kind, key.Name = schema.GroupKind{Group: version.Group, Kind: owner.Kind}.String(), owner.Name
	}
	s := &stray{about: about, created: pod.CreationTimestamp.Time}
	s.policy, _ = annotation.Read(o.options.Keys, nil, pod.Annotations)
	s.policy.Injected, s.policy.Pacing = true, annotation.Pacing{}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		if i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == SidecarName }); i >= 0 {
			watched := list[i]
			watched.Env, watched.EnvFrom = nil, nil
			spec := &corev1.PodSpec{Volumes: pod.Spec.Volumes, Containers: []corev1.Container{watched}}
			if source.Shown(spec) <= source.MaxShown { // whoever may write a pod decides
				s.usages = source.Usages(pod.Namespace, spec)
			}
		}
	}
	return key, s
}

// strayPods returns the pods that are followed under a key: those that are over last, and the newest first. The newest is of the
// owner that there is now.
func (o *Observer) strayPods(key workload.Key) []*podItem {
	pods := slices.DeleteFunc(o.cacheOf(key.Namespace).podsUnder(byWorkload, key.String()), func(item *podItem) bool { return item.stray == nil })
	slices.SortFunc(pods, func(a, b *podItem) int {
		if a.Over != b.Over {
			if b.Over {
				return -1
			}
			return 1
		}
		return cmp.Or(b.stray.created.Compare(a.stray.created), cmp.Compare(a.Pod.Name, b.Pod.Name))
	})
	return pods
}

// strayWorkload returns pods without a known workload as one that can only be reloaded; ok is false if there are none.
func (o *Observer) strayWorkload(key workload.Key) (w Workload, ok bool) {
	all := o.strayPods(key)
	if len(all) == 0 {
		return Workload{}, false
	}
	first := all[0].stray
	w = Workload{View: workload.View{Key: key, UID: first.about.UID, Stray: true}, Policy: first.policy, About: &first.about}
	var before []source.Usage
	for i, item := range all {
		if i == 0 || !reflect.DeepEqual(before, item.stray.usages) { // mostly they are of one template
			w.View.Usages = append(w.View.Usages, item.stray.usages...)
		}
		before = item.stray.usages
		if !item.Over { // nobody waits for one that is
			w.View.Pods++
		}
	}
	return w, true
}

// strayKeys names the pods without a known workload, or what controls them, in no particular order.
func (p *namespaceCache) strayKeys() []workload.Key {
	if p.pods == nil {
		return nil
	}
	seen := map[workload.Key]bool{}
	var keys []workload.Key
	for _, object := range p.pods.GetStore().List() {
		if item, ok := object.(*podItem); ok && item.stray != nil && !seen[item.Workload] {
			seen[item.Workload] = true
			keys = append(keys, item.Workload)
		}
	}
	return keys
}

// straysThatUse returns the pods without a known workload, or what controls them, that use a source, of some parts of
// the cache.
func straysThatUse(ref source.Ref, nsCaches []*namespaceCache) []workload.Key {
	var keys []workload.Key
	for _, nsCache := range nsCaches {
		for _, item := range nsCache.podsUnder(bySource, indexValue(ref)) {
			keys = append(keys, item.Workload)
		}
	}
	return keys
}

// indexStraysBySource lists the sources that a pod without a known workload uses.
func indexStraysBySource(object any) ([]string, error) {
	item, ok := object.(*podItem)
	if !ok || item.stray == nil {
		return nil, nil
	}
	var values []string
	for _, usage := range item.stray.usages {
		values = append(values, indexValue(usage.Ref))
		if s, ok := usage.Ref.Selection(); ok {
			values = append(values, ofSigner(s.Signer))
		}
	}
	slices.Sort(values)
	return slices.Compact(values), nil
}

// strayGone enqueues pods without a known workload when one of them is gone.
func (o *Observer) strayGone(object any) {
	if item, ok := deleted[*podItem](object); ok && item.stray != nil {
		o.options.Enqueue(item.Workload, WorkloadChanged)
	}
}
