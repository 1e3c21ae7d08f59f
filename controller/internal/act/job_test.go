package act_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/controller/internal/act"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// jobLab is an API server with the Job "migrate".
type jobLab struct {
	*testing.T
	act.Writer

	api     *fake.Clientset
	job     *batchv1.Job
	refused string // the verb that is refused once
	slow    bool   // what is deleted in the foreground stays until gone is called
	between func() // runs once, before a deletion
	tries   int    // dry runs
	tried   *batchv1.Job
	dryRun  error // what a dry run meets
}

var errRefused = errors.New("refused")

func newJobLab(t *testing.T, change func(*batchv1.Job)) *jobLab {
	t.Helper()
	job := obj.Job("migrate", obj.EnvFrom(obj.CM("a")), obj.TemplateAnnotation("team", "shop"))
	job.Labels = map[string]string{"app": "migrate", batchv1.ControllerUidLabel: string(job.UID)}
	job.Annotations = map[string]string{"kept": "yes", annotation.Baseline: "old"}
	job.ResourceVersion = "7"
	if change != nil {
		change(job)
	}
	digester, err := source.NewDigester(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	l := &jobLab{T: t, job: job, api: fake.NewSimpleClientset(job)}
	created := 0
	l.api.PrependReactor("*", "jobs", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetVerb() == l.refused {
			l.refused = ""
			return true, nil, errRefused
		}
		if create, ok := action.(clienttesting.CreateAction); ok && action.GetVerb() == "create" {
			if options, ok := action.(clienttesting.CreateActionImpl); ok && len(options.CreateOptions.DryRun) > 0 {
				l.tried, _ = create.GetObject().(*batchv1.Job)
				l.tries++
				return true, create.GetObject(), l.dryRun
			}
			created++
			if job, ok := create.GetObject().(*batchv1.Job); ok {
				job.UID = types.UID(strings.Repeat("n", created))
			}
		}
		if deletion, ok := action.(clienttesting.DeleteActionImpl); ok {
			return l.deleted(deletion)
		}
		return false, nil, nil
	})
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	partial := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: *job.ObjectMeta.DeepCopy()}
	l.Writer = act.Writer{
		Client: metadatafake.NewSimpleMetadataClient(scheme, partial), Digester: digester, Kinds: workload.Kinds().With(workload.JobKind()), Jobs: l.api.BatchV1(),
	}
	return l
}

// deleted is what the API server does and the fake does not: it holds to a version, and what is deleted in the foreground
// may stay, with another generation.
func (l *jobLab) deleted(deletion clienttesting.DeleteActionImpl) (handled bool, _ runtime.Object, _ error) {
	if between := l.between; between != nil {
		l.between = nil
		between()
	}
	jobs := batchv1.SchemeGroupVersion.WithResource("jobs")
	object, err := l.api.Tracker().Get(jobs, obj.Namespace, deletion.Name)
	if err != nil {
		return true, nil, err
	}
	job, ok := object.(*batchv1.Job)
	if !ok {
		return false, nil, nil
	}
	if wanted := deletion.DeleteOptions.Preconditions; wanted != nil && wanted.ResourceVersion != nil && *wanted.ResourceVersion != job.ResourceVersion {
		return true, nil, apierrors.NewConflict(batchv1.Resource("jobs"), job.Name, errors.New("another version"))
	}
	if policy := deletion.DeleteOptions.PropagationPolicy; !l.slow || policy == nil || *policy != metav1.DeletePropagationForeground {
		return false, nil, nil
	}
	job = job.DeepCopy()
	job.DeletionTimestamp, job.Generation = new(metav1.Now()), job.Generation+1
	job.Finalizers = append(job.Finalizers, metav1.FinalizerDeleteDependents)
	return true, nil, l.api.Tracker().Update(jobs, job, obj.Namespace)
}

// gone has the API server drop the Job.
func (l *jobLab) gone() {
	l.Helper()
	l.must(l.api.Tracker().Delete(batchv1.SchemeGroupVersion.WithResource("jobs"), obj.Namespace, "migrate"))
}

// decision takes up content.
func (l *jobLab) decision(content string) decide.Decision {
	scope := source.GroupUsages(source.Usages(obj.Namespace, &l.job.Spec.Template.Spec))[0]
	use := source.SourceState{Usages: scope, Snapshot: new(source.OfConfigMap(obj.ConfigMap("a", "k", content)))}
	return decide.Decision{Baseline: source.Baseline{Records: map[source.Ref]source.Record{use.Usages.Ref: l.Digester.Record(use)}}}
}

func (l *jobLab) view(job *batchv1.Job) workload.View {
	l.Helper()
	view, err := workload.JobKind().View(job, func(string) bool { return true })
	if err != nil {
		l.Fatal(err)
	}
	return view
}

func (l *jobLab) begin() error {
	_, err := l.Rollout(l.Context(), l.view(l.job), l.decision("2"), time.Now())
	return err
}

// jobs returns the Job of the name, and the placeholder.
func (l *jobLab) jobs() (job, placeholder *batchv1.Job) {
	l.Helper()
	list, err := l.api.BatchV1().Jobs(obj.Namespace).List(l.Context(), metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for i := range list.Items {
		switch {
		case list.Items[i].Name == "migrate":
			job = &list.Items[i]
		case placeholder != nil:
			l.Fatalf("two placeholders, %s and %s", placeholder.Name, list.Items[i].Name)
		default:
			placeholder = &list.Items[i]
		}
	}
	return job, placeholder
}

// carryOn has the placeholder do its next step.
func (l *jobLab) carryOn() (bool, error) {
	l.Helper()
	_, placeholder := l.jobs()
	if placeholder == nil {
		l.Fatal("there is no placeholder")
	}
	return l.Recreate(l.Context(), l.view(placeholder), l.decision("3"))
}

func (l *jobLab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// Whatever is refused, and whenever the program ends, the Job is there or its placeholder has it, and in the end it
// runs with the new content.
func TestAJobIsRecreatedWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"", "get", "create", "delete"} {
		t.Run("refused: "+refused, func(t *testing.T) {
			t.Parallel()
			l := newJobLab(t, nil)
			l.must(l.begin())
			l.must(l.begin()) // again, as after a crash
			job, placeholder := l.jobs()
			if job == nil || placeholder == nil || !*placeholder.Spec.Suspend {
				t.Fatalf("Job %+v, placeholder %+v", job, placeholder)
			}
			l.refused = refused
			for step := 0; ; step++ {
				if step > 9 {
					t.Fatal("it comes to no end")
				}
				done, err := l.carryOn()
				if err != nil && !errors.Is(err, errRefused) {
					t.Fatal(err)
				}
				job, placeholder := l.jobs()
				if job == nil && placeholder == nil {
					t.Fatal("the Job is lost")
				}
				if done {
					break
				}
			}
			if l.refused != "" {
				t.Errorf("no %s was seen", refused)
			}
			got, placeholder := l.jobs()
			if placeholder != nil || got == nil {
				t.Fatalf("Job %v, placeholder %v", got, placeholder)
			}
			baseline, err := l.Digester.Encode(l.decision("3").Baseline)
			l.must(err)
			want := l.job.DeepCopy()
			want.ObjectMeta = metav1.ObjectMeta{
				Name: "migrate", Namespace: obj.Namespace, UID: got.UID, Labels: map[string]string{"app": "migrate"},
				Annotations: map[string]string{"kept": "yes", annotation.Baseline: baseline},
			}
			want.Spec.Selector, want.Spec.Template.Labels, want.Spec.Suspend = nil, nil, new(false)
			if diff := cmp.Diff(want, got); diff != "" || got.UID == l.job.UID {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPlaceholderThatIsRefusedHarmsNobody(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.refused = "create"
	if err := l.begin(); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if job, placeholder := l.jobs(); job == nil || job.UID != l.job.UID || placeholder != nil {
		t.Errorf("Job %v, placeholder %v", job, placeholder)
	}
}

// A policy may look at what the placeholder does not have.
func TestWhatRefusesTheNewJobIsFoundBeforeTheOldOneIsDeleted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		met  error
		want bool
	}{
		"it is accepted":                         {nil, true},
		"a policy refuses it":                    {apierrors.NewForbidden(batchv1.Resource("jobs"), "migrate", errRefused), false},
		"a webhook cannot answer":                {apierrors.NewBadRequest(`admission webhook "a" does not support dry run`), true},
		"it is bad for another reason":           {apierrors.NewBadRequest("no"), false},
		"the placeholder is there, from a crash": {apierrors.NewAlreadyExists(batchv1.Resource("jobs"), "migrate-inpod-1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newJobLab(t, nil)
			l.dryRun = tc.met
			err := l.begin()
			job, placeholder := l.jobs()
			if (err == nil) != tc.want || (placeholder != nil) != tc.want || job == nil || job.UID != l.job.UID {
				t.Errorf("%v, Job %v, placeholder %v", err, job, placeholder)
			}
			if l.tried == nil || l.tried.Labels["app"] != "migrate" || l.tried.Annotations["kept"] != "yes" || suspended(l.tried) || l.tried.Name != "migrate" {
				t.Errorf("tried was %+v", l.tried)
			}
		})
	}
}

func TestAJobThatHasEndedIsNotRunAgain(t *testing.T) {
	t.Parallel()
	end := func(l *jobLab) {
		l.job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		_, err := l.api.BatchV1().Jobs(obj.Namespace).UpdateStatus(l.Context(), l.job, metav1.UpdateOptions{})
		l.must(err)
	}
	t.Run("before its placeholder is made", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		before := l.view(l.job) // it is decided about what the cache had
		end(l)
		if _, err := l.Rollout(l.Context(), before, l.decision("2"), time.Now()); !apierrors.IsConflict(err) {
			t.Error(err)
		}
	})
	t.Run("before it is deleted", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.must(l.begin())
		end(l)
		done, err := l.carryOn()
		l.must(err)
		if job, placeholder := l.jobs(); !done || job == nil || job.UID != l.job.UID || placeholder != nil {
			t.Errorf("done %t, Job %v, placeholder %v", done, job, placeholder)
		}
	})
}

// It was running when the source was edited, and ended before that had settled: the decision knows that.
func TestAJobThatWasRunningIsRecreatedThoughItHasEnded(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	})
	l.must(l.begin())
	if job := l.carryOnToTheEnd(); job == nil || job.UID == l.job.UID || len(job.Status.Conditions) > 0 {
		t.Errorf("in the end there is Job %v", job)
	}
}

func TestAJobIsRecreatedWhenItsPodsAreGone(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) { j.Finalizers, j.Generation = []string{"example.com/audit"}, 1 })
	l.slow = true
	l.must(l.begin())
	for range 3 {
		done, err := l.carryOn()
		l.must(err)
		if job, placeholder := l.jobs(); done || job == nil || job.DeletionTimestamp == nil || placeholder == nil {
			t.Fatalf("done %t, Job %v, placeholder %v", done, job, placeholder)
		}
	}
	if n := l.requests("patch"); n != 1 {
		t.Errorf("%d patches while it ends, want the one that records the deletion", n)
	}
	l.edit(func(j *batchv1.Job) { j.Finalizers = []string{metav1.FinalizerDeleteDependents} }) // the audit is over
	l.gone()
	done, err := l.carryOn()
	l.must(err)
	if job, _ := l.jobs(); !done || job == nil || !cmp.Equal(job.Finalizers, []string{"example.com/audit"}) {
		t.Errorf("done %t, Job %v", done, job)
	}
}

// requests counts those of a verb.
func (l *jobLab) requests(verb string) (n int) {
	for _, action := range l.api.Actions() {
		if action.Matches(verb, "jobs") {
			n++
		}
	}
	return n
}

// The pods of the old Job may take long to end.
func TestWhatItsUserEditsWhileTheOldPodsEndIsNotLost(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) { j.Generation = 1 })
	l.slow = true
	l.must(l.begin())
	carryOn := func() {
		t.Helper()
		_, err := l.carryOn()
		l.must(err)
	}
	carryOn()
	l.edit(func(j *batchv1.Job) { j.Spec.Parallelism, j.Generation = new(int32(7)), j.Generation+1 })
	carryOn()
	l.edit(func(j *batchv1.Job) { j.Spec.Suspend, j.Generation = new(true), j.Generation+1 })
	carryOn()
	l.gone()
	carryOn()
	job, placeholder := l.jobs()
	if job == nil || placeholder != nil {
		t.Fatalf("Job %v, placeholder %v", job, placeholder)
	}
	if !cmp.Equal(job.Spec.Parallelism, new(int32(7))) || !suspended(job) {
		t.Errorf("the new Job has parallelism %d, suspended: %t", *job.Spec.Parallelism, suspended(job))
	}
}

// An edit that comes after the reading is met by the version that is to be deleted.
func TestAnEditRightBeforeTheDeletionIsNotLost(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.must(l.begin())
	l.between = func() { // by the tracker, since the client waits for the reactor
		edited := l.job.DeepCopy()
		edited.Annotations["note"], edited.ResourceVersion = "new", "71"
		if err := l.api.Tracker().Update(batchv1.SchemeGroupVersion.WithResource("jobs"), edited, obj.Namespace); err != nil {
			t.Error(err)
		}
	}
	for range 9 {
		if _, err := l.carryOn(); err == nil {
			break
		} else if !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}
	job, _ := l.jobs()
	if _, placeholder := l.jobs(); placeholder != nil {
		job = l.carryOnToTheEnd()
	}
	if job == nil || job.UID == l.job.UID || job.Annotations["note"] != "new" {
		t.Errorf("Job %+v", job)
	}
}

// A suspended Job may get another template, and then go on.
func TestATemplateThatIsEditedWhileTheJobIsSuspendedIsNotLost(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.must(l.begin())
	l.edit(func(j *batchv1.Job) {
		j.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "fast"}
		delete(j.Spec.Template.Annotations, "team")
		j.Generation += 3 // suspended, edited, resumed
	})
	_, placeholder := l.jobs()
	placeholder = placeholder.DeepCopy()
	placeholder.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: "p"}}
	placeholder.Spec.Template.Labels = map[string]string{batchv1.ControllerUidLabel: "p", batchv1.JobNameLabel: placeholder.Name}
	l.must(l.api.Tracker().Update(batchv1.SchemeGroupVersion.WithResource("jobs"), placeholder, obj.Namespace))
	l.slow = true
	_, err := l.carryOn()
	l.must(err)
	if _, kept := l.jobs(); !cmp.Equal(kept.Spec.Selector, placeholder.Spec.Selector) || !cmp.Equal(kept.Spec.Template.Labels, placeholder.Spec.Template.Labels) {
		t.Errorf("the placeholder lost its own selector and labels: %+v", kept.Spec)
	}
	l.gone()
	job := l.carryOnToTheEnd()
	template := job.Spec.Template
	if template.Spec.NodeSelector["disk"] != "fast" || len(template.Annotations) > 0 || len(template.Labels) > 0 || job.Spec.Selector != nil {
		t.Errorf("the new Job has selector %v and template %+v", job.Spec.Selector, template)
	}
}

// The dry run of the beginning does not speak of an edit, or of a policy of today, when the program was stopped.
func TestTheNewJobIsTriedAgainBeforeTheOldOneIsDeleted(t *testing.T) {
	t.Parallel()
	refusal := apierrors.NewForbidden(batchv1.Resource("jobs"), "migrate", errRefused)
	for name, tc := range map[string]struct {
		age      time.Duration
		edit     bool
		recorded bool // a deletion was recorded and came to nothing
		want     int  // dry runs after the first
	}{
		"right away":                          {0, false, false, 0},
		"it was edited":                       {0, true, false, 1},
		"the program was stopped":             {time.Hour, false, false, 1},
		"and the Job was edited":              {time.Hour, true, false, 1},
		"it takes a moment longer":            {10 * time.Second, false, false, 0},
		"the deletion is tried again":         {0, false, true, 0},
		"it is tried again after a long stop": {time.Hour, false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newJobLab(t, nil)
			l.must(l.begin())
			_, placeholder := l.jobs()
			placeholder = placeholder.DeepCopy()
			placeholder.CreationTimestamp = metav1.Now()
			l.must(l.api.Tracker().Update(batchv1.SchemeGroupVersion.WithResource("jobs"), placeholder, obj.Namespace))
			if tc.recorded {
				l.refused = "delete"
				if _, err := l.carryOn(); !errors.Is(err, errRefused) {
					t.Fatal(err)
				}
				_, placeholder = l.jobs()
				placeholder = placeholder.DeepCopy()
			}
			placeholder.CreationTimestamp = metav1.NewTime(time.Now().Add(-tc.age))
			l.must(l.api.Tracker().Update(batchv1.SchemeGroupVersion.WithResource("jobs"), placeholder, obj.Namespace))
			if tc.edit {
				l.edit(func(j *batchv1.Job) { j.Labels["team"] = "shop" })
			}
			l.tries, l.dryRun = 0, refusal
			_, err := l.carryOn()
			if l.tries != tc.want || apierrors.IsForbidden(err) != (tc.want > 0) {
				t.Errorf("%d dry runs, want %d; %v", l.tries, tc.want, err)
			}
			if tc.want == 0 {
				return
			}
			if job, placeholder := l.jobs(); job == nil || job.UID != l.job.UID || placeholder == nil {
				t.Errorf("Job %v, placeholder %v", job, placeholder)
			}
			l.dryRun = nil
			if job := l.carryOnToTheEnd(); job == nil || job.UID == l.job.UID {
				t.Errorf("in the end there is Job %v", job)
			}
		})
	}
}

// Between the placeholder and the deletion the program may have been stopped for long.
func TestWhatItsUserDoesToAJobMeanwhileIsNotLost(t *testing.T) {
	t.Parallel()
	suspend := func(j *batchv1.Job) { j.Spec.Suspend, j.Generation = new(true), j.Generation+1 }
	t.Run("suspended before its placeholder is made", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.edit(suspend)
		if err := l.begin(); !apierrors.IsConflict(err) {
			t.Error(err)
		}
	})
	t.Run("suspended before it is deleted", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.must(l.begin())
		l.edit(suspend)
		done, err := l.carryOn()
		l.must(err)
		if job, placeholder := l.jobs(); !done || job == nil || job.UID != l.job.UID || !suspended(job) || placeholder != nil {
			t.Errorf("done %t, Job %v, placeholder %v", done, job, placeholder)
		}
	})
	for name, change := range map[string]func(*batchv1.Job){
		"its specification": func(j *batchv1.Job) { j.Spec.Parallelism, j.Generation = new(int32(7)), j.Generation+1 },
		"a label":           func(j *batchv1.Job) { j.Labels["team"] = "shop" },
		"an annotation":     func(j *batchv1.Job) { j.Annotations["note"] = "new" },
	} {
		for _, refused := range []string{"", "patch", "create", "delete"} {
			t.Run(name+" is edited, refused: "+refused, func(t *testing.T) {
				t.Parallel()
				l := newJobLab(t, nil)
				l.must(l.begin())
				l.edit(change)
				l.refused = refused
				want, _ := l.jobs()
				want = want.DeepCopy()
				got := l.carryOnToTheEnd()
				if got == nil || got.UID == l.job.UID || l.refused != "" {
					t.Fatalf("Job %v, not refused: %q", got, l.refused)
				}
				if !cmp.Equal(got.Spec.Parallelism, want.Spec.Parallelism) || got.Labels["team"] != want.Labels["team"] || got.Annotations["note"] != want.Annotations["note"] {
					t.Errorf("the edit is lost: %+v", got)
				}
			})
		}
	}
}

func (l *jobLab) edit(change func(*batchv1.Job)) {
	l.Helper()
	job, _ := l.jobs()
	job = job.DeepCopy()
	change(job)
	job.ResourceVersion += "1"
	_, err := l.api.BatchV1().Jobs(obj.Namespace).Update(l.Context(), job, metav1.UpdateOptions{})
	l.must(err)
}

func TestAJobThatItsUserDeletesStaysAway(t *testing.T) {
	t.Parallel()
	stays := func(l *jobLab) {
		l.Helper()
		l.gone()
		done, err := l.carryOn()
		l.must(err)
		if job, placeholder := l.jobs(); !done || job != nil || placeholder != nil {
			l.Errorf("done %t, Job %v, placeholder %v", done, job, placeholder)
		}
	}
	t.Run("before the placeholder acts", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.must(l.begin())
		stays(l)
	})
	t.Run("when inpod may not delete it", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.must(l.begin())
		l.api.PrependReactor("delete", "jobs", func(action clienttesting.Action) (bool, runtime.Object, error) {
			deletion, ok := action.(clienttesting.DeleteAction)
			if !ok || deletion.GetName() != "migrate" {
				return false, nil, nil
			}
			return true, nil, apierrors.NewForbidden(batchv1.Resource("jobs"), "migrate", errRefused)
		})
		for range 3 {
			if _, err := l.carryOn(); err != nil && !apierrors.IsForbidden(err) {
				t.Fatal(err)
			}
		}
		stays(l)
	})
	t.Run("its user is deleting it when the placeholder is to be made", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		l.edit(func(j *batchv1.Job) {
			j.DeletionTimestamp, j.Finalizers = new(metav1.Now()), []string{metav1.FinalizerDeleteDependents}
		})
		if err := l.begin(); !apierrors.IsConflict(err) {
			t.Error(err)
		}
		if _, placeholder := l.jobs(); placeholder != nil {
			t.Errorf("there is a placeholder %v", placeholder)
		}
	})
}

// There is no pause between the record that inpod deletes the Job and the deletion, in which its user might delete it.
func TestTheDeletionIsRecordedRightBeforeIt(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.slow = true
	l.must(l.begin())
	_, err := l.carryOn()
	l.must(err)
	job, kept := l.jobs()
	placeholder, err := workload.PlaceholderOf(kept)
	l.must(err)
	if !placeholder.Deletes || job.DeletionTimestamp == nil {
		t.Errorf("recorded: %t, deleted: %v", placeholder.Deletes, job.DeletionTimestamp)
	}
}

// Whoever deletes the placeholder wants nothing recreated, and the old Job goes on.
func TestAPlaceholderThatIsDeletedDeletesNothing(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.must(l.begin())
	_, placeholder := l.jobs()
	l.api.PrependReactor("patch", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(batchv1.Resource("jobs"), placeholder.Name)
	})
	_, err := l.carryOn()
	l.must(err)
	if job, _ := l.jobs(); job == nil || job.UID != l.job.UID {
		t.Errorf("Job %v", job)
	}
}

// A policy may want labels on every Job. Those by which a tool finds its objects are never given to a placeholder.
func TestAPlaceholderGetsLabelsWhereItIsRefusedWithoutThem(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) {
		j.Labels = map[string]string{
			"team": "shop", "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "shop", "argocd.argoproj.io/instance": "shop",
			"kueue.x-k8s.io/queue-name": "night", batchv1.JobNameLabel: "migrate",
		}
	})
	l.api.PrependReactor("create", "jobs", func(action clienttesting.Action) (bool, runtime.Object, error) {
		create, ok := action.(clienttesting.CreateAction)
		if !ok {
			return false, nil, nil
		}
		if job, ok := create.GetObject().(*batchv1.Job); ok && job.Labels["team"] == "" {
			return true, nil, apierrors.NewForbidden(batchv1.Resource("jobs"), job.Name, errors.New("label team is missing"))
		}
		return false, nil, nil
	})
	l.must(l.begin())
	want := map[string]string{"team": "shop", "app.kubernetes.io/managed-by": "inpod"}
	if _, placeholder := l.jobs(); placeholder == nil || !cmp.Equal(placeholder.Labels, want) {
		t.Errorf("%v, want %v", placeholder, want)
	}
	if job := l.carryOnToTheEnd(); !cmp.Equal(job.Labels["app.kubernetes.io/instance"], "shop") {
		t.Errorf("the new Job has the labels %v", job.Labels)
	}
}

// The dry run that is repeated counts the old Job and the placeholder, and of the three there are never more than two.
func TestAQuotaOfTwoIsEnoughForAnEditedJob(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.must(l.begin())
	l.edit(func(j *batchv1.Job) { j.Labels["team"] = "shop" })
	l.dryRun = apierrors.NewForbidden(batchv1.Resource("jobs"), "migrate", errors.New("exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=2, limited: count/jobs.batch=2"))
	if job := l.carryOnToTheEnd(); job == nil || job.UID == l.job.UID || job.Labels["team"] != "shop" {
		t.Errorf("Job %v", job)
	}
}

func suspended(job *batchv1.Job) bool { return job.Spec.Suspend != nil && *job.Spec.Suspend }

// carryOnToTheEnd has the placeholder do all its steps, and returns the Job.
func (l *jobLab) carryOnToTheEnd() *batchv1.Job {
	l.Helper()
	for range 9 {
		done, err := l.carryOn()
		if err != nil && !errors.Is(err, errRefused) {
			l.Fatal(err)
		}
		job, placeholder := l.jobs()
		if job == nil && placeholder == nil {
			l.Fatal("the Job is lost")
		}
		if done {
			return job
		}
	}
	l.Fatal("it comes to no end")
	return nil
}

// Whoever may make Jobs may write the annotation, and may not have others' Jobs deleted that way.
func TestAPlaceholderThatSomebodyElseHasWrittenIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	forged := obj.Job("forged", obj.EnvFrom(obj.CM("a")))
	forged.Annotations = map[string]string{annotation.Placeholder: `{"name":"migrate","uid":"` + string(l.job.UID) + `","token":"x"}`}
	_, err := l.api.BatchV1().Jobs(obj.Namespace).Create(t.Context(), forged, metav1.CreateOptions{})
	l.must(err)
	if done, err := l.carryOn(); done || err == nil || !strings.Contains(err.Error(), "was not written with this installation's key. If another installation of inpod recreates the Job, leave it") {
		t.Errorf("done %t, %v", done, err)
	}
	if job, _ := l.jobs(); job == nil {
		t.Error("the Job is gone")
	}
}

func TestAJobWithASelectorOfItsOwnKeepsIt(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) {
		j.Spec.ManualSelector = new(true)
		j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "migrate"}}
		j.Spec.Template.Labels = map[string]string{"app": "migrate"}
	})
	l.must(l.begin())
	job := l.carryOnToTheEnd()
	if _, placeholder := l.jobs(); placeholder != nil || job == nil || !cmp.Equal(job.Spec.Selector, l.job.Spec.Selector) || !cmp.Equal(job.Spec.Template.Labels, l.job.Spec.Template.Labels) {
		t.Errorf("Job %+v, placeholder %v", job, placeholder)
	}
}

func TestTheNameOfAPlaceholderFits(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) { j.Name = strings.Repeat("x", 63) })
	_, err := l.Rollout(t.Context(), l.view(l.job), l.decision("2"), time.Now())
	if !apierrors.IsNotFound(err) { // the metadata client has another one
		t.Log(err)
	}
	list, err := l.api.BatchV1().Jobs(obj.Namespace).List(t.Context(), metav1.ListOptions{})
	l.must(err)
	for i := range list.Items {
		if len(list.Items[i].Name) > 63 {
			t.Errorf("%s has %d bytes", list.Items[i].Name, len(list.Items[i].Name))
		}
	}
	if len(list.Items) != 2 {
		t.Errorf("%d Jobs", len(list.Items))
	}
}
