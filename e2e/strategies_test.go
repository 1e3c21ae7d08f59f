//go:build e2e

package e2e_test

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

var fortyHex = regexp.MustCompile(`^[0-9a-f]{40}$`)

// sidecarUse adds a second container that uses the source alone.
func sidecarUse(r ref) use {
	return func(pod *corev1.PodSpec) {
		second := container("second", "sleep")
		second.EnvFrom = []corev1.EnvFromSource{r.values()}
		pod.Containers = append(pod.Containers, second)
	}
}

func TestEnvVarsStrategyWritesReloadersVariables(t *testing.T) {
	t.Parallel()
	s := openSpace(t, suite.patient)
	edit := func(value string) {
		s.apply(configMap("app.config--v1", "key", value), secret("db", "key", value), configMap("second", "key", value))
	}
	edit("1")
	a := deployment("app", volume(ofConfigMap("app.config--v1")), env("DB", ofSecret("db"), "key"), sidecarUse(ofConfigMap("second"))).
		idle().annotated(s.keys.auto, "true")
	a.uses[0] = mounted(ofConfigMap("app.config--v1").volume(), "config", corev1.VolumeMount{MountPath: "/config"})
	s.apply(a.object())
	w := a.in(s.ns)
	s.hasBaseline(w)

	previous := map[string]string{}
	for _, value := range []string{"2", "3"} {
		before := s.rollouts()
		edit(value)
		s.rolled(before, w)
		state := s.state(w)
		got := stakaterVariables(state)
		wantContainer := map[string]string{"STAKATER_APP_CONFIG_V1_CONFIGMAP": "app", "STAKATER_DB_SECRET": "app", "STAKATER_SECOND_CONFIGMAP": "second"}
		if len(got) != len(wantContainer) {
			t.Errorf("after value %s: variables %v, want one each of %v", value, got, wantContainer)
		}
		for name, container := range wantContainer {
			hash := got[container+"/"+name]
			if !fortyHex.MatchString(hash) {
				t.Errorf("after value %s: %s of container %s is %q, want 40 hex digits", value, name, container, hash)
			}
			if hash == previous[name] {
				t.Errorf("after value %s: %s is still %s", value, name, hash)
			}
			if plain := sha1.Sum([]byte("key=" + value)); hash == hex.EncodeToString(plain[:]) {
				t.Errorf("%s is the plain SHA-1 of the content: a short secret can be guessed from it", name)
			}
			previous[name] = hash
		}
		if text, ok := state.Template.Annotations[annotation.LastReloadedFrom]; ok {
			t.Errorf("strategy env-vars wrote %s: %s", annotation.LastReloadedFrom, text)
		}
	}
}

// stakaterVariables are the variables of the strategy env-vars, by container/NAME.
func stakaterVariables(state framework.State) map[string]string {
	all := map[string]string{}
	for _, container := range state.Template.Spec.Containers {
		for _, variable := range container.Env {
			if strings.HasPrefix(variable.Name, "STAKATER_") {
				all[container.Name+"/"+variable.Name] = variable.Value
			}
		}
	}
	return all
}

func TestAnnotationsStrategyWritesReloadersAnnotation(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"reloadStrategy": "annotations"}, nil)
	s.apply(secret("db", "key", "1"))
	var workloads []framework.Workload
	for _, kind := range kinds() {
		a := newApp(kind, strings.ToLower(kind), []use{sidecarUse(ofSecret("db"))}).idle().annotated(s.keys.auto, "true")
		s.apply(a.object())
		workloads = append(workloads, a.in(s.ns))
	}
	s.hasBaseline(workloads...)

	hashes := map[framework.Workload]string{}
	for _, value := range []string{"2", "3"} {
		before, begun := s.rollouts(), time.Now()
		s.apply(secret("db", "key", value))
		s.onlyRolled(before, workloads...)
		for _, w := range workloads {
			state := s.state(w)
			var got struct {
				Type, Name, Namespace, Hash string
				ContainerRefs               []string
				ObservedAt                  int64
			}
			text := state.Template.Annotations[annotation.LastReloadedFrom]
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatalf("%s: %s is %q: %v", w, annotation.LastReloadedFrom, text, err)
			}
			if got.Type != "SECRET" || got.Name != "db" || got.Namespace != s.ns || !slices.Equal(got.ContainerRefs, []string{"second"}) {
				t.Errorf("%s: %s", w, text)
			}
			if !fortyHex.MatchString(got.Hash) || got.Hash == hashes[w] {
				t.Errorf("%s: hash %q, want 40 hex digits other than %q", w, got.Hash, hashes[w])
			}
			// The clocks of two machines may differ.
			if at := time.Unix(got.ObservedAt, 0); at.Before(begun.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
				t.Errorf("%s: observedAt is %s, the edit was made at %s", w, at, begun)
			}
			if variables := stakaterVariables(state); len(variables) > 0 {
				t.Errorf("%s: strategy annotations wrote %v", w, variables)
			}
			hashes[w] = got.Hash
		}
	}
}

func TestSourcesThatAppearOrDisappearRollWhenAskedTo(t *testing.T) {
	t.Parallel()
	s := ownSpace(t)
	s.install(framework.Values{"reloadOnCreate": true, "reloadOnDelete": true}, nil)
	a := deployment("app", envFrom(ofConfigMap("late").ifPresent()), envFrom(ofConfigMap("there"))).idle().annotated(s.keys.auto, "true")
	s.apply(configMap("there", "key", "1"), a.object())
	w := a.in(s.ns)
	s.hasBaseline(w)

	before := s.rollouts()
	s.apply(configMap("late", "key", "1"))
	s.onlyRolled(before, w)

	before = s.rollouts()
	s.must(s.Delete(s.ctx, s.ns, configMap("late")))
	s.onlyRolled(before, w)
}
