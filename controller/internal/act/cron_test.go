package act_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
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

// cronLab is an API server with the CronJob "report".
type cronLab struct {
	*testing.T
	act.Writer

	api      *fake.Clientset
	metadata *metadatafake.FakeMetadataClient
	cron     *batchv1.CronJob
}

func newCronLab(t *testing.T, change func(*batchv1.CronJob)) *cronLab {
	t.Helper()
	cron := obj.CronJob("report", obj.EnvFrom(obj.CM("a")))
	cron.Spec.JobTemplate.Labels = map[string]string{"team": "shop"}
	change(cron)
	digester, err := source.NewDigester(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	api := fake.NewSimpleClientset(cron)
	scheme := runtime.NewScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	partial := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"}, ObjectMeta: *cron.ObjectMeta.DeepCopy()}
	meta := metadatafake.NewSimpleMetadataClient(scheme, partial)
	return &cronLab{
		T: t, api: api, metadata: meta, cron: cron,
		Writer: act.Writer{Client: meta, Digester: digester, Kinds: workload.Kinds().With(workload.CronJob()), Jobs: api.BatchV1()},
	}
}

// run takes up content.
func (l *cronLab) run(content string) error {
	l.Helper()
	view, err := workload.CronJob().View(l.cron, func(string) bool { return true })
	if err != nil {
		l.Fatal(err)
	}
	use := source.SourceState{Usages: source.GroupUsages(view.Usages)[0], Snapshot: new(source.OfConfigMap(obj.ConfigMap("a", "k", content)))}
	_, err = l.Rollout(l.Context(), view, decide.Decision{
		Action: decide.Rollout, Baseline: source.Baseline{Records: map[source.Ref]source.Record{use.Usages.Ref: l.Digester.Record(use)}},
	}, time.Now())
	return err
}

func (l *cronLab) jobs() []batchv1.Job {
	l.Helper()
	list, err := l.api.BatchV1().Jobs(obj.Namespace).List(l.Context(), metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return list.Items
}

func (l *cronLab) recorded() string {
	l.Helper()
	object, err := l.metadata.Resource(workload.CronJob().Resource).Namespace(obj.Namespace).Get(l.Context(), "report", metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return object.Annotations[annotation.Baseline]
}

func TestAJobIsStartedOnceForEachContent(t *testing.T) {
	t.Parallel()
	l := newCronLab(t, func(*batchv1.CronJob) {})
	for range 3 { // as after a crash between the Job and the record
		if err := l.run("1"); err != nil {
			t.Fatal(err)
		}
	}
	jobs := l.jobs()
	if len(jobs) != 1 {
		t.Fatalf("%d Jobs, want 1", len(jobs))
	}
	job := jobs[0]
	owner := metav1.GetControllerOf(&job)
	if !strings.HasPrefix(job.Name, "report-") || job.Labels["team"] != "shop" || job.Annotations["cronjob.kubernetes.io/instantiate"] != "manual" ||
		owner == nil || owner.UID != l.cron.UID || len(job.Spec.Template.Spec.Containers) != 1 {
		t.Errorf("the Job is %+v", job)
	}
	if l.recorded() == "" {
		t.Error("what it was started for is not recorded")
	}
	if err := l.run("2"); err != nil || len(l.jobs()) != 2 {
		t.Errorf("other content: %d Jobs, %v", len(l.jobs()), err)
	}
	// Content that comes back is another reason, once something else was recorded.
	l.cron.Annotations = map[string]string{annotation.Baseline: l.recorded()}
	if _, err := l.api.BatchV1().CronJobs(obj.Namespace).Update(t.Context(), l.cron, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.run("1"); err != nil || len(l.jobs()) != 3 {
		t.Errorf("content that comes back: %d Jobs, %v", len(l.jobs()), err)
	}
}

func TestAJobThatCannotBeStartedIsNotRecorded(t *testing.T) {
	t.Parallel()
	l := newCronLab(t, func(*batchv1.CronJob) {})
	refused := errors.New("quota")
	l.api.PrependReactor("create", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, refused })
	if err := l.run("1"); !errors.Is(err, refused) || l.recorded() != "" {
		t.Errorf("%v, recorded %q", err, l.recorded())
	}
}

func TestJobsThatRunAreReplacedWhereThePolicySaysSo(t *testing.T) {
	t.Parallel()
	for policy, want := range map[batchv1.ConcurrencyPolicy][]string{
		batchv1.AllowConcurrent: {"done", "running", "started"}, batchv1.ReplaceConcurrent: {"done", "started"}, batchv1.ForbidConcurrent: {"done", "running"},
	} {
		l := newCronLab(t, func(c *batchv1.CronJob) { c.Spec.ConcurrencyPolicy = policy })
		for _, name := range []string{"running", "done"} {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: obj.Namespace, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(l.cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))},
			}}
			if name == "done" {
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
			}
			if _, err := l.api.BatchV1().Jobs(obj.Namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		err := l.run("1")
		var busy *decide.BusyError
		if waits := errors.As(err, &busy) && slices.Equal(busy.Jobs, []string{"running"}); waits != (policy == batchv1.ForbidConcurrent) || !waits && err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		var names []string
		for _, job := range l.jobs() {
			if strings.HasPrefix(job.Name, "report-") {
				job.Name = "started"
			}
			names = append(names, job.Name)
		}
		slices.Sort(names)
		if !slices.Equal(names, want) {
			t.Errorf("%s: %v, want %v", policy, names, want)
		}
		if err := l.run("1"); policy == batchv1.ReplaceConcurrent && (err != nil || len(l.jobs()) != 2) {
			t.Errorf("a repetition: %d Jobs, %v", len(l.jobs()), err)
		}
	}
}

func TestACronJobThatWasRecreatedIsLeftAlone(t *testing.T) {
	t.Parallel()
	l := newCronLab(t, func(*batchv1.CronJob) {})
	l.cron = l.cron.DeepCopy()
	l.cron.UID = "another"
	if err := l.run("1"); !apierrors.IsConflict(err) || len(l.jobs()) != 0 {
		t.Errorf("%v, %d Jobs", err, len(l.jobs()))
	}
	if err := l.api.BatchV1().CronJobs(obj.Namespace).Delete(context.Background(), "report", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.run("1"); !apierrors.IsNotFound(err) {
		t.Errorf("one that is gone: %v", err)
	}
}
