package admission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/injector/internal/admission"
)

const (
	noCapabilities = `pods "web-1-x" is forbidden: ValidatingAdmissionPolicy 'caps' with binding 'caps' denied request: containers may not add capabilities`
	noAccount      = `pods "web-1-" is forbidden: error looking up service account shop/web: serviceaccount "web" not found`
	noQuota        = `pods "web-1-x" is forbidden: exceeded quota: team, requested: limits.cpu=100m, used: limits.cpu=4, limited: limits.cpu=4`
	noWebhook      = `Internal error occurred: failed calling webhook "v.example.com": connect: connection refused`
)

// cluster is an API server with a controller that makes the pods of one owner, as Kubernetes' own do.
type cluster struct {
	client   *fake.Clientset
	refusals *admission.Refusals
	kind     string
	limits   bool // quotas are known to the injector
	// refuses says what there is against a pod with the sidecar or without, "" for nothing.
	refuses func(sidecar bool) string

	with, without int // pods that were made
	questions     int
	texts         []string
}

func newCluster(kind string, refuses func(sidecar bool) string) *cluster {
	c := &cluster{client: fake.NewClientset(), kind: kind, refuses: refuses}
	c.client.PrependReactor("*", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetVerb() == "get" || a.GetVerb() == "list" {
			c.questions++
		}
		return false, nil, nil
	})
	c.refusals = admission.NewRefusals(c.client)
	return c
}

func (c *cluster) owner() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: c.kind, Name: "web-1", UID: "u1", Controller: new(true)}
}

func (c *cluster) pod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "web-1-", OwnerReferences: []metav1.OwnerReference{c.owner()}}}
}

// create is one attempt to make a pod. It reports whether that worked.
func (c *cluster) create(ctx context.Context) bool {
	text := c.refusals.Of(ctx, "10.0.0.1", "shop", c.pod(), c.limits)
	if text != "" {
		c.texts = append(c.texts, text)
	}
	refusal := c.refuses(text == "")
	switch {
	case refusal == "" && text == "":
		c.with++
	case refusal == "":
		c.without++
	}
	c.record(ctx, refusal)
	return refusal == ""
}

// record is what the controller leaves of an attempt: a condition, or an event.
func (c *cluster) record(ctx context.Context, refusal string) {
	if c.kind != "ReplicaSet" {
		if refusal != "" {
			events := c.client.CoreV1().Events("shop")
			now := metav1.NewTime(time.Now().Truncate(time.Second))
			_, _ = events.Create(ctx, &corev1.Event{
				ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", time.Now().UnixNano()), Namespace: "shop"}, Reason: "FailedCreate", Message: "create Pod web-0 failed: " + refusal,
				InvolvedObject: corev1.ObjectReference{Kind: c.kind, Name: "web-1", UID: "u1"}, FirstTimestamp: now, LastTimestamp: now,
			}, metav1.CreateOptions{})
		}
		return
	}
	sets := c.client.AppsV1().ReplicaSets("shop")
	set, err := sets.Get(ctx, "web-1", metav1.GetOptions{})
	c.questions--
	if err != nil {
		set, _ = sets.Create(ctx, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u1"}}, metav1.CreateOptions{})
	}
	set.Status.Replicas = int32(c.with + c.without)
	switch {
	case refusal == "":
		set.Status.Conditions = nil
	case len(set.Status.Conditions) == 0:
		set.Status.Conditions = []appsv1.ReplicaSetCondition{{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: refusal, LastTransitionTime: metav1.Now(),
		}}
	}
	_, _ = sets.UpdateStatus(ctx, set, metav1.UpdateOptions{})
}

// run makes one pod as a controller does: it tries again after 5 ms, and after twice as long each time. It returns how long
// that took, or the limit.
func (c *cluster) run(ctx context.Context, limit time.Duration) time.Duration {
	began := time.Now()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 1000*time.Second) {
		if c.create(ctx) {
			return time.Since(began)
		}
		if time.Since(began)+wait > limit {
			return limit
		}
		time.Sleep(wait)
	}
}

func always(text string) func(bool) string { return func(bool) string { return text } }

func withSidecar(text string) func(bool) string {
	return func(sidecar bool) string {
		if sidecar {
			return text
		}
		return ""
	}
}

// until returns one after some time, another one before.
func until(d time.Duration, before, after func(bool) string) func(bool) string {
	var began time.Time
	return func(sidecar bool) string {
		if began.IsZero() {
			began = time.Now()
		}
		if time.Since(began) < d {
			return before(sidecar)
		}
		return after(sidecar)
	}
}

func TestAPodThatIsRefusedWithTheSidecarIsMadeWithoutIt(t *testing.T) {
	t.Parallel()
	nothing := always("")
	for name, tc := range map[string]struct {
		kind     string
		refuses  func(bool) string
		limits   bool
		within   time.Duration
		wantPods string // with and without the sidecar
	}{
		"a policy against capabilities":                      {"ReplicaSet", withSidecar(noCapabilities), true, 6 * time.Second, "0 with, 1 without"},
		"a policy against capabilities, of a StatefulSet":    {"StatefulSet", withSidecar(noCapabilities), true, 12 * time.Second, "0 with, 1 without"},
		"a policy against capabilities, of a kind of others": {"CloneSet", withSidecar(noCapabilities), true, 12 * time.Second, "0 with, 1 without"},
		"nothing is refused":                                 {"ReplicaSet", nothing, true, 0, "1 with, 0 without"},
		"a policy that is gone after a second":               {"ReplicaSet", until(time.Second, withSidecar(noCapabilities), nothing), true, 2 * time.Second, "1 with, 0 without"},
		"a service account that comes after an hour":         {"ReplicaSet", until(time.Hour, always(noAccount), nothing), true, 2 * time.Hour, "1 with, 0 without"},
		"a webhook of others that is away for an hour":       {"ReplicaSet", until(time.Hour, always(noWebhook), nothing), true, 2 * time.Hour, "1 with, 0 without"},
		"a quota that is known and full for an hour":         {"ReplicaSet", until(time.Hour, always(noQuota), nothing), true, 2 * time.Hour, "1 with, 0 without"},
		"a quota that is not known":                          {"ReplicaSet", withSidecar(noQuota), false, 6 * time.Second, "0 with, 1 without"},
		"a policy against all pods":                          {"ReplicaSet", always(noCapabilities), true, 24 * time.Hour, "0 with, 0 without"},
		"a policy against all pods for a minute, and then against the sidecar": {
			"ReplicaSet", until(time.Minute, always(noCapabilities), withSidecar(noCapabilities)), true, 20 * time.Minute, "0 with, 1 without",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(tc.kind, tc.refuses)
				c.limits = tc.limits
				took := c.run(t.Context(), 24*time.Hour)
				if got := fmt.Sprintf("%d with, %d without", c.with, c.without); got != tc.wantPods || took > tc.within {
					t.Errorf("after %s: %s; want %s within %s", took, got, tc.wantPods, tc.within)
				}
				for _, text := range c.texts {
					if !strings.HasPrefix(text, tc.kind+" web-1: ") || !strings.Contains(text, "forbidden") {
						t.Errorf("the reason is %q", text)
					}
				}
			})
		})
	}
}

// What is refused either way is no reason to leave the sidecar out for good: most attempts are made with it.
func TestMostAttemptsAreMadeWithTheSidecarWhereNothingHelps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		with, all := 0, 0
		c := newCluster("ReplicaSet", func(sidecar bool) string {
			all++
			if sidecar {
				with++
			}
			return noCapabilities
		})
		c.run(t.Context(), 24*time.Hour)
		if all < 50 || with*3 < all*2 || with == all {
			t.Errorf("%d of %d attempts were made with the sidecar", with, all)
		}
	})
}

// Further pods of the owner are made at once, and when the policy is gone the next one gets the sidecar again.
func TestAPolicyThatIsGoneIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := noCapabilities
		c := newCluster("ReplicaSet", func(sidecar bool) string { return withSidecar(policy)(sidecar) })
		c.run(t.Context(), time.Minute)
		for range 20 { // a rollout goes on, step by step
			time.Sleep(2 * time.Second)
			if took := c.run(t.Context(), time.Minute); took > 0 {
				t.Fatalf("a further pod took %s", took)
			}
		}
		policy = ""
		time.Sleep(2 * time.Minute)
		if c.run(t.Context(), time.Minute); c.with != 1 || c.without != 21 {
			t.Errorf("%d pods with the sidecar and %d without; want the last one with it", c.with, c.without)
		}
	})
}

// Anybody can post reviews, about owners of others as well. They lead to questions, and to nothing else.
func TestForgedReviewsSwitchNothingOff(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*appsv1.ReplicaSet, *corev1.Event){
		"an owner that is well":        func(set *appsv1.ReplicaSet, e *corev1.Event) { set.Status.Conditions, e.InvolvedObject.UID = nil, "u1" },
		"an owner of another identity": func(set *appsv1.ReplicaSet, _ *corev1.Event) { set.UID = "other" },
		"a pod that cannot be deleted": func(set *appsv1.ReplicaSet, _ *corev1.Event) { set.Status.Conditions[0].Reason = "FailedDelete" },
		"a failure that is over": func(set *appsv1.ReplicaSet, _ *corev1.Event) {
			set.Status.Conditions[0].Status = corev1.ConditionFalse
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop", UID: "u1"}}
				set.Status.Conditions = []appsv1.ReplicaSetCondition{{
					Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: noCapabilities,
				}}
				event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "shop"}, Reason: "FailedCreate", Message: noCapabilities}
				change(set, event)
				c := newCluster("ReplicaSet", nil)
				c.client = fake.NewClientset(set, event)
				refusals := admission.NewRefusals(c.client)
				for range 1000 {
					if text := refusals.Of(t.Context(), "10.0.0.9", "shop", c.pod(), true); text != "" {
						t.Fatalf("the sidecar is left out: %s", text)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		})
	}
}

// An old event is about another time, and an event about another object is none.
func TestOldEventsAreNoEvidence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		age time.Duration
		uid types.UID
	}{
		"an old one":                 {time.Minute, "u1"},
		"one about another workload": {0, "u2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster("StatefulSet", nil)
				for range 20 {
					at := metav1.NewTime(time.Now().Add(-tc.age))
					_ = c.client.Tracker().Add(&corev1.Event{
						ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", time.Now().UnixNano()), Namespace: "shop"}, Reason: "FailedCreate", Message: noCapabilities,
						InvolvedObject: corev1.ObjectReference{UID: tc.uid}, LastTimestamp: at,
					})
					if text := c.refusals.Of(t.Context(), "10.0.0.9", "shop", c.pod(), true); text != "" {
						t.Fatalf("the sidecar is left out: %s", text)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

func TestQuestionsAboutOwnersAreFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("ReplicaSet", always(""))
		pod := c.pod()
		for range 500 { // a rollout of many pods
			c.refusals.Of(t.Context(), "10.0.0.1", "shop", pod, true)
			time.Sleep(10 * time.Millisecond)
		}
		if c.questions > 5 {
			t.Errorf("%d questions about one owner in five seconds", c.questions)
		}
		c.questions = 0
		for i := range 10_000 { // somebody who makes owners up
			forged := c.pod()
			forged.OwnerReferences[0].UID = types.UID(fmt.Sprint("forged", i%2000))
			c.refusals.Of(t.Context(), "10.0.0.9", "shop", forged, true)
			time.Sleep(time.Millisecond)
		}
		if c.questions > 700 {
			t.Errorf("%d questions for one caller in ten seconds", c.questions)
		}
		alone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "alone"}}
		c.questions = 0
		for range 10 {
			c.refusals.Of(t.Context(), "10.0.0.1", "shop", alone, true)
		}
		if c.questions > 0 {
			t.Errorf("%d questions about nobody", c.questions)
		}
	})
}

func TestWithoutAnAnswerNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("ReplicaSet", withSidecar(noCapabilities))
		c.client.PrependReactor("get", "replicasets", func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, errors.New("forbidden: no rights")
		})
		if c.run(t.Context(), time.Hour); c.with+c.without > 0 || len(c.texts) > 0 {
			t.Errorf("%d pods with the sidecar, %d without: %v", c.with, c.without, c.texts)
		}
	})
}

func TestWhatWasSaidIsRepeatedInBrief(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster("ReplicaSet", withSidecar("pods is forbidden:\n"+strings.Repeat("ä", 1000)))
		c.run(t.Context(), time.Minute)
		if len(c.texts) != 1 || len(c.texts[0]) > 330 || strings.Contains(c.texts[0], "\n") || !strings.HasSuffix(c.texts[0], "ä…") {
			t.Errorf("%q", c.texts)
		}
	})
}
