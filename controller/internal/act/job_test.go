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
	"inpod.dev/inpod/controller/internal/decide"
	"inpod.dev/inpod/internal/annotation"
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
}

var errRefused = errors.New("refused")

func newJobLab(t *testing.T, change func(*batchv1.Job)) *jobLab {
	t.Helper()
	job := obj.Job("migrate", obj.EnvFrom(obj.CM("a")), obj.TemplateAnnotation("team", "shop"))
	job.Labels = map[string]string{"app": "migrate", batchv1.ControllerUidLabel: string(job.UID)}
	job.Annotations = map[string]string{"kept": "yes", annotation.Observed: "old"}
	job.ResourceVersion = "7"
	if change != nil {
		change(job)
	}
	sealer, err := source.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	l := &jobLab{T: t, job: job, api: fake.NewSimpleClientset(job)}
	made := 0
	l.api.PrependReactor("*", "jobs", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetVerb() == l.refused {
			l.refused = ""
			return true, nil, errRefused
		}
		if create, ok := action.(clienttesting.CreateAction); ok && action.GetVerb() == "create" {
			made++
			if job, ok := create.GetObject().(*batchv1.Job); ok {
				job.UID = types.UID(strings.Repeat("n", made))
			}
		}
		return false, nil, nil
	})
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	partial := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: *job.ObjectMeta.DeepCopy()}
	l.Writer = act.Writer{
		Client: metadatafake.NewSimpleMetadataClient(scheme, partial), Sealer: sealer, Kinds: workload.Kinds().With(workload.JobKind()), Jobs: l.api.BatchV1(),
	}
	return l
}

// decision takes up content.
func (l *jobLab) decision(content string) decide.Decision {
	scope := source.Scopes(source.Usages(obj.Namespace, &l.job.Spec.Template.Spec))[0]
	use := source.Use{Scope: scope, Snapshot: new(source.OfConfigMap(obj.ConfigMap("a", "k", content)))}
	return decide.Decision{Baseline: source.Baseline{Records: map[source.Ref]source.Record{use.Scope.Ref: l.Sealer.Record(use)}}}
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

// jobs returns the Job of the name, and the stand-in.
func (l *jobLab) jobs() (job, standIn *batchv1.Job) {
	l.Helper()
	list, err := l.api.BatchV1().Jobs(obj.Namespace).List(l.Context(), metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	for i := range list.Items {
		switch {
		case list.Items[i].Name == "migrate":
			job = &list.Items[i]
		case standIn != nil:
			l.Fatalf("two stand-ins, %s and %s", standIn.Name, list.Items[i].Name)
		default:
			standIn = &list.Items[i]
		}
	}
	return job, standIn
}

// carryOn has the stand-in do its next step.
func (l *jobLab) carryOn() (bool, error) {
	l.Helper()
	_, standIn := l.jobs()
	if standIn == nil {
		l.Fatal("there is no stand-in")
	}
	return l.Recreate(l.Context(), l.view(standIn), l.decision("3"))
}

func (l *jobLab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// Whatever is refused, and whenever the program ends, the Job is there or its stand-in has it, and in the end it runs
// with the new content.
func TestAJobIsMadeAgainWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"", "get", "create", "delete"} {
		t.Run("refused: "+refused, func(t *testing.T) {
			t.Parallel()
			l := newJobLab(t, nil)
			l.must(l.begin())
			l.must(l.begin()) // again, as after a crash
			job, standIn := l.jobs()
			if job == nil || standIn == nil || !*standIn.Spec.Suspend {
				t.Fatalf("Job %+v, stand-in %+v", job, standIn)
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
				job, standIn := l.jobs()
				if job == nil && standIn == nil {
					t.Fatal("the Job is lost")
				}
				if done {
					break
				}
			}
			if l.refused != "" {
				t.Errorf("no %s was seen", refused)
			}
			got, standIn := l.jobs()
			if standIn != nil || got == nil {
				t.Fatalf("Job %v, stand-in %v", got, standIn)
			}
			baseline, err := l.Sealer.Encode(l.decision("3").Baseline)
			l.must(err)
			want := l.job.DeepCopy()
			want.ObjectMeta = metav1.ObjectMeta{
				Name: "migrate", Namespace: obj.Namespace, UID: got.UID, Labels: map[string]string{"app": "migrate"},
				Annotations: map[string]string{"kept": "yes", annotation.Observed: baseline},
			}
			want.Spec.Selector, want.Spec.Template.Labels, want.Spec.Suspend = nil, map[string]string{}, new(false)
			if diff := cmp.Diff(want, got); diff != "" || got.UID == l.job.UID {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStandInThatIsRefusedHarmsNobody(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	l.refused = "create"
	if err := l.begin(); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if job, standIn := l.jobs(); job == nil || job.UID != l.job.UID || standIn != nil {
		t.Errorf("Job %v, stand-in %v", job, standIn)
	}
}

func TestAJobThatHasEndedIsNotRunAgain(t *testing.T) {
	t.Parallel()
	end := func(l *jobLab) {
		l.job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		_, err := l.api.BatchV1().Jobs(obj.Namespace).UpdateStatus(l.Context(), l.job, metav1.UpdateOptions{})
		l.must(err)
	}
	t.Run("before its stand-in is made", func(t *testing.T) {
		t.Parallel()
		l := newJobLab(t, nil)
		end(l)
		if err := l.begin(); !apierrors.IsConflict(err) {
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
		if job, standIn := l.jobs(); !done || job == nil || job.UID != l.job.UID || standIn != nil {
			t.Errorf("done %t, Job %v, stand-in %v", done, job, standIn)
		}
	})
}

func TestAJobIsMadeAgainWhenItsPodsAreGone(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, func(j *batchv1.Job) {
		j.DeletionTimestamp, j.Finalizers = new(metav1.Now()), []string{metav1.FinalizerDeleteDependents, "example.com/audit"}
	})
	l.must(l.begin())
	done, err := l.carryOn()
	l.must(err)
	job, standIn := l.jobs()
	if done || job == nil || standIn == nil {
		t.Fatalf("done %t, Job %v, stand-in %v", done, job, standIn)
	}
	l.must(l.api.Tracker().Delete(batchv1.SchemeGroupVersion.WithResource("jobs"), obj.Namespace, "migrate"))
	done, err = l.carryOn()
	l.must(err)
	job, _ = l.jobs()
	if !done || job == nil || !cmp.Equal(job.Finalizers, []string{"example.com/audit"}) {
		t.Errorf("done %t, Job %v", done, job)
	}
}

// Whoever may make Jobs may write the annotation, and may not have others' Jobs deleted that way.
func TestAStandInThatSomebodyElseHasWrittenIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newJobLab(t, nil)
	forged := obj.Job("forged", obj.EnvFrom(obj.CM("a")))
	forged.Annotations = map[string]string{annotation.StandIn: `{"name":"migrate","uid":"` + string(l.job.UID) + `","seal":"x"}`}
	_, err := l.api.BatchV1().Jobs(obj.Namespace).Create(t.Context(), forged, metav1.CreateOptions{})
	l.must(err)
	if done, err := l.carryOn(); done || err == nil || !strings.Contains(err.Error(), "was not written by this installation") {
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
	for range 2 {
		_, err := l.carryOn()
		l.must(err)
	}
	if job, standIn := l.jobs(); standIn != nil || !cmp.Equal(job.Spec.Selector, l.job.Spec.Selector) || !cmp.Equal(job.Spec.Template.Labels, l.job.Spec.Template.Labels) {
		t.Errorf("Job %+v, stand-in %v", job, standIn)
	}
}

func TestTheNameOfAStandInFits(t *testing.T) {
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
