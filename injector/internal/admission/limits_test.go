package admission_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/injector/internal/admission"
	"inpod.dev/inpod/internal/inject"
)

func list(name corev1.ResourceName, amount string) corev1.ResourceList {
	return corev1.ResourceList{name: resource.MustParse(amount)}
}

func limitRange(namespace, name string) *corev1.LimitRange {
	return &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Max: list("cpu", "2")}, {Type: corev1.LimitTypePersistentVolumeClaim, Max: list("storage", "1Gi")},
	}}}
}

func resourceQuota(namespace, name, used string) *corev1.ResourceQuota {
	hard, usage := list("limits.cpu", "4"), list("limits.cpu", used)
	hard["pods"], usage["pods"] = resource.MustParse("10"), resource.MustParse("1")
	return &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ResourceQuotaSpec{Scopes: []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeNotTerminating}},
		Status: corev1.ResourceQuotaStatus{Hard: hard, Used: usage},
	}
}

// described is what is known in one line.
func described(l *inject.Limits) string {
	if l == nil {
		return "unknown"
	}
	var all []string
	for _, item := range l.Ranges {
		most := item.Max[corev1.ResourceCPU]
		all = append(all, fmt.Sprintf("%s: %s at most %s", item.Name, item.Type, most.String()))
	}
	for _, q := range l.Quotas {
		hard, used := q.Hard["limits.cpu"], q.Used["limits.cpu"]
		all = append(all, fmt.Sprintf("%s: %s of %s in %d names, %d scopes", q.Name, used.String(), hard.String(), len(q.Hard), len(q.Scopes)))
	}
	return strings.Join(all, "; ")
}

// watchLimits runs until the test ends, in the time of synctest.
func watchLimits(t *testing.T, client *fake.Clientset, namespaces ...string) (*admission.Limits, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	limits, err := admission.NewLimits(client, namespaces, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { limits.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	time.Sleep(5 * time.Second)
	synctest.Wait()
	return limits, &log
}

func TestWhatANamespaceAllowsIsKnownAndKeptUpToDate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(limitRange("shop", "b"), limitRange("shop", "a"), limitRange("other", "x"), resourceQuota("shop", "team", "1"))
		limits, _ := watchLimits(t, client)
		got := map[string]string{}
		for _, namespace := range []string{"shop", "other", "empty"} {
			got[namespace] = described(limits.Of(namespace))
		}
		want := map[string]string{
			"shop":  "a: Container at most 2; b: Container at most 2; team: 1 of 4 in 1 names, 1 scopes",
			"other": "x: Container at most 2", "empty": "",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what is known (-want +got):\n%s", diff)
		}
		quota := resourceQuota("shop", "team", "3")
		if _, err := client.CoreV1().ResourceQuotas("shop").UpdateStatus(t.Context(), quota, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := client.CoreV1().LimitRanges("shop").Delete(t.Context(), "b", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := described(limits.Of("shop")), "a: Container at most 2; team: 3 of 4 in 1 names, 1 scopes"; got != want {
			t.Errorf("afterwards %q, want %q", got, want)
		}
	})
}

func TestWhatIsNotReadIsNotKnown(t *testing.T) {
	t.Parallel()
	refuse := func(resources string) func(*fake.Clientset) {
		return func(client *fake.Clientset) {
			client.PrependReactor("list", resources, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resources}, "", nil)
			})
		}
	}
	for name, tc := range map[string]struct {
		change   func(*fake.Clientset)
		in       []string
		of, want string
		wantLog  bool
	}{
		"no right to read quotas":      {refuse("resourcequotas"), nil, "shop", "unknown", true},
		"no right to read LimitRanges": {refuse("limitranges"), nil, "shop", "unknown", true},
		"a namespace that is not read": {func(*fake.Clientset) {}, []string{"blog"}, "shop", "unknown", false},
		"a namespace that is read":     {func(*fake.Clientset) {}, []string{"blog", "shop"}, "shop", "a: Container at most 2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewClientset(limitRange("shop", "a"))
				tc.change(client)
				limits, log := watchLimits(t, client, tc.in...)
				time.Sleep(time.Hour)
				if got := described(limits.Of(tc.of)); got != tc.want {
					t.Errorf("%q, want %q", got, tc.want)
				}
				if warned := strings.Count(log.String(), "level=WARN"); (warned == 1) != tc.wantLog || warned > 1 {
					t.Errorf("%d warnings:\n%s", warned, log)
				}
			})
		})
	}
}

// The first list is bounded like what comes later, though all of it arrives at once. What goes makes room for others.
func TestTheFirstListOfLimitsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		big := func(i int) *corev1.LimitRange {
			r := limitRange(fmt.Sprint("n", i), strings.Repeat("large-", 40))
			for range 30_000 { // about 9 MB in short form
				r.Spec.Limits = append(r.Spec.Limits, corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "2")})
			}
			return r
		}
		const all, fit = 4, 1
		client := fake.NewClientset(resourceQuota("shop", "team", "1"))
		for i := range all {
			if err := client.Tracker().Add(big(i)); err != nil {
				t.Fatal(err)
			}
		}
		limits, _ := watchLimits(t, client)
		known := func() (names []int) {
			for i := range all {
				if l := limits.Of(fmt.Sprint("n", i)); l != nil && len(l.Ranges) > 0 {
					names = append(names, i)
				}
			}
			return names
		}
		first := known()
		if len(first) == 0 || len(first) > fit {
			t.Fatalf("%d of %d are kept, want %d", len(first), all, fit)
		}
		ranges := func(i int) typedv1.LimitRangeInterface { return client.CoreV1().LimitRanges(fmt.Sprint("n", i)) }
		other := (first[0] + 1) % all
		for range 3 { // an update counts once
			if _, err := ranges(first[0]).Update(t.Context(), big(first[0]), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if err := ranges(first[0]).Delete(t.Context(), strings.Repeat("large-", 40), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if _, err := ranges(other).Update(t.Context(), big(other), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := known(); !slices.Equal(got, []int{other}) {
			t.Errorf("%v are known when %d has gone and %d has changed", got, first[0], other)
		}
	})
}

// What is kept is bounded: a cluster with more of them than fit has namespaces that are not known, and works as
// without.
func TestTooManyLimitsAreNotKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset(resourceQuota("shop", "team", "1"))
		limits, _ := watchLimits(t, client)
		large := limitRange("big", strings.Repeat("large-", 40))
		for range 50_000 {
			large.Spec.Limits = append(large.Spec.Limits, corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Max: list("cpu", "2")})
		}
		if _, err := client.CoreV1().LimitRanges("big").Create(t.Context(), large, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := described(limits.Of("big")) + ", " + described(limits.Of("shop")); got != "unknown, team: 1 of 4 in 1 names, 1 scopes" {
			t.Errorf("%.200s", got)
		}
	})
}
