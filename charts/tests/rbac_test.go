package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"inpod.dev/inpod/internal/kube"
)

// everywhere, and the own namespace, in the tables below.
const (
	everywhere = ""
	own        = namespace
)

// watchRights are what the controller needs where it works. That this is what the program asks for at its start is a
// test of the program (chart_test.go beside its main.go); that nobody widens it in passing is this one.
func watchRights(namespaces ...string) []string {
	var rights []string
	for _, namespace := range namespaces {
		rights = append(rights, grants(namespace,
			"list,watch configmaps", "list,watch secrets", "create,patch events",
			"list,watch pods", "patch pods/status", "create pods/eviction",
			"list,patch,watch deployments.apps", "list,patch,watch statefulsets.apps", "list,patch,watch daemonsets.apps",
			"get,list,patch,watch cronjobs.batch", "create,delete,get,list,patch,watch jobs.batch")...)
	}
	return rights
}

// grants expands "list,watch secrets" to one text per verb.
func grants(namespace string, rights ...string) []string {
	var expanded []string
	for _, right := range rights {
		verbs, object, _ := strings.Cut(right, " ")
		for verb := range strings.SplitSeq(verbs, ",") {
			expanded = append(expanded, fmt.Sprintf("%s %s in %q", verb, object, namespace))
		}
	}
	return expanded
}

// written is a permission in the form of grants.
func written(r kube.Requirement) string {
	object := r.Resource
	if r.Subresource != "" {
		object += "/" + r.Subresource
	}
	if r.Group != "" {
		object += "." + r.Group
	}
	if r.Name != "" {
		object += " " + r.Name
	}
	return fmt.Sprintf("%s %s in %q", r.Verb, object, r.Namespace)
}

func TestProgramsMayDoThisAndNoMore(t *testing.T) {
	t.Parallel()
	const leases = "leases.coordination.k8s.io"
	key := grants(own, "create secrets", "get secrets inpod-digest-key")
	lease := grants(own, "create "+leases, "get,update "+leases+" inpod-controller")
	// Of the namespaces whose pods the injector sees.
	asked := []string{
		"get namespaces", "list,watch limitranges", "list,watch resourcequotas", "get replicasets.apps", "get replicationcontrollers", "list events",
	}
	issue := slices.Concat(
		grants(own, "get,list,watch,update secrets inpod-injector-tls", "create "+leases, "get,update "+leases+" inpod-injector"),
		grants(everywhere, "get,list,watch,patch mutatingwebhookconfigurations.admissionregistration.k8s.io inpod-injector-inpod-system"),
	)
	for name, tc := range map[string]struct {
		set, component string
		want           []string
	}{
		"everywhere": {"default", "controller", slices.Concat(watchRights(everywhere), key)},
		"with several replicas, and defaults of namespaces": {"ha", "controller", slices.Concat(
			watchRights(everywhere), grants(everywhere, "list,watch namespaces"), key, lease)},
		"in some namespaces": {"namespaced", "controller", slices.Concat(watchRights("shop", "blog"),
			grants("shop", "get,create pods/portforward"), grants("blog", "get,create pods/portforward"), key, lease)},
		"in its own namespace": {"own-namespace", "controller", slices.Concat(watchRights(own), key)},
		"with every kind of workload": {"everything", "controller", slices.Concat(
			grants("shop", "list,watch configmaps", "create,patch events", "list pods",
				"list,patch,watch deployments.apps", "list,patch,watch statefulsets.apps", "list,patch,watch daemonsets.apps",
				"list,patch,watch rollouts.argoproj.io", "list,patch,watch deploymentconfigs.apps.openshift.io",
				"list,patch,watch clonesets.apps.kruise.io", "list,patch,watch services.serving.knative.dev",
				"list,patch,watch replicationcontrollers",
				"list,watch secretproviderclasses.secrets-store.csi.x-k8s.io", "list,watch secretproviderclasspodstatuses.secrets-store.csi.x-k8s.io"),
			grants(own, "create secrets", "get secrets roller-key", "create configmaps", "get,update configmaps reloader-meta-info", "create "+leases, "get,update "+leases+" roller"))},
		"in selected namespaces, without ConfigMaps, with bundles of trust anchors": {"selected", "controller", slices.Concat(
			slices.DeleteFunc(watchRights(everywhere), func(right string) bool { return strings.Contains(right, "configmaps") }),
			grants(everywhere, "list,watch namespaces", "list,watch clustertrustbundles.certificates.k8s.io"), key)},
		"with rights of one's own": {"own-account", "controller", nil},

		"injector everywhere":               {"default", "injector", slices.Concat(grants(everywhere, asked...), key, issue)},
		"injector in some namespaces":       {"namespaced", "injector", slices.Concat(grants("shop", asked...), grants("blog", asked...), key, issue)},
		"injector with cert-manager":        {"cert-manager", "injector", slices.Concat(grants(everywhere, asked...), key)},
		"injector with a certificate":       {"certificate", "injector", slices.Concat(grants("shop", asked...), key)},
		"injector with rights of one's own": {"own-account", "injector", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			permissions, err := render(t, "--values="+sets(t)[tc.set]).Permissions(tc.component)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, permission := range permissions {
				got = append(got, written(permission))
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("permissions (-want +got):\n%s", diff)
			}
		})
	}
}

// Each has a switch, without which nobody is granted anything for it. An upgrade with --reuse-values from a chart that had no such
// value has none, and the program its default.
func TestTheInjectorMayReadOnlyWhatItIsConfiguredToRead(t *testing.T) {
	t.Parallel()
	limits, owners := []string{"limitranges", "resourcequotas"}, []string{"replicasets", "replicationcontrollers", "events"}
	for name, tc := range map[string]struct {
		set  []string
		want []string
	}{
		"as it comes":          {nil, slices.Concat(limits, owners)},
		"without both values":  {[]string{"readLimits=null", "onRefusal=null"}, slices.Concat(limits, owners)},
		"without limits":       {[]string{"readLimits=false"}, owners},
		"refusals are retried": {[]string{"onRefusal=retry"}, limits},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args []string
			for _, value := range tc.set {
				args = append(args, "--set=injector.config."+value)
			}
			permissions, err := render(t, args...).Permissions("injector")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, permission := range permissions {
				if slices.Contains(slices.Concat(limits, owners), permission.Resource) {
					got = append(got, permission.Resource)
				}
			}
			slices.Sort(got)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, slices.Compact(got)); diff != "" {
				t.Errorf("what it may read (-want +got):\n%s", diff)
			}
		})
	}
}

// An upgrade with --reuse-values from a chart that had no such value has none, and asks directly.
func TestPortForwardsAreGrantedToThoseWhoAskForThemOnly(t *testing.T) {
	t.Parallel()
	for way, want := range map[string]int{"direct": 0, "null": 0, "portforward": 2, "auto": 2} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			permissions, err := render(t, "--set=controller.config.confirmThrough="+way).Permissions("controller")
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, permission := range permissions {
				if permission.Subresource == "portforward" {
					got++
				}
			}
			if got != want {
				t.Errorf("%d rights on pods/portforward, want %d", got, want)
			}
		})
	}
}

// No component, whichever it is, gets rights that an audit would stumble over.
func TestNoWildRights(t *testing.T) {
	t.Parallel()
	for set, values := range sets(t) {
		for _, object := range render(t, "--values="+values) {
			var rules []rbacv1.PolicyRule
			switch role := object.(type) {
			case *rbacv1.ClusterRole:
				rules = role.Rules
			case *rbacv1.Role:
				rules = role.Rules
			}
			for _, rule := range rules {
				for _, words := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources} {
					if slices.Contains(words, "*") {
						t.Errorf("%s: %s has a wildcard in %v", set, describe(object), rule)
					}
				}
				if len(rule.Verbs) == 0 || len(rule.Resources)+len(rule.NonResourceURLs) == 0 {
					t.Errorf("%s: %s grants nothing by %v", set, describe(object), rule)
				}
			}
		}
	}
}

func TestNoControllerClusterRoleForSomeNamespaces(t *testing.T) {
	t.Parallel()
	for _, set := range []string{"namespaced", "own-namespace", "own-account"} {
		rendered := render(t, "--values="+sets(t)[set])
		for _, object := range rendered {
			switch object.(type) {
			case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
				if object.GetLabels()["app.kubernetes.io/component"] == "controller" {
					t.Errorf("%s: there is a %s", set, describe(object))
				}
			}
		}
	}
}
