package observe

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
	"inpod.dev/inpod/internal/workload"
)

// Subject is what something is reported about: a workload, or pods whose workload is of no kind that inpod knows.
type Subject struct {
	// Workload is the key of the workload. Where that is not known it has the namespace alone.
	Workload workload.Key
	// Owner is the UID of the controller of such pods, or of a pod that has none; "" for a workload.
	Owner types.UID
}

// Skipped is a pod that has asked for the sidecar and got none. What it says of itself is believed as far as
// [injection.SkipOf] goes.
type Skipped struct {
	Namespace, Name string
	UID             types.UID
	// Owner is the UID of its controller, "" if it has none, and IsDirect reports that the workload is this controller,
	// rather than behind it.
	Owner    types.UID
	IsDirect bool
	Created  time.Time
	Skip     injection.Skip
	subject  Subject
}

const bySubject = "subject"

func (s Subject) index() string {
	if s.Workload.Name != "" {
		return s.Workload.String()
	}
	return s.Workload.Namespace + "/" + string(s.Owner)
}

func indexBySubject(object any) ([]string, error) {
	item, ok := object.(*podItem)
	if !ok || item.carriesSidecar() || item.skipped.subject == (Subject{}) {
		return nil, nil
	}
	return []string{item.skipped.subject.index()}, nil
}

// reduceSkipped keeps of a pod without sidecar why it has none. One that is going, or says nothing that is understood, has no
// subject.
func (o *Observer) reduceSkipped(pod *corev1.Pod) *podItem {
	item := &podItem{kept: keptOf(pod), skipped: &Skipped{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	item.Pod = Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
	record, err := annotation.ParseRecord(pod.Annotations[annotation.InjectionRecord])
	if err != nil || pod.DeletionTimestamp != nil {
		return item
	}
	skip, ok := injection.SkipOf(record)
	if !ok {
		return item
	}
	s := item.skipped
	s.Skip, s.Created = skip, pod.CreationTimestamp.Time
	s.subject = Subject{Workload: o.options.Kinds.OwnerOf(pod)}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner != nil {
		s.Owner, s.IsDirect = owner.UID, owner.Name == s.subject.Workload.Name
	}
	if s.subject.Workload.Name == "" {
		s.subject = Subject{Workload: workload.Key{Namespace: pod.Namespace}, Owner: cmp.Or(s.Owner, pod.UID)}
	}
	return item
}

// noteSubject notes the subject of a pod without sidecar that has come, gone or changed what it says.
func (o *Observer) noteSubject(was, is *podItem) {
	if o.options.Skipped == nil {
		return
	}
	subjects := make([]Subject, 2)
	for i, item := range []*podItem{was, is} {
		if item != nil && !item.carriesSidecar() {
			subjects[i] = item.skipped.subject
		}
	}
	if was != nil && is != nil && subjects[0] == subjects[1] && (was.carriesSidecar() || is.carriesSidecar() || was.skipped.Skip == is.skipped.Skip) {
		return // of one that carries the sidecar and one that says nothing there is no subject
	}
	for _, subject := range slices.Compact(subjects) {
		if subject != (Subject{}) {
			o.options.Skipped(subject)
		}
	}
}

// noteCrash notes the workload of a pod whose application has begun or ceased to crash, or does so once more.
func (o *Observer) noteCrash(was, is *podItem) {
	if o.options.Skipped != nil && is.carriesSidecar() && is.Workload.Name != "" && was.Crash != is.Crash {
		o.options.Skipped(Subject{Workload: is.Workload})
	}
}

// SkippedPods returns the pods of a subject that have asked for the sidecar and got none, the oldest first.
func (o *Observer) SkippedPods(subject Subject) []Skipped {
	var pods []Skipped
	for _, item := range o.cacheOf(subject.Workload.Namespace).podsUnder(bySubject, subject.index()) {
		pods = append(pods, *item.skipped)
	}
	slices.SortFunc(pods, func(a, b Skipped) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
	})
	return pods
}

// SkippedSubjects returns the subjects of all such pods, of pods that crash, and of workloads whose pods are refused, in no
// particular order.
func (o *Observer) SkippedSubjects() []Subject { return o.subjectsIn(o.watched()...) }

func (o *Observer) subjectsIn(nsCaches ...*namespaceCache) []Subject {
	found := map[Subject]bool{}
	for _, nsCache := range nsCaches {
		for _, key := range nsCache.keys() {
			if item, ok := o.item(key); ok && !item.Refused.IsZero() {
				found[Subject{Workload: key}] = true
			}
		}
		if nsCache.pods == nil {
			continue
		}
		for _, object := range nsCache.pods.GetStore().List() {
			item, ok := object.(*podItem)
			switch {
			case !ok:
			case !item.carriesSidecar() && item.skipped.subject != (Subject{}):
				found[item.skipped.subject] = true
			case item.Crash != (Crash{}) && item.Workload.Name != "":
				found[Subject{Workload: item.Workload}] = true
			}
		}
	}
	return slices.Collect(maps.Keys(found))
}

// skippedIn counts the pods without sidecar.
func skippedIn(pods cache.SharedIndexInformer) int {
	n := 0
	for _, object := range pods.GetStore().List() {
		if item, ok := object.(*podItem); ok && !item.carriesSidecar() {
			n++
		}
	}
	return n
}
