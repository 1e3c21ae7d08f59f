package tests

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Objects find each other by names and labels, which are computed in many places: they have to agree for every name of
// a release, and fit where Kubernetes allows 63 characters.
func TestObjectsBelongTogether(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("r", 53) // the limit of helm
	for _, release := range []string{"inpod", "x", "my-inpod", longest} {
		for set, values := range sets(t) {
			t.Run(release+"/"+set, func(t *testing.T) {
				t.Parallel()
				rendered, err := helm(t, "template", release, chart, "--namespace", namespace, "--values="+values)
				if err != nil {
					t.Fatal(err)
				}
				objects := parse(t, rendered)
				accounts := checkAccounts(t, objects)
				checkBindings(t, objects, accounts)
				checkSelectors(t, objects)
				checkWebhooks(t, objects)
				for _, object := range objects {
					checkMetadata(t, object)
				}
			})
		}
	}
}

// checkAccounts returns the service accounts that pods run with, as namespace/name.
func checkAccounts(t *testing.T, objects Rendered) []string {
	t.Helper()
	var accounts []string
	for name, spec := range podSpecs(objects) {
		accounts = append(accounts, namespace+"/"+spec.ServiceAccountName)
		if spec.ServiceAccountName == "roller" { // testdata/values/own-account.yaml
			continue
		}
		if !slices.ContainsFunc(All[*corev1.ServiceAccount](objects), func(account *corev1.ServiceAccount) bool {
			return account.Name == spec.ServiceAccountName && account.Namespace == namespace
		}) {
			t.Errorf("%s runs as service account %q, which is not rendered", name, spec.ServiceAccountName)
		}
	}
	return accounts
}

func checkBindings(t *testing.T, objects Rendered, accounts []string) {
	t.Helper()
	bound := map[string]bool{}
	check := func(binding Object, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		role := ref.Kind + " " + ref.Name
		if ref.Kind == "Role" {
			role = ref.Kind + " " + binding.GetNamespace() + "/" + ref.Name
		}
		bound[role] = true
		for _, subject := range subjects {
			if !slices.Contains(accounts, subject.Namespace+"/"+subject.Name) {
				t.Errorf("%s grants to %s/%s, and no pod runs as that", describe(binding), subject.Namespace, subject.Name)
			}
		}
	}
	for _, binding := range All[*rbacv1.RoleBinding](objects) {
		check(binding, binding.RoleRef, binding.Subjects)
	}
	for _, binding := range All[*rbacv1.ClusterRoleBinding](objects) {
		check(binding, binding.RoleRef, binding.Subjects)
	}
	for _, object := range objects {
		switch object.(type) {
		case *rbacv1.Role, *rbacv1.ClusterRole:
			if !bound[describe(object)] {
				t.Errorf("%s is bound by nothing", describe(object))
			}
			delete(bound, describe(object))
		}
	}
	for role := range bound {
		t.Errorf("a binding names %s, which is not rendered", role)
	}
}

// checkSelectors looks for selectors that select no pod of this release, or those of two workloads.
func checkSelectors(t *testing.T, objects Rendered) {
	t.Helper()
	templates := map[string]labels.Set{}
	for _, deployment := range All[*appsv1.Deployment](objects) {
		templates[deployment.Name] = deployment.Spec.Template.Labels
	}
	check := func(object Object, selector *metav1.LabelSelector, candidates map[string]labels.Set) {
		compiled, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Errorf("%s: %v", describe(object), err)
			return
		}
		selected := 0
		for _, set := range candidates {
			if compiled.Matches(set) {
				selected++
			}
		}
		if selected != 1 {
			t.Errorf("%s selects %d of %v, want one", describe(object), selected, slices.Collect(maps.Keys(candidates)))
		}
	}
	services := map[string]labels.Set{}
	for _, service := range All[*corev1.Service](objects) {
		services[service.Name] = service.Labels
		check(service, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, templates)
	}
	for _, deployment := range All[*appsv1.Deployment](objects) {
		check(deployment, deployment.Spec.Selector, templates)
		for label := range deployment.Spec.Selector.MatchLabels {
			if strings.Contains(label, "version") || strings.Contains(label, "chart") {
				t.Errorf("%s selects by %s, which changes with an upgrade; a selector cannot", describe(deployment), label)
			}
		}
	}
	for _, budget := range All[*policyv1.PodDisruptionBudget](objects) {
		check(budget, budget.Spec.Selector, templates)
	}
	for _, policy := range All[*networkingv1.NetworkPolicy](objects) {
		check(policy, &policy.Spec.PodSelector, templates)
	}
	for _, monitor := range All[*PodMonitor](objects) {
		check(monitor, &monitor.Spec.Selector, templates)
	}
	for _, monitor := range All[*ServiceMonitor](objects) {
		check(monitor, &monitor.Spec.Selector, services)
	}
}

// checkWebhooks looks for webhooks that call a Service or a port which is not rendered, and for those that see the pods
// of their own namespace: an injector that is away could then keep itself away.
func checkWebhooks(t *testing.T, objects Rendered) {
	t.Helper()
	for _, configuration := range All[*admissionregistrationv1.MutatingWebhookConfiguration](objects) {
		for _, webhook := range configuration.Webhooks {
			called := webhook.ClientConfig.Service
			if !slices.ContainsFunc(All[*corev1.Service](objects), func(service *corev1.Service) bool {
				return service.Name == called.Name && service.Namespace == called.Namespace && service.Spec.Ports[0].Port == *called.Port
			}) {
				t.Errorf("%s calls Service %s/%s port %d, which is not rendered", webhook.Name, called.Namespace, called.Name, *called.Port)
			}
			selector, err := metav1.LabelSelectorAsSelector(webhook.NamespaceSelector)
			if err != nil {
				t.Errorf("%s: %v", webhook.Name, err)
				continue
			}
			for _, spared := range []string{namespace, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease} {
				asked := labels.Set{"inpod.dev/inject": "enabled", corev1.LabelMetadataName: spared}
				if selector.Matches(asked) {
					t.Errorf("%s sees the pods of %s", webhook.Name, spared)
				}
			}
		}
	}
}

func checkMetadata(t *testing.T, object Object) {
	t.Helper()
	limit := validation.DNS1123LabelMaxLength
	switch object.(type) {
	case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding, *rbacv1.Role, *rbacv1.RoleBinding,
		*admissionregistrationv1.MutatingWebhookConfiguration:
		limit = validation.DNS1123SubdomainMaxLength
	}
	if faults := validation.IsDNS1123Subdomain(object.GetName()); len(faults) > 0 || len(object.GetName()) > limit {
		t.Errorf("%s: the name has %d characters of %d: %v", describe(object), len(object.GetName()), limit, faults)
	}
	for _, label := range []string{"name", "instance", "component", "version", "managed-by", "part-of"} {
		if object.GetLabels()["app.kubernetes.io/"+label] == "" {
			t.Errorf("%s has no label app.kubernetes.io/%s", describe(object), label)
		}
	}
	for label, value := range object.GetLabels() {
		if faults := slices.Concat(validation.IsQualifiedName(label), validation.IsValidLabelValue(value)); len(faults) > 0 {
			t.Errorf("%s: label %s=%s: %v", describe(object), label, value, faults)
		}
	}
}

func TestCommonLabelsAreOnEverything(t *testing.T) {
	t.Parallel()
	for _, object := range render(t, "--values="+sets(t)["everything"]) {
		if object.GetLabels()["example.com/owner"] != "platform" {
			t.Errorf("%s lacks the common label", describe(object))
		}
	}
}

// A value that changes nothing is a promise that is not kept: for each row of the README's table there is a set of
// values that would render otherwise without it.
func TestEveryValueHasAnEffect(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([A-Za-z.]+)` \\|").FindAllStringSubmatch(string(readme), -1)
	if len(rows) < 50 {
		t.Fatalf("the README has only %d rows", len(rows))
	}
	rendered := map[string]string{}
	for set, path := range sets(t) {
		if rendered[set], err = text(t, "--values="+path); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range rows {
		t.Run(row[1], func(t *testing.T) {
			t.Parallel()
			var tried []string
			for set, path := range sets(t) {
				values := readValues(t, path)
				if _, isSet := at(values, row[1]); !isSet {
					continue
				}
				tried = append(tried, set)
				remove(values, row[1])
				without, err := text(t, valuesFlag(t, values))
				if err != nil {
					t.Fatal(err)
				}
				if without != rendered[set] {
					return
				}
			}
			if len(tried) == 0 {
				t.Error("no file in testdata/values sets it: add it to one where it has an effect, such as everything.yaml")
				return
			}
			t.Errorf("%v would be rendered the same without it", tried)
		})
	}
}
