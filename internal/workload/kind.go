// Package workload decides what inpod needs to know of a workload: it reduces
// an object of any kind that has a pod template to a small [View].
//
// It is pure. What differs between kinds, and nothing else, is a row of a
// [Table].
//
//	Deployment, StatefulSet, … (Go types) ─┐
//	Rollout, DeploymentConfig, … (JSON) ───┴─► Kind.View ──► View: usages, annotations, digest of the template
package workload

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is one row of the table: a kind of workload and what is particular to it.
type Kind struct {
	// Name is the Kubernetes kind, such as Deployment. Where another row of the table has that name it is followed by
	// the group, such as StatefulSet.apps.kruise.io.
	Name string
	// Resource is the API resource.
	Resource schema.GroupVersionResource
	// New returns an empty object of the kind.
	New func() runtime.Object
	// Path is where the pod template is in an object that comes as JSON, for a kind whose Go type inpod does not have; nil
	// for the others. The API server merges no lists of such a kind by names: it is patched by positions, see [Shape]. It
	// may also not be installed.
	Path []string
	// Ref is where an object may name the workload whose template it runs, as {apiVersion, kind, name}; nil for a kind that
	// cannot.
	Ref []string
	// Restart is the field that makes its controller restart the pods that are older than the time in it; nil for a kind
	// without one.
	Restart []string
	// HashLabel is the label of a pod whose value ends the name of the ReplicaSet between the pod and the workload; ""
	// where there is none.
	HashLabel string
	// template returns the pod template of an object of the kind, nil for an object of another.
	template func(object any) *corev1.PodTemplateSpec
	// pods returns how many pods an object of the kind has, by its status.
	pods func(object any) int32
	// paused reports whether an object of the kind is paused as Reloader pauses Deployments; nil for the other kinds.
	paused func(object any) bool
	// rolling reports whether a rollout of an object of the kind is under way, by its status; nil for a kind without
	// rollouts.
	rolling func(object any) bool
	// progress returns how far the pods of an object of the kind are, whether they are replaced by hand, and whether there are
	// none; nil for a kind without rollouts.
	progress func(object any) (p Progress, onDelete, scaledToZero bool)
	// refused returns since when the status of an object says that pods cannot be made; nil for a kind that does not
	// say it.
	refused func(object any) time.Time
	// cron returns what is particular to a CronJob; nil for the other kinds.
	cron func(object any) *Cron
	// job returns what is particular to a Job; nil for the other kinds.
	job func(object any) *Job
}

// Table is the kinds that a program handles. It is built once, at the start.
type Table []Kind

// Of returns the row of a kind by its name.
func (t Table) Of(name string) (Kind, bool) {
	for _, kind := range t {
		if kind.Name == name {
			return kind, true
		}
	}
	return Kind{}, false
}

// Kinds are the rows that are in every table: the kinds that each cluster has.
func Kinds() Table {
	return Table{
		{
			Name:     "Deployment",
			Resource: appsv1.SchemeGroupVersion.WithResource("deployments"),
			New:      func() runtime.Object { return &appsv1.Deployment{} },
			template: templateOf(func(d *appsv1.Deployment) *corev1.PodTemplateSpec { return &d.Spec.Template }),
			pods:     podsOf(func(d *appsv1.Deployment) int32 { return d.Status.Replicas }),
			// k8s.io/kubernetes/pkg/controller/deployment/sync.go
			HashLabel: appsv1.DefaultDeploymentUniqueLabelKey,
			rolling:   rollingOf(rollingDeployment),
			progress:  progressOf(progressDeployment),
			refused:   refusedDeployment,
			paused: func(object any) bool {
				d, ok := object.(*appsv1.Deployment)
				return ok && d.Spec.Paused
			},
		},
		{
			Name:     "StatefulSet",
			Resource: appsv1.SchemeGroupVersion.WithResource("statefulsets"),
			New:      func() runtime.Object { return &appsv1.StatefulSet{} },
			template: templateOf(func(s *appsv1.StatefulSet) *corev1.PodTemplateSpec { return &s.Spec.Template }),
			rolling:  rollingOf(rollingStatefulSet),
			progress: progressOf(progressStatefulSet),
			pods:     podsOf(func(s *appsv1.StatefulSet) int32 { return s.Status.Replicas }),
		},
		{
			Name:     "DaemonSet",
			Resource: appsv1.SchemeGroupVersion.WithResource("daemonsets"),
			New:      func() runtime.Object { return &appsv1.DaemonSet{} },
			template: templateOf(func(d *appsv1.DaemonSet) *corev1.PodTemplateSpec { return &d.Spec.Template }),
			rolling:  rollingOf(rollingDaemonSet),
			progress: progressOf(progressDaemonSet),
			pods:     podsOf(func(d *appsv1.DaemonSet) int32 { return d.Status.CurrentNumberScheduled }),
		},
	}
}

func templateOf[T any](of func(*T) *corev1.PodTemplateSpec) func(any) *corev1.PodTemplateSpec {
	return func(object any) *corev1.PodTemplateSpec {
		if typed, ok := object.(*T); ok {
			return of(typed)
		}
		return nil
	}
}

func podsOf[T any](of func(*T) int32) func(any) int32 {
	return func(object any) int32 {
		if typed, ok := object.(*T); ok {
			return of(typed)
		}
		return 0
	}
}

// KindOf returns one of [Kinds] by its name.
func KindOf(name string) (Kind, bool) { return Kinds().Of(name) }

// APIVersion is such as apps/v1.
func (k Kind) APIVersion() string { return k.Resource.GroupVersion().String() }

// APIKind is the Kubernetes kind.
func (k Kind) APIKind() string {
	kind, _, _ := strings.Cut(k.Name, ".")
	return kind
}

// Template returns the pod template of an object, or an error that names both kinds.
func (k Kind) Template(object any) (*corev1.PodTemplateSpec, error) {
	if k.Path != nil {
		raw, err := k.raw(object)
		if err != nil {
			return nil, err
		}
		return decoded(raw)
	}
	if template := k.template(object); template != nil {
		return template, nil
	}
	return nil, fmt.Errorf("a %T is no %s", object, k.Name)
}

// Key names one workload. It is the item of the controller's queue.
type Key struct {
	Kind      string
	Namespace string
	Name      string
}

// String returns "Deployment namespace/name".
func (k Key) String() string { return fmt.Sprintf("%s %s/%s", k.Kind, k.Namespace, k.Name) }

// Compare orders keys by namespace, kind and name.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		cmp.Compare(k.Namespace, other.Namespace),
		cmp.Compare(k.Kind, other.Kind),
		cmp.Compare(k.Name, other.Name),
	)
}

// KeyOf returns the key of an object of the kind.
func (k Kind) KeyOf(object metav1.Object) Key {
	return Key{Kind: k.Name, Namespace: object.GetNamespace(), Name: object.GetName()}
}
