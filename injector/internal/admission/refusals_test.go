package admission_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
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

	before func(context.Context) // what happens before each attempt

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
	if c.before != nil {
		c.before(ctx)
	}
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

func TestAPodThatIsRefusedWithTheSidecarIsCreatedWithoutIt(t *testing.T) {
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
func TestMostAttemptsHaveTheSidecarWhereNothingHelps(t *testing.T) {
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

// Whoever posts reviews about an owner neither makes what is known of it be forgotten, nor keeps it from being learned.
func TestForgedReviewsKeepNobodyFromBeingHelped(t *testing.T) {
	t.Parallel()
	type forgery struct {
		caller, namespace string
		owner             func(*metav1.OwnerReference)
	}
	const apiServer, stranger = "10.0.0.1", "10.0.0.9"
	nothing := func(*metav1.OwnerReference) {}
	for name, f := range map[string]forgery{
		"of another caller":                            {stranger, "shop", nothing},
		"of another caller, with another name":         {stranger, "shop", func(o *metav1.OwnerReference) { o.Name = "other" }},
		"of a pod in another namespace":                {apiServer, "evil", nothing},
		"of a pod of the namespace, with another name": {apiServer, "shop", func(o *metav1.OwnerReference) { o.Name = "other" }},
		"of a pod of the namespace, with another kind": {apiServer, "shop", func(o *metav1.OwnerReference) { o.Kind = "Other" }},
	} {
		for _, kind := range []string{"ReplicaSet", "StatefulSet"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := newCluster(kind, withSidecar(noCapabilities))
					forged := c.pod()
					f.owner(&forged.OwnerReferences[0])
					c.before = func(ctx context.Context) {
						for range 3 {
							c.refusals.Of(ctx, f.caller, f.namespace, forged, false)
							time.Sleep(time.Second)
						}
					}
					if took := c.run(t.Context(), time.Hour); c.without != 1 || took > time.Minute {
						t.Errorf("after %s: %d pods with the sidecar, %d without", took, c.with, c.without)
					}
				})
			})
		}
	}
}

// However many owners others make up, what is known of one stays.
func TestInventedOwnersPushNobodyOut(t *testing.T) {
	t.Parallel()
	for name, who := range map[string]struct{ caller, namespace string }{
		"of another caller":              {"10.0.0.9", "shop"},
		"in pods of another namespace":   {"10.0.0.1", "evil"},
		"in pods of very many of these ": {"10.0.0.9", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster("ReplicaSet", withSidecar(noCapabilities))
				c.run(t.Context(), time.Minute)
				for i := range 10_000 {
					forged, namespace := c.pod(), who.namespace
					forged.OwnerReferences[0].UID = types.UID(fmt.Sprint("forged", i))
					if namespace == "" {
						namespace = fmt.Sprint("n", i)
					}
					c.refusals.Of(t.Context(), who.caller, namespace, forged, false)
				}
				if took := c.run(t.Context(), time.Minute); took > 0 || c.without != 2 {
					t.Errorf("a further pod took %s; %d with the sidecar, %d without", took, c.with, c.without)
				}
			})
		})
	}
}

// An old event is about another time, and an event about another object is none.
func TestOldEventsAreNoEvidence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		age   time.Duration
		about corev1.ObjectReference
	}{
		"an old one":                 {time.Minute, corev1.ObjectReference{Kind: "StatefulSet", Name: "web-1", UID: "u1"}},
		"one about another workload": {0, corev1.ObjectReference{Kind: "StatefulSet", Name: "web-1", UID: "u2"}},
		"one about another name":     {0, corev1.ObjectReference{Kind: "StatefulSet", Name: "web-2", UID: "u1"}},
		"one about another kind":     {0, corev1.ObjectReference{Kind: "DaemonSet", Name: "web-1", UID: "u1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newCluster("StatefulSet", nil)
				for range 20 {
					at := metav1.NewTime(time.Now().Add(-tc.age))
					_ = c.client.Tracker().Add(&corev1.Event{
						ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", time.Now().UnixNano()), Namespace: "shop"}, Reason: "FailedCreate", Message: noCapabilities,
						InvolvedObject: tc.about, LastTimestamp: at,
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
		if c.questions > 300 {
			t.Errorf("%d questions for one caller and namespace in ten seconds", c.questions)
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

// All callers together make the API server be asked no more than so often, and by so many at a time; one that asks little gets
// its answers all the same.
func TestQuestionsAboutOwnersAreBoundedForAll(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]string{"conditions": "ReplicaSet", "events": "StatefulSet"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var limits sync.Map
				api := &slowAPI{takes: 20 * time.Millisecond, answer: func(r *http.Request) any {
					limits.Store(r.URL.Query().Get("limit"), true)
					return nil
				}}
				refusals := admission.NewRefusals(api.client(t))
				var callers sync.WaitGroup
				for caller := range 60 {
					callers.Go(func() {
						for i := range 3000 {
							pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{
								APIVersion: "apps/v1", Kind: kind, Name: "x", UID: types.UID(strconv.Itoa(i % 30)), Controller: new(true),
							}}}}
							refusals.Of(t.Context(), fmt.Sprint("caller", caller), fmt.Sprint("n", i%10), pod, false)
							time.Sleep(time.Millisecond)
						}
					})
				}
				callers.Wait()
				asked, atOnce := api.count()
				if asked > 3500 || asked < 100 || atOnce > 16 {
					t.Errorf("%d questions in three seconds, %d at one time", asked, atOnce)
				}
				if _, isBounded := limits.Load("50"); kind == "StatefulSet" && !isBounded {
					t.Error("a list of events has no limit")
				}
			})
		})
	}
}

// Where there are more events than are read, the newest may be among the others.
func TestWithMoreEventsThanAreReadNothingIsKnown(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		more string
		want bool
	}{"all are read": {"", true}, "more are there": {"more", false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api := &slowAPI{answer: func(*http.Request) any {
					return corev1.EventList{
						TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "EventList"}, ListMeta: metav1.ListMeta{Continue: tc.more},
						Items: []corev1.Event{{
							InvolvedObject: corev1.ObjectReference{Kind: "StatefulSet", Name: "web-1", UID: "u1"}, Reason: "FailedCreate",
							Message: noCapabilities, LastTimestamp: metav1.Now(),
						}},
					}
				}}
				c := newCluster("StatefulSet", nil)
				refusals, isLeftOut := admission.NewRefusals(api.client(t)), false
				for range 10 {
					isLeftOut = isLeftOut || refusals.Of(t.Context(), "10.0.0.1", "shop", c.pod(), true) != ""
					time.Sleep(time.Second)
				}
				if isLeftOut != tc.want {
					t.Errorf("the sidecar is left out: %v", isLeftOut)
				}
			})
		})
	}
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
