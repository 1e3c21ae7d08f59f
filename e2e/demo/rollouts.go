//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

// install puts inpod on the cluster.
func (d *demo) install(ctx context.Context) {
	d.alone(ctx)
	d.cleanUp(ctx)
	d.say(`inpod is a controller, which watches and decides, and an injector, which adds the sidecar. Helm installs both,
		here with rights in the namespace %s only; without the last setting they work in all namespaces.`, namespace)
	d.applyFile(ctx, "namespace.yaml")
	d.command("helm install %s charts/inpod --namespace %s --create-namespace \\", release().Name, release().Namespace)
	d.print("      --set image.prefix=%s,image.tag=%s --set 'namespaces={%s}'", d.Env.ImagePrefix, d.Env.ImageTag, namespace)
	begun := time.Now()
	if d.err == nil {
		if _, err := d.CreateNamespace(ctx, release().Namespace, nil); !apierrors.IsAlreadyExists(err) {
			d.try(err)
		}
	}
	d.helm(ctx, framework.Values{})
	d.ok("inpod is ready, %.1f s after the command", time.Since(begun).Seconds())
	d.addRow(row{changed: "inpod installed by Helm", did: "became ready", done: time.Since(begun)})
}

// helm installs or upgrades the release with settings of the controller.
func (d *demo) helm(ctx context.Context, config framework.Values) {
	if d.err != nil {
		return
	}
	// A machine on which pods come and go slowly takes up new content slowly too, and is no reason to roll.
	const usual = 2 * time.Minute
	if deadline := patience.Stretch(usual); deadline > usual {
		d.print("      (this machine is slow: pods get %s to confirm a reload, by controller.config.reloadDeadline)", deadline)
		config["reloadDeadline"] = deadline.String()
	}
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	d.try(d.Install(wait, release(), framework.Values{"namespaces": []string{namespace}, "controller": framework.Values{"config": config}}))
}

// cleanUp removes what an earlier walkthrough left, so that the story begins at the beginning.
func (d *demo) cleanUp(ctx context.Context) {
	if d.err != nil || !d.try(d.Uninstall(ctx, release())) {
		return
	}
	if _, err := d.Client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return
	}
	d.say("The namespace of an earlier walkthrough is still there, and is deleted first.")
	d.command("kubectl delete namespace %s", namespace)
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	d.try(d.RemoveNamespace(wait, namespace))
}

// startNginx runs nginx with a configuration from a ConfigMap.
func (d *demo) startNginx(ctx context.Context) {
	d.say(`ConfigMap cm-nginx holds an nginx.conf whose first line is a comment, "# v1.0". Deployment deploy-nginx runs
		three nginx pods with that file mounted over /etc/nginx/nginx.conf. Kubernetes never
		refreshes such a mount of a single file (subPath). One line of the manifest is for inpod, an annotation that
		Reloader's users know: reloader.stakater.com/auto: "true".`)
	d.apply(ctx, "nginx.yaml", "deploy-nginx")
	var names []string
	for _, pod := range d.pods(ctx, "deploy-nginx") {
		names = append(names, pod.Name)
	}
	d.firstLine(ctx, names, "# v1.0")
	d.ok("all of them run with v1.0")
	d.addRow(row{changed: "new Deployment deploy-nginx", did: "recorded what it uses, rolled nothing"})
}

func (d *demo) firstLine(ctx context.Context, pods []string, want string) {
	d.inEach(ctx, pods, want, "head", "-n", "1", "/etc/nginx/nginx.conf")
}

// editNginx edits the ConfigMap and watches.
func (d *demo) editNginx(ctx context.Context) {
	d.say(`Without inpod the pods would keep v1.0 until a user restarts them. inpod waits until 2 seconds after the last
		edit, so that several edits become one rollout. Then it edits the pod template once, and the Deployment rolls.`)
	d.hasVariable(d.rollNginx(ctx, "# v1.0", "# v2.0"), "STAKATER_CM_NGINX_CONFIGMAP")
}

// rollNginx edits the first line of nginx.conf, watches the rollout, and reads the line in every new pod.
func (d *demo) rollNginx(ctx context.Context, from, to string) seen {
	s := d.roll(ctx, "deploy-nginx", edit{"cm-nginx", "nginx.conf", from, to})
	if s.event != nil && !strings.Contains(s.event.Message, "cm-nginx") {
		d.fail("an event that names cm-nginx, saw %s", s.event.Message)
	}
	d.firstLine(ctx, s.pods, to)
	d.ok("every new pod reads %s", to)
	d.rolled("ConfigMap cm-nginx: "+from+" -> "+to, s)
	return s
}

// rolled adds a rollout to the summary.
func (d *demo) rolled(changed string, s seen) {
	d.addRow(row{changed: changed, did: fmt.Sprintf("rolled %s, %d pods", s.deployment, len(s.pods)), decided: s.decided, done: s.done})
}

// hasVariable checks that a container of the new template has a variable.
func (d *demo) hasVariable(s seen, name string) {
	if !slices.ContainsFunc(s.template.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	}) {
		d.fail("variable %s in the pod template, saw no such variable", name)
	}
}

// searchAndMatch rolls for a ConfigMap that carries the match annotation.
func (d *demo) searchAndMatch(ctx context.Context) {
	d.say(`deploy-search uses two ConfigMaps and carries reloader.stakater.com/search: "true". inpod rolls it for
		those that carry reloader.stakater.com/match: "true": cm-site does, cm-limits does not.`)
	d.apply(ctx, "search.yaml", "deploy-search")
	s := d.roll(ctx, "deploy-search", edit{"cm-site", "site.conf", "# site 1", "# site 2"})
	d.inEach(ctx, s.pods, "# site 2", "head", "-n", "1", "/etc/nginx/conf.d/default.conf")
	d.rolled("ConfigMap cm-site, with match", s)
}

// namedList rolls once for two ConfigMaps that a list names.
func (d *demo) namedList(ctx context.Context) {
	d.say(`deploy-named names the ConfigMaps that it follows: configmap.reloader.stakater.com/reload: cm-banner,cm-routes.
		It uses cm-banner in its environment, and does not reference cm-routes at all. An edit of both, one right
		after the other, is one rollout.`)
	d.apply(ctx, "named.yaml", "deploy-named")
	s := d.roll(ctx, "deploy-named", edit{"cm-banner", "BANNER", "banner 1", "banner 2"}, edit{"cm-routes", "routes", "routes 1", "routes 2"})
	d.hasVariable(s, "STAKATER_CM_BANNER_CONFIGMAP")
	d.hasVariable(s, "STAKATER_CM_ROUTES_CONFIGMAP")
	d.inEach(ctx, s.pods, "banner 2", "printenv", "BANNER")
	d.rolled("ConfigMaps cm-banner and cm-routes, named", s)
}

// nothingToDo edits what no workload wants to know about.
func (d *demo) nothingToDo(ctx context.Context) {
	d.say(`cm-limits has no match annotation, so deploy-search does not follow it. The pods of deploy-nginx mount one key
		of cm-nginx, nginx.conf, and no pod uses its other key. Edits of both must roll nothing. An edit of
		cm-banner follows them: when inpod has rolled for that one, it has decided on the others too.`)
	s := d.roll(ctx, "deploy-named",
		edit{"cm-limits", "limits.conf", "# limits 1", "# limits 2"},
		edit{"cm-nginx", "notes.txt", "before you change", "twice before you change"},
		edit{"cm-banner", "BANNER", "banner 2", "banner 3"})
	d.untouched(ctx, "deploy-search", "deploy-nginx")
	d.addRow(row{changed: "ConfigMap cm-limits, without match", did: "nothing"})
	d.addRow(row{changed: "key notes.txt of cm-nginx, which no pod uses", did: "nothing"})
	d.rolled("ConfigMap cm-banner, named", s)
}

// otherStrategy upgrades inpod to the annotations strategy, which rolls nothing, and edits once more.
func (d *demo) otherStrategy(ctx context.Context) {
	d.say(`So far inpod has written a variable into the pod template. A setting of the controller makes it write an
		annotation instead. Upgrading inpod or changing its settings rolls nothing, because no content has changed.`)
	d.command("helm upgrade %s charts/inpod --namespace %s --reuse-values \\", release().Name, release().Namespace)
	d.print("      --set controller.config.reloadStrategy=annotations")
	begun := time.Now()
	d.helm(ctx, framework.Values{"reloadStrategy": "annotations"})
	took := time.Since(begun)
	d.ok("the new controller is ready, %.1f s after the command", took.Seconds())
	d.addRow(row{changed: "inpod upgraded, other strategy", did: "rolled nothing", done: took})
	d.say("nginx.conf is edited once more:")
	s := d.rollNginx(ctx, "# v2.0", "# v3.0")
	var from struct{ Type, Name, Namespace string } // in Reloader's format
	text := s.template.Annotations[annotation.LastReloadedFrom]
	if err := json.Unmarshal([]byte(text), &from); err != nil || from.Name != "cm-nginx" {
		d.fail("annotation %s of the pod template that names cm-nginx, saw %q", annotation.LastReloadedFrom, text)
	}
	d.untouched(ctx, "deploy-search", "deploy-named")
	d.ok("deploy-nginx was rolled once, for v3.0, and nothing was rolled for the upgrade")
}
