//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"inpod.dev/inpod/internal/annotation"
)

// searchAndMatch rolls for a ConfigMap that carries the match annotation.
func searchAndMatch(ctx context.Context, s *stage) error {
	s.voice.Say("deploy-search uses two ConfigMaps and carries reloader.stakater.com/search: \"true\". It is rolled for those " +
		"of its ConfigMaps that carry reloader.stakater.com/match: \"true\": cm-site does, cm-limits does not.")
	if err := s.apply(ctx, "search.yaml", "deploy-search"); err != nil {
		return err
	}
	u, err := s.roll(ctx, "deploy-search", func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-site", "site.conf", "# site 1", "# site 2"})
	})
	if err != nil {
		return err
	}
	s.voice.Gap()
	if err := s.inEach(ctx, u.pods, "# site 2", "head", "-n", "1", "/etc/nginx/conf.d/default.conf"); err != nil {
		return err
	}
	s.rolled("ConfigMap cm-site, with match", u)
	return nil
}

// namedList rolls once for two ConfigMaps that a list names.
func namedList(ctx context.Context, s *stage) error {
	s.voice.Say("deploy-named lists what it wants to be rolled for: configmap.reloader.stakater.com/reload: cm-banner, " +
		"cm-routes. It takes cm-banner into its environment, and does not even reference cm-routes. Both are edited, one " +
		"right after the other: that is one rollout, not two.")
	if err := s.apply(ctx, "named.yaml", "deploy-named"); err != nil {
		return err
	}
	u, err := s.roll(ctx, "deploy-named", func(ctx context.Context) error {
		if err := s.change(ctx, edit{"cm-banner", "BANNER", "banner 1", "banner 2"}); err != nil {
			return err
		}
		return s.change(ctx, edit{"cm-routes", "routes", "routes 1", "routes 2"})
	})
	if err != nil {
		return err
	}
	for _, variable := range []string{"STAKATER_CM_BANNER_CONFIGMAP", "STAKATER_CM_ROUTES_CONFIGMAP"} {
		if !u.hasVariable(variable) {
			return &failure{"variable " + variable + " in the pod template", "no such variable", []string{eventsOf("deploy-named")}}
		}
	}
	s.voice.Gap()
	if err := s.inEach(ctx, u.pods, "banner 2", "printenv", "BANNER"); err != nil {
		return err
	}
	s.rolled("ConfigMaps cm-banner and cm-routes, named", u)
	return nil
}

// nothingToDo edits what no workload wants to know about.
func nothingToDo(ctx context.Context, s *stage) error {
	s.voice.Say("cm-limits has no match annotation, so deploy-search does not want to be rolled for it. Of cm-nginx the pods " +
		"mount one key, nginx.conf, so its other key concerns nobody. Both are edited, and nothing should happen. To " +
		"tell \"nothing\" from \"not yet\", cm-banner is edited after them: once that has been acted on, so have they.")
	u, err := s.roll(ctx, "deploy-named", func(ctx context.Context) error {
		for _, e := range []edit{
			{"cm-limits", "limits.conf", "# limits 1", "# limits 2"},
			{"cm-nginx", "notes.txt", "before you change", "twice before you change"},
			{"cm-banner", "BANNER", "banner 2", "banner 3"},
		} {
			if err := s.change(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.untouched(ctx, "deploy-search", "deploy-nginx"); err != nil {
		return err
	}
	s.rows = append(s.rows,
		row{changed: "ConfigMap cm-limits, without match", did: "nothing"},
		row{changed: "key notes.txt of cm-nginx, which nobody uses", did: "nothing"},
	)
	s.rolled("ConfigMap cm-banner, named", u)
	return nil
}

// otherStrategy upgrades inpod to the annotations strategy, which rolls nothing, and edits once more.
func otherStrategy(ctx context.Context, s *stage) error {
	s.voice.Say("So far inpod has marked a pod template with a variable. The other way is an annotation; it is a setting of " +
		"the controller. Upgrading inpod, or changing its settings, must not roll anything: what the pods use has not changed.")
	s.voice.Command("helm upgrade %s charts/inpod --namespace %s --reuse-values \\\n    --set controller.config.reloadStrategy=annotations",
		release().Name, release().Namespace)
	begun := time.Now()
	if err := s.helm(ctx, map[string]any{"reloadStrategy": "annotations"}); err != nil {
		return err
	}
	took := time.Since(begun)
	s.voice.Done("the new controller is ready, %.1f s after the command", took.Seconds())
	s.voice.Say("Now nginx.conf once more:")
	if err := s.rollNginx(ctx, "# v2.0", "# v3.0", checkLastReloadedFrom); err != nil {
		return err
	}
	if err := s.untouched(ctx, "deploy-search", "deploy-named"); err != nil {
		return err
	}
	s.voice.Done("deploy-nginx was rolled once, for v3.0, and nothing was rolled for the upgrade")
	s.rows = slices.Insert(s.rows, len(s.rows)-1, row{changed: "inpod upgraded, other strategy", did: "rolled nothing", done: took})
	return nil
}

// checkLastReloadedFrom reads the annotation in Reloader's format.
func checkLastReloadedFrom(u upgrade) error {
	text := u.template.Annotations[annotation.LastReloadedFrom]
	var from struct{ Type, Name, Namespace string }
	if err := json.Unmarshal([]byte(text), &from); err != nil || from.Name != "cm-nginx" {
		return &failure{
			"annotation " + annotation.LastReloadedFrom + " of the pod template names cm-nginx", fmt.Sprintf("%q", text),
			[]string{fmt.Sprintf("kubectl -n %s get deployment %s -o yaml", namespace, u.deployment)},
		}
	}
	return nil
}
