//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/decide"
)

// usageCase is one way of using a source: a source with the name of the case, in the given round of edits.
type usageCase struct {
	name   string
	source func(name, value string) runtime.Object
	use    func(name string) use // nil for a source that is named in an annotation and not referenced
	// replaced sources cannot be edited: they are deleted and created again, which is reported and rolls nothing.
	replaced bool
}

func usageCases() []usageCase {
	config := func(name, value string) runtime.Object { return configMap(name, "used", value, "unused", "same") }
	hidden := func(name, value string) runtime.Object { return secret(name, "used", value, "unused", "same") }
	return []usageCase{
		{name: "configmap-volume", source: config, use: func(n string) use { return volume(ofConfigMap(n)) }},
		{name: "secret-volume", source: hidden, use: func(n string) use { return volume(ofSecret(n)) }},
		{name: "configmap-projected", source: config, use: func(n string) use { return projected(ofConfigMap(n), "used") }},
		{name: "secret-projected", source: hidden, use: func(n string) use { return projected(ofSecret(n), "used") }},
		{name: "configmap-subpath", source: config, use: func(n string) use { return subPath(ofConfigMap(n), "used") }},
		{name: "secret-subpathexpr", source: hidden, use: func(n string) use { return subPathExpr(ofSecret(n), "used") }},
		{name: "configmap-env", source: config, use: func(n string) use { return env("USED", ofConfigMap(n), "used") }},
		{name: "secret-env", source: hidden, use: func(n string) use { return env("USED", ofSecret(n), "used") }},
		{name: "configmap-envfrom", source: config, use: func(n string) use { return envFrom(ofConfigMap(n)) }},
		{name: "secret-envfrom", source: hidden, use: func(n string) use { return envFrom(ofSecret(n)) }},
		{name: "init-volume", source: config, use: func(n string) use { return initVolume(ofConfigMap(n)) }},
		{name: "init-env", source: hidden, use: func(n string) use { return initEnv("USED", ofSecret(n), "used") }},
		{name: "sidecar-volume", source: config, use: func(n string) use { return sidecarVolume(ofConfigMap(n)) }},
		{name: "optional-env", source: config, use: func(n string) use { return env("USED", ofConfigMap(n).ifPresent(), "used") }},
		{name: "optional-volume", source: hidden, use: func(n string) use { return volume(ofSecret(n).ifPresent()) }},
		{name: "binary", source: binary, use: func(n string) use { return volume(ofConfigMap(n)) }},
		{name: "immutable-configmap", source: immutable, use: func(n string) use { return envFrom(ofConfigMap(n)) }, replaced: true},
		{name: "immutable-secret", source: immutableSecret, use: func(n string) use { return subPath(ofSecret(n), "used") }, replaced: true},
		{name: "named", source: config},
	}
}

func binary(name, value string) runtime.Object {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, BinaryData: map[string][]byte{"used": {0xff, 0x00, value[0]}}}
}

func immutable(name, value string) runtime.Object {
	source := configMap(name, "used", value)
	source.Immutable = new(true)
	return source
}

func immutableSecret(name, value string) runtime.Object {
	source := secret(name, "used", value)
	source.Immutable = new(true)
	return source
}

func TestEveryUsageInEveryKindRollsOncePerChange(t *testing.T) {
	t.Parallel()
	s := newSpace(t)
	cases := usageCases()
	var workloads, held []framework.Workload
	for _, c := range cases {
		s.apply(c.source(c.name, "1"))
		for _, kind := range kinds() {
			a := newApp(kind, strings.ToLower(kind)+"-"+c.name, nil).idle().annotated(s.keys.auto, "true")
			if c.use == nil {
				a = a.annotated(s.keys.configmap, c.name)
			} else {
				a.uses = []use{c.use(c.name)}
			}
			s.apply(a.object())
			if c.replaced {
				held = append(held, a.in(s.ns))
			} else {
				workloads = append(workloads, a.in(s.ns))
			}
		}
	}
	s.hasBaseline(slices.Concat(workloads, held)...)
	settled := func() { // else Kubernetes may make one revision of two templates
		for _, w := range slices.Concat(workloads, held) {
			s.must(s.AwaitRollout(s.ctx, w))
		}
	}
	settled()

	const rounds = 2
	for round := range rounds {
		before := s.rollouts()
		for _, c := range cases {
			source := c.source(c.name, strconv.Itoa(round+2))
			if c.replaced {
				s.must(s.Delete(s.ctx, s.ns, source))
			}
			s.apply(source)
		}
		s.onlyRolled(before, workloads...)
		settled()
	}
	for _, w := range workloads {
		revisions, err := s.Rollouts(s.ctx, w)
		s.must(err)
		if revisions != 1+rounds {
			t.Errorf("%s has %d revisions, want %d", w, revisions, 1+rounds)
		}
		if events := s.events(w, reloaded); len(events) != rounds {
			t.Errorf("%s has %d events %s, want %d", w, len(events), reloaded, rounds)
		}
	}
	for _, w := range held {
		s.eventually(fmt.Sprintf("the event ImmutableRecreated of %s", w), func() (string, bool) {
			return "", len(s.events(w, string(decide.ImmutableRecreated))) > 0
		})
	}
}

// The sources of one pod are edited one after the other, as a deployment tool does it; the pods are replaced once, and
// the new ones have it all.
func TestNewPodsHaveTheNewContentOfAllSources(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.patient)
	type reading struct {
		use     use
		command []string
	}
	config, hidden := ofConfigMap("config"), ofSecret("hidden")
	readings := map[string]reading{
		"volume":      {volume(config), []string{"cat", "/config/used"}},
		"subPath":     {subPath(ofSecret("sub"), "used"), []string{"cat", "/sub/used"}},
		"subPathExpr": {subPathExpr(ofConfigMap("expr"), "used"), []string{"cat", "/expr/used"}},
		"projected":   {projected(ofSecret("projected"), "used"), []string{"cat", "/projected/used"}},
		"env":         {env("USED", hidden, "used"), []string{"env", "USED"}},
		"envFrom":     {envFrom(ofConfigMap("all")), []string{"env", "ALL_used"}},
	}
	sources := func(value string) {
		s.apply(configMap("config", "used", value), configMap("expr", "used", value), configMap("all", "used", value),
			secret("hidden", "used", value), secret("sub", "used", value), secret("projected", "used", value))
	}
	sources("old")
	var workloads []framework.Workload
	for _, kind := range kinds() {
		a := newApp(kind, strings.ToLower(kind), nil).scaled(2).annotated(s.keys.auto, "true")
		for _, r := range readings {
			a.uses = append(a.uses, r.use)
		}
		s.apply(a.object())
		workloads = append(workloads, a.in(s.ns))
	}
	for _, w := range workloads {
		s.must(s.AwaitRollout(s.ctx, w))
	}
	s.hasBaseline(workloads...)

	before := s.rollouts()
	sources("new")
	s.rolled(before, workloads...)
	for _, w := range workloads {
		s.must(s.AwaitRollout(s.ctx, w))
		pods, err := s.Pods(s.ctx, w)
		s.must(err)
		if len(pods) == 0 {
			t.Errorf("%s has no pods", w)
		}
		for _, pod := range pods {
			for name, r := range readings {
				if got := s.app(s.ctx, pod, r.command); got != "new" {
					t.Errorf("%s: pod %s has %q through %s, want \"new\"", w, pod.Name, got, name)
				}
			}
		}
	}
	s.onlyRolled(before, workloads...)
}

// app runs the program of the test image in a pod's first container. A runtime that has much to do now and then fails to
// start a program in a container that runs; asking again then helps.
func (s *space) app(ctx context.Context, pod corev1.Pod, command []string) string {
	s.t.Helper()
	var out string
	s.eventually(fmt.Sprintf("%s to run in pod %s", strings.Join(command, " "), pod.Name), func() (string, bool) {
		var err error
		out, err = s.Exec(ctx, pod.Namespace, pod.Name, "app", slices.Concat([]string{"/app"}, command)...)
		return fmt.Sprint(err), err == nil
	})
	return strings.TrimSpace(out)
}
