//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// limit bounds one test, in the time of an idle machine. Nothing waits for it to pass.
const limit = 6 * time.Minute

// cleanLimit bounds what is done after a test.
const cleanLimit = 3 * time.Minute

// space is the namespace of one test, the keys that the controller in charge of it follows, and what tests do there.
// What goes wrong ends the test.
type space struct {
	*framework.Cluster
	t   *testing.T
	ctx context.Context
	ns  string
	// charge is the controller in charge.
	charge
	// recorder counts rollouts.
	recorder *framework.Recorder
	markers  int
}

// newSpace makes a namespace that the quick controller of the suite is in charge of.
func newSpace(t *testing.T) *space {
	t.Helper()
	return openSpace(t, suite.quick)
}

// openSpace makes a namespace. What is seen when a test fails is written to dist/test/e2e/.
func openSpace(t *testing.T, in charge) *space {
	t.Helper()
	ctx, cancel := patience.Context(t.Context(), limit)
	t.Cleanup(cancel)
	s := &space{Cluster: suite.cluster, t: t, ctx: ctx, charge: in}
	ns, err := s.CreateNamespace(ctx, suite.run+"-"+slug(t.Name())+"-", map[string]string{
		runLabel: suite.run,
		// Controllers, and what they write into pods, pass where the pods do.
		"pod-security.kubernetes.io/enforce": "restricted",
	})
	s.must(err)
	s.ns = ns
	t.Cleanup(s.close)
	s.recorder, err = s.Record(ctx, ns)
	s.must(err)
	return s
}

// ownSpace makes a namespace with a controller of its own, which lives in another namespace once the test installs it.
func ownSpace(t *testing.T) *space {
	t.Helper()
	return ownSpaceWith(t, keysUnder(slug(t.Name())+"."+suite.run+".inpod.dev"))
}

func ownSpaceWith(t *testing.T, k keys) *space {
	t.Helper()
	home := openSpace(t, charge{})
	return openSpace(t, charge{framework.Release{Name: "inpod", Namespace: home.ns}, k})
}

// install installs or upgrades the space's own controller, limited to the namespace of the space.
func (s *space) install(config, controller framework.Values) {
	s.t.Helper()
	s.must(s.Install(s.ctx, s.Release, s.values(config, controller)))
}

func (s *space) values(config, controller framework.Values) framework.Values {
	all := values(s.keys, config)
	all["namespaces"] = []string{s.ns}
	maps.Copy(all["controller"].(framework.Values), controller)
	return all
}

// close says what there is when the test has failed, and deletes the namespace.
func (s *space) close() {
	ctx, cancel := patience.Context(context.WithoutCancel(s.ctx), cleanLimit)
	defer cancel()
	if s.t.Failed() {
		s.report(ctx)
	}
	if err := s.DeleteNamespace(ctx, s.ns); err != nil {
		s.t.Error(err)
	}
}

func (s *space) report(ctx context.Context) {
	root, err := framework.Checkout()
	if err != nil {
		s.t.Error(err)
		return
	}
	file := filepath.Join(root, "dist", "test", "e2e", strings.ReplaceAll(s.t.Name(), "/", "_")+"."+s.ns+".txt")
	text := fmt.Sprintf("== namespace %s\n%s", s.ns, s.Describe(ctx, s.ns))
	if s.Namespace != "" {
		text += fmt.Sprintf("\n== controller in %s\n%s\n%s", s.Namespace, s.Describe(ctx, s.Namespace), s.controllerLog(ctx))
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		s.t.Error(err)
		return
	}
	s.t.Logf("what was seen then: %s", file)
}

// controllerLog is the whole log of the controller in charge, from all its pods.
func (s *space) controllerLog(ctx context.Context) string {
	pods, err := s.Pods(ctx, s.Controller())
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, pod := range pods {
		log, err := s.Logs(ctx, pod.Namespace, pod.Name, corev1.PodLogOptions{})
		if err != nil {
			log = err.Error()
		}
		text.WriteString(log)
	}
	return text.String()
}

// must ends the test on an error.
func (s *space) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *space) apply(objects ...runtime.Object) {
	s.t.Helper()
	s.must(s.Apply(s.ctx, s.ns, objects...))
}

func (s *space) state(w framework.Workload) framework.State {
	s.t.Helper()
	state, err := s.State(s.ctx, w)
	s.must(err)
	return state
}

// hasBaseline waits until the controller has recorded what the workloads use now: from then on a change is a change.
func (s *space) hasBaseline(workloads ...framework.Workload) {
	s.t.Helper()
	for _, w := range workloads {
		_, err := s.Await(s.ctx, w, "recorded in "+annotation.Baseline, func(state framework.State) bool {
			return state.Annotations[annotation.Baseline] != ""
		})
		s.must(err)
	}
}

func slug(name string) string {
	name = regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(name, "Test")), "-")
	return strings.Trim(name[:min(len(name), 30)], "-")
}
