//go:build e2e

package main

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/e2e/internal/kit"
)

// reloadByURL edits the configuration of a prometheus, which is told by HTTP.
func reloadByURL(ctx context.Context, s *stage) error {
	s.voice.Say("nginx is told by a signal. Others want a request: prometheus reloads on POST /-/reload and answers whether it could. " +
		"The preset knows; the pod only says inpod.dev/preset: prometheus.")
	if err := s.apply(ctx, "prometheus.yaml", "deploy-prometheus"); err != nil {
		return err
	}
	w := kit.Deployment(namespace, "deploy-prometheus")
	if err := s.haveSidecar(ctx, w); err != nil {
		return err
	}
	got, err := s.untilEvent(ctx, "deploy-prometheus", corev1.EventTypeNormal, reloadedInPlace, func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-prometheus", "prometheus.yml", "edition: first", "edition: second"})
	})
	if err != nil {
		return err
	}
	s.says(got)
	pods, err := s.cluster.Pods(ctx, w)
	if err != nil {
		return err
	}
	const path = "/api/v1/status/config"
	for i := range pods {
		body, err := s.cluster.Get(ctx, namespace, pods[i].Name, "9090", path)
		if err != nil {
			return err
		}
		if !strings.Contains(string(body), "edition: second") {
			return &failure{
				"prometheus works with edition: second", string(body),
				[]string{fmt.Sprintf("kubectl -n %s port-forward %s 9090, then http://localhost:9090%s", namespace, pods[i].Name, path)},
			}
		}
	}
	s.voice.Done("prometheus works with edition: second, in the same pod")
	s.rows = append(s.rows, row{changed: "ConfigMap cm-prometheus", did: "reloaded deploy-prometheus in place, by POST", done: got.after})
	return nil
}
