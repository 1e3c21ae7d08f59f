package observe

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// Mistake is an object that is no workload and has keys that do not count. Those of workloads are in [Workload].
type Mistake struct {
	About corev1.ObjectReference
	// Source is the object as a source; without a name it is a namespace.
	Source   source.Ref
	Problems []annotation.Problem
}

// Mistakes returns the sources and the namespaces with keys that do not count, sorted.
func (o *Observer) Mistakes() []Mistake {
	var found []Mistake
	for _, nsCache := range o.watched() {
		for kind, informer := range nsCache.sources {
			for _, object := range informer.GetStore().List() {
				if item, ok := object.(*sourceItem); ok && len(item.problems) > 0 {
					found = append(found, mistakeOf(item, item.ref(), "v1", string(kind), item.problems))
				}
			}
		}
		if nsCache.classes == nil {
			continue
		}
		for _, object := range nsCache.classes.objects.GetStore().List() {
			if item, ok := object.(*classItem); ok && len(item.problems) > 0 {
				version := classKind(string(source.SecretProviderClass)).APIVersion()
				found = append(found, mistakeOf(&item.ObjectMeta, classRef(item.Namespace, item.Name), version, string(source.SecretProviderClass), item.problems))
			}
		}
	}
	if o.defaults != nil {
		for _, object := range o.defaults.GetStore().List() {
			if item, ok := object.(*defaultsItem); ok && len(item.found) > 0 && !slices.Contains(o.options.IgnoredNamespaces, item.Name) {
				mistake := mistakeOf(&item.ObjectMeta, source.Ref{}, "v1", "Namespace", item.found)
				mistake.About.Namespace = item.Name // its events are read by who works in it
				found = append(found, mistake)
			}
		}
	}
	slices.SortFunc(found, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.About.Namespace, b.About.Namespace), cmp.Compare(a.About.Kind, b.About.Kind), cmp.Compare(a.About.Name, b.About.Name))
	})
	return found
}

func mistakeOf(meta metav1.Object, ref source.Ref, version, kind string, problems []annotation.Problem) Mistake {
	return Mistake{
		About:  corev1.ObjectReference{APIVersion: version, Kind: kind, Namespace: meta.GetNamespace(), Name: meta.GetName(), UID: meta.GetUID()},
		Source: ref, Problems: problems,
	}
}

// WorkloadsUsing returns the workloads that use or name a source, sorted.
func (o *Observer) WorkloadsUsing(ref source.Ref) []workload.Key { return o.workloadsUsing(ref) }

// Carries reports whether a workload of a namespace or its pod template has an annotation, or a source the config hash
// of that key.
func (o *Observer) Carries(namespace, key string) bool {
	nsCache := o.cacheOf(namespace)
	for _, informer := range nsCache.workloads {
		for _, object := range informer.GetStore().List() {
			item, ok := object.(*workloadItem)
			if !ok || item.View.Key.Namespace != namespace {
				continue
			}
			_, own := item.View.Annotations[key]
			if _, onTemplate := item.TemplateAnnotations[key]; own || onTemplate {
				return true
			}
		}
	}
	if key != o.options.Keys.Match {
		return false // what else counts on a source does on a workload
	}
	for _, informer := range nsCache.sources {
		for _, object := range informer.GetStore().List() {
			if item, ok := object.(*sourceItem); ok && item.Namespace == namespace && item.match {
				return true
			}
		}
	}
	return false
}

// problemsOf returns what of the keys of an object that is no workload does not count.
func problemsOf(meta metav1.Object, checker *annotation.Checker, at annotation.Place) []annotation.Problem {
	return checker.Check(annotation.Object{At: at, Annotations: meta.GetAnnotations(), Labels: meta.GetLabels()})
}

// mistaken reports an object whose problems differ.
func (o *Observer) mistaken(before, after []annotation.Problem) {
	if o.options.Mistaken != nil && !slices.Equal(before, after) {
		o.options.Mistaken()
	}
}

// sourceMistaken reports a source whose problems differ, also the workloads that might search it.
func (o *Observer) sourceMistaken(ref source.Ref, before, after []annotation.Problem) {
	if slices.Equal(before, after) {
		return
	}
	o.mistaken(before, after)
	for _, key := range o.workloadsUsing(ref) {
		if item, ok := o.item(key); ok && item.Policy.Searches(ref.Kind) {
			o.options.Enqueue(key, WorkloadChanged)
		}
	}
}

// withSourceAnnotations adds what is wrong with the annotations of the sources that a workload searches: whoever misses
// a rollout checks the workload.
func (o *Observer) withSourceAnnotations(w Workload) Workload {
	if w.Policy.OptedOut {
		return w
	}
	for _, ref := range w.View.Refs() {
		if !w.Policy.Searches(ref.Kind) {
			continue
		}
		for _, problem := range o.problemsOfSource(ref) {
			if problem.Key == o.options.Keys.Match {
				problem.Fault = fmt.Sprintf("of %s %s, which the workload uses: %s", ref.Kind, ref.Name, problem.Fault)
				w.Problems = append(slices.Clip(w.Problems), problem)
			}
		}
	}
	return w
}

func (o *Observer) problemsOfSource(ref source.Ref) []annotation.Problem {
	nsCache := o.cacheOf(ref.Namespace)
	if ref.Kind == source.SecretProviderClass {
		if nsCache.classes == nil {
			return nil
		}
		item, _ := storedIn[*classItem](nsCache.classes.objects, ref.Namespace, ref.Name)
		if item == nil {
			return nil
		}
		return item.problems
	}
	informer := nsCache.sources[ref.Kind]
	if informer == nil {
		return nil
	}
	item, _ := storedIn[*sourceItem](informer, ref.Namespace, ref.Name)
	if item == nil {
		return nil
	}
	return item.problems
}
