//go:build e2e

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"inpod.dev/inpod/e2e/internal/kit"
)

// startNginx runs nginx with a configuration from a ConfigMap.
func startNginx(ctx context.Context, s *stage) error {
	s.voice.Say("ConfigMap cm-nginx holds an nginx.conf whose first line is a comment, \"# v1.0\". Deployment deploy-nginx " +
		"runs three nginx pods with that file mounted over /etc/nginx/nginx.conf. Such a mount of a single file (subPath) " +
		"is never refreshed by Kubernetes. The one line that is there for inpod is an annotation that Reloader's users " +
		"know, reloader.stakater.com/auto: \"true\".")
	if err := s.apply(ctx, "nginx.yaml", "deploy-nginx"); err != nil {
		return err
	}
	pods, err := s.cluster.Pods(ctx, kit.Deployment(namespace, "deploy-nginx"))
	if err != nil {
		return err
	}
	names := make([]string, 0, len(pods))
	for i := range pods {
		names = append(names, pods[i].Name)
	}
	if err := s.firstLine(ctx, names, "# v1.0"); err != nil {
		return err
	}
	s.voice.Done("all of them run with v1.0")
	s.rows = append(s.rows, row{changed: "new Deployment deploy-nginx", did: "recorded what it uses, rolled nothing"})
	return nil
}

// editNginx edits the ConfigMap and watches.
func editNginx(ctx context.Context, s *stage) error {
	s.voice.Say("Without inpod the pods would keep v1.0 until somebody remembers to restart them. With inpod: 2 seconds " +
		"after the last edit (so that several edits become one rollout) it edits the pod template, once, and the Deployment " +
		"does what it always does then.")
	return s.rollNginx(ctx, "# v1.0", "# v2.0", func(u upgrade) error {
		const variable = "STAKATER_CM_NGINX_CONFIGMAP"
		if !u.hasVariable(variable) {
			return &failure{"variable " + variable + " in the pod template", "no such variable", nil}
		}
		return nil
	})
}

// rollNginx edits the first line of nginx.conf, watches the rollout, and reads the line in every new pod.
func (s *stage) rollNginx(ctx context.Context, from, to string, check func(upgrade) error) error {
	u, err := s.roll(ctx, "deploy-nginx", func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-nginx", "nginx.conf", from, to})
	})
	if err != nil {
		return err
	}
	if !strings.Contains(u.event.Message, "cm-nginx") {
		return &failure{"an event that names cm-nginx", u.event.Message, []string{eventsOf("deploy-nginx")}}
	}
	if err := check(u); err != nil {
		return err
	}
	s.voice.Gap()
	if err := s.firstLine(ctx, u.pods, to); err != nil {
		return err
	}
	s.voice.Done("every new pod reads %s", to)
	s.rolled("ConfigMap cm-nginx: "+from+" -> "+to, u)
	return nil
}

func (s *stage) firstLine(ctx context.Context, pods []string, want string) error {
	return s.inEach(ctx, pods, want, "head", "-n", "1", "/etc/nginx/nginx.conf")
}

// rolled adds a rollout to the summary.
func (s *stage) rolled(changed string, u upgrade) {
	s.rows = append(s.rows, row{
		changed: changed, did: fmt.Sprintf("rolled %s, %d pods", u.deployment, len(u.pods)),
		decided: u.decided.Round(time.Millisecond), done: u.done.Round(time.Millisecond),
	})
}
