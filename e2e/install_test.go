//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// Reloader's own keys work without any setting. All other tests use keys of their own.
func TestReloadersKeysAreTheDefault(t *testing.T) {
	t.Parallel()
	s := ownSpaceWith(t, reloaderKeys())
	if others := s.clusterWideControllers(); len(others) > 0 {
		t.Skipf("%s would follow these keys too", strings.Join(others, " and "))
	}
	all := s.values(nil, nil)
	config := all["controller"].(framework.Values)["config"].(framework.Values)
	maps.DeleteFunc(config, func(name string, _ any) bool { _, isKey := s.keys.config()[name]; return isKey })
	s.must(s.Install(s.ctx, s.Release, all))

	annotations := map[string]map[string]string{
		"auto":   {"reloader.stakater.com/auto": "true"},
		"typed":  {"configmap.reloader.stakater.com/auto": "true"},
		"named":  {"configmap.reloader.stakater.com/reload": "config"},
		"search": {"reloader.stakater.com/search": "true"},
	}
	edit := func(value string) {
		source := configMap("config", "key", value)
		source.Annotations = map[string]string{"reloader.stakater.com/match": "true"}
		s.apply(source)
	}
	edit("1")
	var workloads []framework.Workload
	for name, on := range annotations {
		a := deployment(name, volume(ofConfigMap("config"))).idle()
		a.annotations = on
		s.apply(a.object())
		workloads = append(workloads, a.in(s.ns))
	}
	s.hasBaseline(workloads...)
	before := s.rollouts()
	edit("2")
	s.onlyRolled(before, workloads...)
}

// clusterWideControllers lists other controllers, inpod or Reloader, that follow Reloader's keys in all namespaces.
func (s *space) clusterWideControllers() []string {
	s.t.Helper()
	list, err := s.Client.AppsV1().Deployments("").List(s.ctx, metav1.ListOptions{})
	s.must(err)
	var found []string
	for _, d := range list.Items {
		if *d.Spec.Replicas == 0 {
			continue // tests of the injector install one that does not run
		}
		container := d.Spec.Template.Spec.Containers[0]
		isOne := strings.Contains(container.Image, "reloader") || d.Labels["app.kubernetes.io/part-of"] == "inpod" && d.Labels["app.kubernetes.io/component"] == "controller"
		limited := slices.ContainsFunc(container.Args, func(arg string) bool {
			return strings.HasPrefix(arg, "--namespaces=") || strings.HasPrefix(arg, "--auto-annotation=") && !strings.Contains(arg, "reloader.stakater.com")
		})
		if isOne && !limited {
			found = append(found, d.Namespace+"/"+d.Name)
		}
	}
	return found
}

func TestANamespacedInstallStaysInItsNamespace(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(nil, nil)
	outside := openSpace(t, s.charge)
	for _, place := range []*space{s, outside} {
		place.apply(configMap("config", "key", "1"), deployment("app", volume(ofConfigMap("config"))).idle().annotated(s.keys.auto, "true").object())
	}
	s.hasBaseline(framework.Deployment(s.ns, "app"))
	before, beforeOutside := s.rollouts(), outside.rollouts()
	outside.apply(configMap("config", "key", "2"))
	s.apply(configMap("config", "key", "2"))
	s.onlyRolled(before, framework.Deployment(s.ns, "app"))
	if after := outside.rollouts(); !maps.Equal(after, beforeOutside) {
		t.Errorf("rollouts outside: %v, want %v", after, beforeOutside)
	}

	metrics, err := s.Metrics(s.ctx, s.Namespace, s.controllerPod())
	s.must(err)
	for _, name := range []string{"reloader_reload_executed_total", "inpod_rollouts_total"} {
		if got := metrics.Sum(name); got != 2 { // the workload and the marker
			t.Errorf("%s is %g, want 2", name, got)
		}
	}

	bindings, err := s.Client.RbacV1().ClusterRoleBindings().List(s.ctx, metav1.ListOptions{})
	s.must(err)
	for _, binding := range bindings.Items {
		if slices.ContainsFunc(binding.Subjects, func(subject rbacv1.Subject) bool { return subject.Namespace == s.Namespace }) {
			t.Errorf("ClusterRoleBinding %s is about the namespace of the release", binding.Name)
		}
	}
}

// Without rights the controller says at its start which ones it misses, and prints what grants them.
func TestMissingPermissionsAreNamedAtStart(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	all := s.values(nil, nil)
	all["rbac"] = framework.Values{"create": false}
	s.must(s.InstallOnly(s.ctx, s.Release, all))
	log := s.awaitLog("Missing:")
	for _, want := range []string{
		"list configmaps", "watch secrets", "patch statefulsets.apps", "patch daemonsets.apps", "create events",
		fmt.Sprintf("in namespace %q", s.ns), "inpod-controller",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not name %q:\n%s", want, log)
		}
	}
	s.must(s.ApplyYAML(s.ctx, s.ns, manifestIn(log)))
	s.restartController()
	s.must(s.AwaitRelease(s.ctx, s.Release))
	s.marker()

	// One verb less.
	role, err := s.Client.RbacV1().Roles(s.ns).Get(s.ctx, "inpod-missing", metav1.GetOptions{})
	s.must(err)
	for i, rule := range role.Rules {
		if slices.Contains(rule.Resources, "statefulsets") {
			role.Rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(verb string) bool { return verb == "patch" })
		}
	}
	_, err = s.Client.RbacV1().Roles(s.ns).Update(s.ctx, role, metav1.UpdateOptions{})
	s.must(err)
	s.restartController()
	log = s.awaitLog("Missing:")
	if !strings.Contains(log, "patch statefulsets.apps") || strings.Contains(log, "list configmaps") {
		t.Errorf("want the log to name the verb patch and not list:\n%s", log)
	}
}

// A namespace whose Role somebody has taken away keeps nobody else from being followed, and is followed when it is back.
func TestANamespaceWithoutRightsIsLeftOutUntilItHasThem(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	barred := openSpace(t, s.charge)
	all := s.values(nil, nil)
	all["namespaces"] = []string{s.ns, barred.ns}
	s.must(s.Install(s.ctx, s.Release, all))
	bindings := s.Client.RbacV1().RoleBindings(barred.ns)
	list, err := bindings.List(s.ctx, metav1.ListOptions{})
	s.must(err)
	if len(list.Items) != 1 {
		t.Fatalf("%d RoleBindings", len(list.Items))
	}
	taken := list.Items[0]
	s.must(bindings.Delete(s.ctx, taken.Name, metav1.DeleteOptions{}))
	s.restartController()
	log := s.awaitLog("permissions missing in namespace")
	if !strings.Contains(log, "namespace="+barred.ns) {
		t.Errorf("the log does not name the namespace:\n%s", log)
	}
	s.must(s.AwaitRelease(s.ctx, s.Release))
	s.marker()

	taken.ResourceVersion, taken.UID = "", ""
	_, err = bindings.Create(s.ctx, &taken, metav1.CreateOptions{})
	s.must(err)
	barred.marker()
}

// manifestIn cuts the manifest out of a log: from the line that begins its first document to the next line of the log.
func manifestIn(log string) string {
	_, manifest, _ := strings.Cut(log, "\n---\n")
	manifest, _, _ = strings.Cut(manifest, "\ntime=")
	return manifest
}

// restartController ends the controller's pods; new ones take their place.
func (s *space) restartController() {
	s.t.Helper()
	pods, err := s.Pods(s.ctx, s.Controller())
	s.must(err)
	for _, pod := range pods {
		s.must(s.Client.CoreV1().Pods(pod.Namespace).Delete(s.ctx, pod.Name, metav1.DeleteOptions{}))
	}
	s.must(s.AwaitGone(s.ctx, pods...))
}

// awaitLog waits until the controller has logged a text and returns its log.
func (s *space) awaitLog(text string) string {
	s.t.Helper()
	log, err := s.AwaitLog(s.ctx, s.Controller(), text)
	s.must(err)
	return log
}
