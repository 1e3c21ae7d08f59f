//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/sidecarapi"
)

// block drops what is sent to the sidecars of these pods from outside of them, as a NetworkPolicy does, until open is called or
// the test ends: the network of the local cluster enforces no policies.
func (s *space) block(pods []corev1.Pod) (open func()) {
	s.t.Helper()
	netns := netnsOf(s.t)
	table := "inpod_e2e_" + strings.ReplaceAll(s.ns, "-", "_")
	var rules bytes.Buffer
	for _, family := range []string{"bridge", "inet"} { // pods of one node are bridged, or forwarded
		fmt.Fprintf(&rules, "table %s %s {\n chain forward {\n  type filter hook forward priority 0;\n", family, table)
		for _, pod := range pods {
			fmt.Fprintf(&rules, "  ip daddr %s tcp dport %d drop\n", pod.Status.PodIP, sidecarapi.DefaultPort)
		}
		rules.WriteString(" }\n}\n")
	}
	nft := func(ctx context.Context, script string) error {
		command := exec.CommandContext(ctx, "nsenter", "--net="+netns, "--", "nft", "-f", "-")
		command.Stdin = strings.NewReader(script)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	}
	s.must(nft(s.ctx, rules.String()))
	isOpen := false
	open = func() {
		if isOpen {
			return
		}
		isOpen = true
		if err := nft(context.WithoutCancel(s.ctx), fmt.Sprintf("delete table bridge %s\ndelete table inet %s\n", table, table)); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Cleanup(open)
	return open
}

// netnsOf is the network namespace of the cluster that this checkout starts (e2e/cluster/internal/paths).
func netnsOf(t *testing.T) string {
	t.Helper()
	root, err := framework.Checkout()
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(root))
	netns := "/run/netns/inpod-" + hex.EncodeToString(sum[:3])
	if _, err := os.Stat(netns); err != nil || os.Geteuid() != 0 || !suite.cluster.Env.Local() {
		t.Skipf("the network can be cut only where the cluster is the one of this checkout, and by root: %s: %v", netns, err)
	}
	return netns
}

func closedTo(through string) framework.Values {
	return framework.Values{"config": framework.Values{
		"settle": "500ms", "logLevel": "debug", "reloadDeadline": "20s", "confirmThrough": through,
	}}
}

// The sidecars reload without the controller, which knows nothing then: it says what to open, rolls nothing, and confirms what it
// has asked once the port is open.
func TestAClosedPortRollsNothing(t *testing.T) {
	t.Parallel()
	s := installBothWith(t, closedTo("direct"))
	s.apply(configMap("site", "default.conf", site("first")))
	pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 2))["web"]
	web := framework.Deployment(s.ns, "web")
	before := s.state(web)
	open := s.block(pods)

	for i, text := range []string{"second", "third"} {
		s.apply(configMap("site", "default.conf", site(text)))
		s.everyPodServes(pods, text)
		s.awaitEvent("web", "SidecarUnreachable", "10.", ":"+sidecarPort, "NetworkPolicy", "mesh", "--confirm-through=portforward", "--unreachable=rollout")
		s.eventually("one event for each edit", func() (string, bool) {
			n := s.timesReported(web, "SidecarUnreachable")
			return fmt.Sprintf("%d events after %d edits", n, i+1), n == i+1
		})
	}
	if s.observed(web) != before.Annotations["inpod.dev/baseline"] {
		t.Error("what nobody has confirmed is recorded as what the pods have")
	}
	s.sameTemplate(before, web)

	open()
	s.awaitEvent("web", "ReloadedInPlace", "default.conf")
	s.awaitRecorded(web, before.Annotations["inpod.dev/baseline"])
	s.sameTemplate(before, web)
	s.allUndisturbed(pods)
}

// Through the API server and the kubelet it is confirmed where the network is closed, also where only that works of two ways.
func TestAClosedPortIsAskedThroughTheAPIServer(t *testing.T) {
	t.Parallel()
	for _, through := range []string{"portforward", "auto"} {
		t.Run(through, func(t *testing.T) {
			t.Parallel()
			s := installBothWith(t, closedTo(through))
			s.apply(configMap("site", "default.conf", site("first")))
			pods := s.start(ofPod(nginxPod("web", "preset", "nginx"), 2))["web"]
			web := framework.Deployment(s.ns, "web")
			before := s.state(web)
			s.block(pods)
			s.apply(configMap("site", "default.conf", site("second")))
			s.everyPodServes(pods, "second")
			s.awaitEvent("web", "ReloadedInPlace", "default.conf")
			s.awaitRecorded(web, before.Annotations["inpod.dev/baseline"])
			if n := s.timesReported(web, "SidecarUnreachable"); n > 0 {
				t.Errorf("%d events that nobody can be asked", n)
			}
			s.sameTemplate(before, web)
			s.allUndisturbed(pods)
		})
	}
}

// Another program may have the port of the sidecar, or the sidecar be of a version that this controller does not know: what it
// answers says nothing of the pod, and rolls nothing.
func TestWhatIsNotUnderstoodRollsNothing(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"settle": "500ms", "logLevel": "debug", "reloadDeadline": "20s"}, nil)
	s.apply(configMap("config", "key", "first"))
	d, ok := deployment("web", volume(ofConfigMap("config"))).annotated(s.keys.auto, "true").object().(*appsv1.Deployment)
	if !ok {
		t.Fatal("not a Deployment")
	}
	d.Annotations[suite.quick.keys.auto], d.Annotations[suite.patient.keys.auto] = "false", "false"
	pod := &d.Spec.Template
	pod.Labels = with(pod.Labels, "inpod.dev/injected", "true")
	other := container("inpod", "serve", ":9797")
	other.Ports = []corev1.ContainerPort{{Name: "inpod", ContainerPort: 9797}}
	other.VolumeMounts = pod.Spec.Containers[0].VolumeMounts
	pod.Spec.Containers = append(pod.Spec.Containers, other)
	pods := s.start(d)["web"]
	web := framework.Deployment(s.ns, "web")
	before := s.state(web)
	s.apply(configMap("config", "key", "second"))
	s.awaitEvent("web", "SidecarNotUnderstood", pods[0].Name, "answers 404", "inpod.dev/status-port", "upgrade the controller", "--unreachable=rollout")
	s.sameTemplate(before, web)
	if s.observed(web) != before.Annotations[annotation.Baseline] {
		t.Error("what nobody has confirmed is recorded as what the pods have")
	}
	s.apply(configMap("config", "key", "first")) // nothing is wanted any more, and nothing was done
	s.marker()
	s.sameTemplate(before, web)
	s.allUndisturbed(pods)
}
