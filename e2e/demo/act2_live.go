//go:build e2e

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// Reasons of inpod's events about reloads in place.
const (
	reloadedInPlace = "ReloadedInPlace"
	reloadRejected  = "ReloadRejected"
)

// reloadInPlace edits what running nginx can see, and watches the same pods serve it.
func reloadInPlace(ctx context.Context, s *stage) error {
	s.voice.Say("A volume that is mounted as a whole is another matter: Kubernetes refreshes it in the running pod, after a minute " +
		"or so, and nginx takes no notice until it is told. deploy-live mounts /etc/nginx/conf.d that way, and its pods ask " +
		"for a sidecar: inpod.dev/inject: enabled, inpod.dev/preset: nginx. A client asks the service over and over again.")
	if err := s.apply(ctx, "live.yaml", "deploy-live"); err != nil {
		return err
	}
	w := kit.Deployment(namespace, "deploy-live")
	if err := s.haveSidecar(ctx, w); err != nil {
		return err
	}
	if err := s.clientRuns(ctx); err != nil {
		return err
	}
	c, err := s.listen(ctx, "client")
	if err != nil {
		return err
	}
	defer c.close()
	if err := s.hears(ctx, c, "v1.0"); err != nil {
		return err
	}
	s.voice.Gap()
	if err := s.showIdentities(ctx, w); err != nil {
		return err
	}
	took, err := s.reloadLive(ctx, c)
	if err != nil {
		return err
	}
	if err := s.showIdentities(ctx, w); err != nil {
		return err
	}
	answers, err := c.verdict()
	if err != nil {
		return err
	}
	s.voice.Done("the same pods, the same UIDs, no restart; %d requests of the client, none failed", answers)
	s.rows = append(s.rows, row{changed: "ConfigMap cm-live: v1.0 -> v2.0", did: "reloaded deploy-live in place, 3 pods", done: took})

	s.voice.Say("The same edit again, where Kubernetes cannot refresh the file: deploy-nginx, with subPath. Its pods have to go.")
	if err := s.rollNginx(ctx, "# v3.0", "# v4.0", func(upgrade) error { return nil }); err != nil {
		return err
	}
	rolled := s.rows[len(s.rows)-1].done
	s.voice.Done("the same edit took %.1f s in place, and %.1f s where the pods had to be replaced", took.Seconds(), rolled.Seconds())
	return nil
}

// reloadLive makes the edit and returns how long it took until no pod served the old content.
func (s *stage) reloadLive(ctx context.Context, c *client) (time.Duration, error) {
	var begun time.Time
	got, err := s.untilEvent(ctx, "deploy-live", corev1.EventTypeNormal, reloadedInPlace, func(ctx context.Context) error {
		begun = time.Now()
		return s.change(ctx, edit{"cm-live", "default.conf", "v1.0", "v2.0"})
	})
	if err != nil {
		return 0, err
	}
	wait, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	first, last, err := c.switched(wait, "v1.0", "v2.0")
	if err != nil {
		return 0, &failure{"the client gets v2.0 and nothing else", err.Error(), []string{"kubectl -n " + namespace + " logs client"}}
	}
	took := max(last.Sub(begun), first.Sub(begun))
	if last.Before(first) {
		s.voice.At(took, "the client gets v2.0 from now on")
	} else {
		s.voice.At(first.Sub(begun), "the client gets the first answer with v2.0")
		s.voice.At(took, "the client gets the last answer with v1.0")
	}
	s.voice.At(got.after, "every sidecar has confirmed to inpod that nginx has the new content:")
	s.quote(got.event)
	return took, nil
}

// haveSidecar checks that every pod of a workload carries the sidecar.
func (s *stage) haveSidecar(ctx context.Context, w kit.Workload) error {
	pods, err := s.cluster.Pods(ctx, w)
	if err != nil {
		return err
	}
	for i := range pods {
		if pods[i].Labels[annotation.InjectedLabel] != "true" {
			return &failure{
				"the sidecar in pod " + pods[i].Name,
				cmp.Or(pods[i].Annotations[annotation.InjectionRecord], "no annotation "+annotation.InjectionRecord+": the webhook was not asked"),
				[]string{fmt.Sprintf("kubectl -n %s logs deployment/inpod-injector", release().Namespace)},
			}
		}
	}
	s.voice.Done("the injector has added the sidecar to each pod of %s (annotation %s says what and why)", w.Name, annotation.InjectionRecord)
	return nil
}

// clientRuns waits for the pod of the client.
func (s *stage) clientRuns(ctx context.Context) error {
	ctx, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	_, err := kit.AwaitObject(ctx, s.cluster.Client.CoreV1().RESTClient(), "pods", namespace, "client", func(object runtime.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && pod.Status.Phase == corev1.PodRunning
	})
	if err != nil {
		return &failure{"pod client runs", err.Error(), []string{"kubectl -n " + namespace + " describe pod client"}}
	}
	return nil
}

// hears waits until the client gets an answer.
func (s *stage) hears(ctx context.Context, c *client, answer string) error {
	wait, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	if err := c.until(wait, func() bool { return !c.first[answer].IsZero() }); err != nil {
		return &failure{"the client gets " + answer, err.Error(), []string{"kubectl -n " + namespace + " logs client"}}
	}
	s.voice.Done("the client gets %s", answer)
	return nil
}

// brokenEdit edits a configuration so that nginx does not accept it.
func brokenEdit(ctx context.Context, s *stage) error {
	s.voice.Say("Somebody makes a mistake: \"listen 80\" becomes \"listen eighty\". A rollout would now start pods that cannot run. A reload " +
		"asks nginx, and nginx keeps what it has.")
	c, err := s.listen(ctx, "client")
	if err != nil {
		return err
	}
	defer c.close()
	got, err := s.untilEvent(ctx, "deploy-live", corev1.EventTypeWarning, reloadRejected, func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-live", "default.conf", "listen 80;", "listen eighty;"})
	})
	if err != nil {
		return err
	}
	s.says(got)
	if !strings.Contains(got.event.Message, "eighty") {
		return &failure{"an event with the words of nginx, which name \"eighty\"", got.event.Message, []string{eventsOf("deploy-live")}}
	}
	if err := s.stillServes(ctx, c, "v2.0"); err != nil {
		return err
	}
	if err := s.untouched(ctx, "deploy-live"); err != nil {
		return err
	}
	s.rows = append(s.rows, row{changed: "ConfigMap cm-live: broken", did: "refused; the old content is served", done: got.after})
	s.voice.Say("The mistake is corrected:")
	return s.change(ctx, edit{"cm-live", "default.conf", "listen eighty;", "listen 80;"})
}

// stillServes checks that the client gets what it got before, and nothing else.
func (s *stage) stillServes(ctx context.Context, c *client, answer string) error {
	wait, cancel := patience.Context(ctx, rolloutPatience)
	defer cancel()
	now := time.Now()
	if err := c.until(wait, func() bool { return c.last[answer].After(now) }); err != nil {
		return &failure{"the client still gets " + answer, err.Error(), []string{"kubectl -n " + namespace + " logs client"}}
	}
	answers, err := c.verdict()
	if err != nil {
		return err
	}
	if len(c.first) > 1 {
		return &failure{"answers with " + answer + " only", fmt.Sprintf("%v", c.first), nil}
	}
	s.voice.Done("%s is still served: %d requests of the client meanwhile, none failed", answer, answers)
	return nil
}

// bothKinds edits one ConfigMap twice: a key that can be reloaded, and one that cannot.
func bothKinds(ctx context.Context, s *stage) error {
	s.voice.Say("deploy-both uses one ConfigMap in both ways: its key site.conf is mounted with the folder, its key GREETING is a variable of the " +
		"process, which nobody can change from outside. The key that is edited decides.")
	if err := s.apply(ctx, "both.yaml", "deploy-both"); err != nil {
		return err
	}
	w := kit.Deployment(namespace, "deploy-both")
	if err := s.haveSidecar(ctx, w); err != nil {
		return err
	}
	got, err := s.untilEvent(ctx, "deploy-both", corev1.EventTypeNormal, reloadedInPlace, func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-both", "site.conf", "# site 1", "# site 2"})
	})
	if err != nil {
		return err
	}
	s.says(got)
	s.rows = append(s.rows, row{changed: "key site.conf of cm-both, mounted", did: "reloaded deploy-both in place, 2 pods", done: got.after})
	s.voice.Gap()
	u, err := s.roll(ctx, "deploy-both", func(ctx context.Context) error {
		return s.change(ctx, edit{"cm-both", "GREETING", "greeting 1", "greeting 2"})
	})
	if err != nil {
		return err
	}
	if err := s.inEach(ctx, u.pods, "greeting 2", "printenv", "GREETING"); err != nil {
		return err
	}
	s.rolled("key GREETING of cm-both, a variable", u)
	return nil
}
