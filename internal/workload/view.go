package workload

import (
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/internal/source"
)

// View is what inpod keeps of a workload. It is read-only once made.
type View struct {
	Key Key
	UID types.UID
	// Version is the resource version as a number; 0 if it is none.
	Version uint64
	// Deleting reports whether the workload is being deleted.
	Deleting bool
	// Pods is how many pods it has, by its status; [UnknownPods] where that does not say.
	Pods int
	// Paused reports whether spec.paused is set on a Deployment: its template is not rolled out.
	Paused bool
	// Stray reports whether these are pods whose workload is of no kind that inpod knows: they can be reloaded, and
	// never rolled.
	Stray bool
	// Rolling reports whether a rollout is under way, by its status.
	Rolling bool
	// Refused is since when its status says that pods of it cannot be made, zero where it says no such thing.
	Refused time.Time
	// Annotations and TemplateAnnotations are those that were asked for, and no others; and Labels and TemplateLabels are
	// labels with such keys, which are mostly a mistake.
	Annotations         map[string]string
	TemplateAnnotations map[string]string
	Labels              map[string]string
	TemplateLabels      map[string]string
	// JobTemplateAnnotations and JobTemplateLabels are those that a CronJob gives its Jobs, where no key means anything.
	JobTemplateAnnotations map[string]string
	JobTemplateLabels      map[string]string
	// Usages are in the order of the template, see [source.Usages].
	Usages []source.Usage
	// Frozen are the rotated files that are mounted with subPath, where they are never renewed; few workloads have any.
	Frozen []source.Rotation
	// Containers are the names of the regular containers, in order.
	Containers []string
	// Variables are the environment variables of regular containers whose
	// names begin with STAKATER_, as "container/NAME" with their values.
	Variables map[string]string
	// TemplateOwner is the workload whose pod template it runs; it has no name where it runs its own.
	TemplateOwner Key
	// Restart reports whether its controller is asked to restart the pods, in place of an edit of the template.
	Restart bool
	// Cron is what is particular to a CronJob; nil for the other kinds.
	Cron *Cron
	// Job is what is particular to a Job; nil for the other kinds.
	Job *Job
	// Shape is what a patch by positions depends on; nil for a kind that is patched by names.
	Shape *Shape
	// Fault says why the pod template cannot be used; "" if it can.
	Fault string
	// Template is a digest of the pod template. It rests in memory only.
	Template [sha256.Size]byte
	// OwnTemplate is a digest of the pod template without what inpod writes into it. It rests in memory only.
	OwnTemplate [sha256.Size]byte
	// Progress is how far its pods are on the way to the current template, by its status.
	Progress Progress
	// OnDelete reports whether its pods are replaced only when somebody deletes them.
	OnDelete bool
	// MaxUnavailable is how many of its pods may be unavailable while it rolls, by its update strategy; 0 where that
	// does not say.
	MaxUnavailable int
	// ScaledToZero reports whether it has no pods and is to have none.
	ScaledToZero bool
	// Selector selects its pods; "" if the object does not say.
	Selector string
	// Revision is that of its template, where its kind counts them; "" if it does not.
	Revision string
	// RestoredBy is the field manager that wrote the baseline last, where that is not inpod; "" otherwise, and where the
	// object does not say.
	RestoredBy string
	// RestoredAt is when that field manager wrote the object last; set with RestoredBy only.
	RestoredAt time.Time
	// BaselineAt is when inpod wrote the baseline, or something beside it, the last time; zero where the object does not
	// say, or another field manager wrote the baseline last.
	BaselineAt time.Time
	// OwnHashes are the variables of config hashes, and the annotation, whose values inpod wrote last; set with RestoredBy
	// only.
	OwnHashes []string
	// TemplateTime is the time after which nobody but inpod has written the template, as far as the object says: a later
	// write of the same manager to something else moves it. It is zero where the object says nothing.
	TemplateTime time.Time
	// Written is the newest time at which a field manager wrote the object, with
	// the API server's clock; of use for a write that was just seen only.
	Written source.Moment
	// TemplateChanged is the write that gave the template its form, if that was
	// seen as it happened; else zero. It is filled in by who sees the writes.
	TemplateChanged source.Moment
}

// VariablePrefix begins the names of the variables that the strategy "env-vars" writes. It is Reloader's.
const VariablePrefix = "STAKATER_"

// View reduces an object of the kind. keep reports which annotations and labels to keep.
func (k Kind) View(object metav1.Object, keep func(key string) bool) (View, error) {
	if k.Path != nil {
		return k.jsonView(object, keep)
	}
	template, err := k.Template(object)
	if err != nil {
		return View{}, err
	}
	encoded, err := template.Marshal()
	if err != nil {
		return View{}, fmt.Errorf("%s: encoding the pod template: %w", k.KeyOf(object), err)
	}
	own, err := ownTemplate(template, encoded)
	if err != nil {
		return View{}, fmt.Errorf("%s: encoding the pod template: %w", k.KeyOf(object), err)
	}
	view := k.view(object, template, encoded, keep)
	view.OwnTemplate = own
	return view, nil
}

// view reduces an object with a template that was read from it, and encoded.
func (k Kind) view(object metav1.Object, template *corev1.PodTemplateSpec, encoded []byte, keep func(string) bool) View {
	written, fault := source.MomentOf(object), ""
	if shown := source.Shown(&template.Spec); shown > source.MaxShown {
		fault = fmt.Sprintf("the mounts in the pod template show %d sources and files together, and at most %d are followed", shown, source.MaxShown)
		template = &corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta}
	}
	view := View{
		Fault:               fault,
		Key:                 k.KeyOf(object),
		UID:                 object.GetUID(),
		Version:             written.Version,
		Deleting:            object.GetDeletionTimestamp() != nil,
		Pods:                int(k.pods(object)),
		Annotations:         kept(object.GetAnnotations(), keep),
		TemplateAnnotations: kept(template.Annotations, keep),
		Labels:              kept(object.GetLabels(), keep),
		TemplateLabels:      kept(template.Labels, keep),
		Written:             written,
		Usages:              source.Usages(object.GetNamespace(), &template.Spec),
		Frozen:              slices.DeleteFunc(source.Rotations(&template.Spec), func(r source.Rotation) bool { return !r.Frozen }),
		Variables:           variables(&template.Spec),
		Template:            sha256.Sum256(encoded),
	}
	if k.rolling != nil {
		view.Rolling = k.rolling(object)
	}
	if k.progress != nil {
		view.Progress, view.OnDelete, view.ScaledToZero = k.progress(object)
	}
	view.MaxUnavailable = maxUnavailable(object)
	view.TemplateTime = templateTime(object)
	view.Selector = selectorOf(object)
	view.Revision = object.GetAnnotations()[revisionKey]
	var at time.Time
	view.RestoredBy, view.OwnHashes, at = restoredBy(object)
	if view.RestoredBy == "" {
		view.BaselineAt = at
	} else {
		view.RestoredAt = at
	}
	if k.refused != nil {
		view.Refused = k.refused(object)
	}
	if k.cron != nil {
		view.Cron = k.cron(object)
		if c, ok := object.(*batchv1.CronJob); ok {
			view.JobTemplateAnnotations, view.JobTemplateLabels = kept(c.Spec.JobTemplate.Annotations, keep), kept(c.Spec.JobTemplate.Labels, keep)
		}
	}
	if k.job != nil {
		view.Job = k.job(object)
		if view.Job != nil && view.Job.Placeholder != nil {
			view.Annotations = kept(view.Job.Placeholder.Annotations, keep) // they are the wishes of its user
		}
	}
	if k.paused != nil {
		view.Paused = k.paused(object)
	}
	for i := range template.Spec.Containers {
		view.Containers = append(view.Containers, template.Spec.Containers[i].Name)
	}
	return view
}

// Narrowed returns the view with fewer annotations, and without labels and what a CronJob gives its Jobs.
func (v View) Narrowed(keep func(key string) bool) View {
	v.Annotations, v.TemplateAnnotations = kept(v.Annotations, keep), kept(v.TemplateAnnotations, keep)
	v.Labels, v.TemplateLabels, v.JobTemplateAnnotations, v.JobTemplateLabels = nil, nil, nil, nil
	return v
}

func kept(all map[string]string, keep func(string) bool) map[string]string {
	var some map[string]string
	for key, value := range all {
		if !keep(key) {
			continue
		}
		if some == nil {
			some = map[string]string{}
		}
		some[key] = value
	}
	return some
}

func variables(spec *corev1.PodSpec) map[string]string {
	var found map[string]string
	for i := range spec.Containers {
		c := &spec.Containers[i]
		for j := range c.Env {
			if !strings.HasPrefix(c.Env[j].Name, VariablePrefix) {
				continue
			}
			if found == nil {
				found = map[string]string{}
			}
			found[c.Name+"/"+c.Env[j].Name] = c.Env[j].Value
		}
	}
	return found
}

// Same reports whether nothing that a decision depends on differs. Writes to the status, for example, leave a view the
// same.
func (v View) Same(other View) bool {
	return v.UID == other.UID && v.TemplateOwner == other.TemplateOwner && v.Restart == other.Restart && v.Deleting == other.Deleting &&
		v.Paused == other.Paused && v.Rolling == other.Rolling && v.Refused.Equal(other.Refused) && v.Template == other.Template &&
		v.Progress == other.Progress && v.OnDelete == other.OnDelete && v.MaxUnavailable == other.MaxUnavailable && v.ScaledToZero == other.ScaledToZero && v.RestoredBy == other.RestoredBy &&
		v.Cron.same(other.Cron) && v.Job.same(other.Job) && maps.Equal(v.Annotations, other.Annotations)
}

// Fingerprint identifies what [View.Same] compares: views that differ there have different ones, but for a coincidence.
// It takes less memory than a view, and rests in memory only.
func (v View) Fingerprint() uint64 {
	h := fnv.New64a()
	// What is printed has no pointers, and the keys of maps are in order.
	_, _ = h.Write(v.Template[:])
	fmt.Fprintln(h, v.UID, v.TemplateOwner, v.Restart, v.Deleting, v.Paused, v.Rolling, v.Refused.UnixNano(), v.Progress,
		v.OnDelete, v.MaxUnavailable, v.ScaledToZero, v.RestoredBy, v.Annotations)
	if v.Cron != nil {
		fmt.Fprintln(h, v.Cron.Suspended, v.Cron.Policy, v.Cron.Active)
	}
	if v.Job != nil {
		fmt.Fprintln(h, v.Job.Finished, v.Job.EndedAt.UnixNano(), v.Job.Suspended, v.Job.Owned, v.Job.Placeholder == nil)
	}
	return h.Sum64()
}

// Reference is how events name a workload.
func (t Table) Reference(view View) *corev1.ObjectReference {
	reference := &corev1.ObjectReference{Kind: view.Key.Kind, Namespace: view.Key.Namespace, Name: view.Key.Name, UID: view.UID}
	if kind, ok := t.Of(view.Key.Kind); ok {
		reference.Kind, reference.APIVersion = kind.APIKind(), kind.APIVersion()
	}
	return reference
}

// Refs returns the sources that the template references, sorted.
func (v View) Refs() []source.Ref {
	var refs []source.Ref
	for _, u := range v.Usages {
		refs = append(refs, u.Ref)
	}
	slices.SortFunc(refs, source.Ref.Compare)
	return slices.Compact(refs)
}
