//go:build e2e

package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// Reasons of inpod's events about reloads in place.
const (
	reloadedInPlace = "ReloadedInPlace"
	reloadRejected  = "ReloadRejected"
)

// reloadInPlace edits what running nginx can see, and watches the same pods serve it.
func (d *demo) reloadInPlace(ctx context.Context) {
	d.say(`Kubernetes refreshes a volume that is mounted as a whole in the running pod, after about a minute. nginx does
		not read it again until it gets a signal. deploy-live mounts /etc/nginx/conf.d that way, and its pods ask for
		the sidecar: inpod.dev/inject: enabled, inpod.dev/preset: nginx. A client sends requests to the service all
		the time.`)
	d.apply(ctx, "live.yaml", "deploy-live")
	d.haveSidecar(ctx, "deploy-live")
	c := d.listen(ctx)
	defer c.close()
	d.await(ctx, c, "the client gets v1.0", func() bool { return c.count("v1.0") > 0 })
	d.showIdentities(ctx)
	took := d.reloadLive(ctx, c)
	d.showIdentities(ctx)
	d.noneFailed(c)
	d.ok("the same pods, the same UIDs, no restart; %d requests of the client, none failed", len(c.all()))
	d.addRow(row{changed: "ConfigMap cm-live: v1.0 -> v2.0", did: "reloaded deploy-live in place, 3 pods", done: took})

	d.say("deploy-nginx gets the same edit. Kubernetes cannot refresh its file, which is mounted with subPath, so inpod replaces the pods.")
	s := d.rollNginx(ctx, "# v3.0", "# v4.0")
	d.ok("the same edit took %.1f s in place, and %.1f s where the pods had to be replaced", took.Seconds(), s.done.Seconds())
}

// reloadLive makes the edit and returns how long it took until no pod served the old content.
func (d *demo) reloadLive(ctx context.Context, c *client) time.Duration {
	s := d.reload(ctx, "deploy-live", reloadedInPlace, edit{"cm-live", "default.conf", "v1.0", "v2.0"})
	// With three pods behind the service, so many answers without one of an old pod have a chance of 0.2 %.
	const enough = 15
	d.await(ctx, c, "the client gets v2.0 and nothing else", func() bool {
		answers := c.all()
		latest := answers[max(0, len(answers)-enough):]
		return len(latest) == enough && !slices.ContainsFunc(latest, func(a answer) bool { return a.text != "v2.0" })
	})
	if d.err != nil {
		return 0
	}
	first, last := c.time("v2.0", false).Sub(s.begun), c.time("v1.0", true).Sub(s.begun)
	d.at(first, "the client gets the first answer with v2.0")
	d.at(last, "the client gets the last answer with v1.0")
	d.at(s.after, "every sidecar has confirmed to inpod that nginx has the new content:")
	d.quote(s.event)
	return max(first, last)
}

// showIdentities prints the pods of deploy-live.
func (d *demo) showIdentities(ctx context.Context) {
	all := d.identities(ctx, "deploy-live")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		d.print("      %s: %s", name, all[name])
	}
}

// brokenEdit edits a configuration so that nginx does not accept it.
func (d *demo) brokenEdit(ctx context.Context) {
	d.say(`The next edit is a mistake: "listen 80" becomes "listen eighty". A rollout would start pods that cannot run.
		inpod asks nginx to reload instead; nginx rejects the content and keeps the old.`)
	c := d.listen(ctx)
	defer c.close()
	s := d.reload(ctx, "deploy-live", reloadRejected, edit{"cm-live", "default.conf", "listen 80;", "listen eighty;"})
	d.says(s)
	if s.event != nil && !strings.Contains(s.event.Message, "eighty") {
		d.fail(`an event with the words of nginx, which name "eighty", saw %s`, s.event.Message)
	}
	before := c.count("v2.0")
	d.await(ctx, c, "the client still gets v2.0", func() bool { return c.count("v2.0") > before })
	d.noneFailed(c)
	if all := c.all(); c.count("v2.0") != len(all) {
		d.fail("answers with v2.0 only, saw %v", all)
	}
	d.ok("v2.0 is still served: %d requests of the client meanwhile, none failed", len(c.all()))
	d.untouched(ctx, "deploy-live")
	d.addRow(row{changed: "ConfigMap cm-live: broken", did: "refused; the old content is served", done: s.after})
	d.say("The mistake is corrected:")
	d.change(ctx, edit{"cm-live", "default.conf", "listen eighty;", "listen 80;"})
}

// says prints what inpod said.
func (d *demo) says(s seen) {
	d.at(s.after, "inpod says what came of it:")
	d.quote(s.event)
}

// bothKinds edits one ConfigMap twice: a key that can be reloaded, and one that cannot.
func (d *demo) bothKinds(ctx context.Context) {
	d.say(`deploy-both uses one ConfigMap in both ways: the key site.conf in a volume, and the key GREETING as a variable,
		which cannot change in a running process. The key that is edited decides what inpod does.`)
	d.apply(ctx, "both.yaml", "deploy-both")
	d.haveSidecar(ctx, "deploy-both")
	s := d.reload(ctx, "deploy-both", reloadedInPlace, edit{"cm-both", "site.conf", "# site 1", "# site 2"})
	d.says(s)
	d.addRow(row{changed: "key site.conf of cm-both, mounted", did: "reloaded deploy-both in place, 2 pods", done: s.after})
	d.print("")
	s = d.roll(ctx, "deploy-both", edit{"cm-both", "GREETING", "greeting 1", "greeting 2"})
	d.inEach(ctx, s.pods, "greeting 2", "printenv", "GREETING")
	d.rolled("key GREETING of cm-both, a variable", s)
}

// reloadByURL edits the configuration of a prometheus, which reloads by HTTP.
func (d *demo) reloadByURL(ctx context.Context) {
	d.say(`nginx reloads on a signal. prometheus reloads on POST /-/reload, and its answer says whether it has. The preset
		knows that; the pod only needs inpod.dev/preset: prometheus.`)
	d.apply(ctx, "prometheus.yaml", "deploy-prometheus")
	d.haveSidecar(ctx, "deploy-prometheus")
	s := d.reload(ctx, "deploy-prometheus", reloadedInPlace, edit{"cm-prometheus", "prometheus.yml", "edition: first", "edition: second"})
	d.says(s)
	for _, pod := range d.pods(ctx, "deploy-prometheus") {
		body, err := d.Get(ctx, namespace, pod.Name, "9090", "/api/v1/status/config")
		if d.try(err) && !strings.Contains(string(body), "edition: second") {
			d.fail("edition: second in /api/v1/status/config of pod %s, saw %s", pod.Name, body)
		}
	}
	d.ok("prometheus works with edition: second, in the same pod")
	d.addRow(row{changed: "ConfigMap cm-prometheus", did: "reloaded deploy-prometheus in place, by POST", done: s.after})
}

// clientRuns waits for the pod of the client.
func (d *demo) clientRuns(ctx context.Context) {
	ctx, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	_, err := framework.AwaitObject(ctx, d.Client.CoreV1().RESTClient(), "pods", namespace, "client", func(object runtime.Object) bool {
		pod, ok := object.(*corev1.Pod)
		return ok && pod.Status.Phase == corev1.PodRunning
	})
	d.try(err)
}
