//go:build e2e

package e2e_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
)

// Whoever comes from Reloader leaves everything as it is: what it has written stays, installing rolls nothing, and the
// first change takes the place of Reloader's config hash.
func TestSwitchingFromReloaderRollsNothing(t *testing.T) {
	t.Parallel()
	for strategy, leave := range map[string]func(*appsv1.Deployment){
		// As Reloader v1.4.21 leaves a Deployment: a SHA-1 in a variable of the first container that uses the source, or an
		// annotation on the template.
		"env-vars": func(d *appsv1.Deployment) {
			c := &d.Spec.Template.Spec.Containers[0]
			c.Env = append(c.Env, corev1.EnvVar{Name: "STAKATER_CONFIG_CONFIGMAP", Value: "0a4d55a8d778e5022fab701977c5d840bbc486d0"})
		},
		"annotations": func(d *appsv1.Deployment) {
			d.Spec.Template.Annotations = map[string]string{annotation.LastReloadedFrom: `{"type":"CONFIGMAP","name":"config","namespace":"shop",` +
				`"hash":"0a4d55a8d778e5022fab701977c5d840bbc486d0","containerRefs":["app"],"observedAt":1767225600}`}
		},
	} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			s := ownSpaceWith(t, reloaderKeys())
			s.apply(configMap("config", "key", "1"))
			left, ok := deployment("app", env("KEY", ofConfigMap("config"), "key")).idle().annotated(s.keys.auto, "true").object().(*appsv1.Deployment)
			if !ok {
				t.Fatal("no Deployment")
			}
			leave(left)
			s.apply(left)
			w := framework.Deployment(s.ns, "app")
			before, were := s.state(w), s.rollouts()
			s.install(framework.Values{"reloadStrategy": strategy}, nil)
			s.hasBaseline(w)
			s.onlyRolled(were)
			s.sameTemplate(before, w)

			were = s.rollouts()
			s.apply(configMap("config", "key", "2"))
			s.onlyRolled(were, w)
			now := s.state(w)
			count := 0
			for _, variable := range now.Template.Spec.Containers[0].Env {
				if variable.Name == "STAKATER_CONFIG_CONFIGMAP" {
					count++
				}
			}
			if strategy == "env-vars" && count != 1 {
				t.Errorf("the variable is there %d times", count)
			}
			if was, is := before.Template.Annotations[annotation.LastReloadedFrom], now.Template.Annotations[annotation.LastReloadedFrom]; strategy == "annotations" && was == is {
				t.Errorf("the annotation is still Reloader's: %s", is)
			}
		})
	}
}
