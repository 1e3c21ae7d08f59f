//go:build e2e

// Command demo is the walkthrough behind `make demo`: it installs inpod on a cluster, edits ConfigMaps that real nginx
// pods use, shows what happens, and checks that what it says is what happened. It ends with exit code 1 if anything did
// not happen, and leaves the cluster as it is for the reader to go on.
//
//	main.go       the order of the chapters
//	rollouts.go   the chapters about rolling upgrades
//	reloads.go    the chapters about reloads in the pod
//	steps.go      what every chapter does: apply, edit, look
//	follow.go     watches one rolling upgrade, or one reload, and checks it
//	client.go     what a client of the pods sees meanwhile
//	images.go     the images of the servers, here and elsewhere
//	print.go      how it looks
//	manifests/    what is applied; a person can apply it too
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

const (
	// namespace is where everything but inpod itself runs.
	namespace = "inpod-demo"
	// limit bounds the whole story, which takes under two minutes on an idle machine.
	limit = 15 * time.Minute
	// rolloutPatience bounds the wait for one rollout, startPatience that for first pods, whose image may have to be pulled.
	rolloutPatience = 2 * time.Minute
	startPatience   = 4 * time.Minute
)

// release is the installation of inpod.
func release() framework.Release { return framework.Release{Name: "inpod", Namespace: "inpod-system"} }

// demo is what the chapters work with and leave behind.
type demo struct {
	*framework.Cluster

	// err ends a chapter: what follows it there does nothing and prints nothing.
	err  error
	rows []row
	// revisions are how many templates each Deployment has had if everything went as printed: each rollout adds one.
	revisions map[string]int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := patience.Context(ctx, limit)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cluster, err := framework.Connect()
	if err != nil {
		return err
	}
	if _, err := cluster.Client.Discovery().ServerVersion(); err != nil {
		return fmt.Errorf("the cluster does not answer; look at make cluster-status, or your own KUBECONFIG: %w", err)
	}
	d := &demo{Cluster: cluster, revisions: map[string]int{}}
	begun := time.Now()
	d.heading("inpod: edit a ConfigMap, and the pods that use it follow")
	d.say(`After an edit of a ConfigMap, running pods keep the old content, many of them for as long as they run. inpod
		watches ConfigMaps, Secrets and the workloads that use them, and makes running workloads use the current
		content. This walkthrough shows that on a real cluster with real nginx. Lines that begin with $ are
		commands that do the same; times count from the edit.`)
	for i, chapter := range []struct {
		title string
		run   func(context.Context)
	}{
		{"Install inpod", d.install},
		{"nginx, with its configuration in a ConfigMap", d.startNginx},
		{"Edit the ConfigMap, watch nginx roll", d.editNginx},
		{"search and match: only sources with the match annotation", d.searchAndMatch},
		{"A list of names, and two edits at once", d.namedList},
		{"Edits that no pod uses", d.nothingToDo},
		{"Another strategy: an upgrade that rolls nothing", d.otherStrategy},
		{"The same edit, and no pod is replaced", d.reloadInPlace},
		{"A broken edit", d.brokenEdit},
		{"Both kinds of use in one workload", d.bothKinds},
		{"Reloaded by HTTP: prometheus", d.reloadByURL},
		{"Nothing else was rolled", d.nothingElse},
	} {
		title := fmt.Sprintf("%d. %s", i+1, chapter.title)
		d.heading(title)
		chapter.run(ctx)
		if d.err == nil {
			continue
		}
		d.report(d.err)
		d.err = nil
		d.rows = append(d.rows, row{changed: title, did: "FAILED", failed: true})
		// A chapter fails alone, except for the first, without which there is nothing to show.
		if i == 0 || ctx.Err() != nil {
			break
		}
	}
	return d.summary(time.Since(begun))
}

// nothingElse checks that no workload has been rolled more often than the chapters printed.
func (d *demo) nothingElse(ctx context.Context) {
	d.untouched(ctx, slices.Sorted(maps.Keys(d.revisions))...)
}

// summary prints the table and what one would try next.
func (d *demo) summary(took time.Duration) error {
	d.heading("Summary")
	d.table()
	if slices.ContainsFunc(d.rows, func(r row) bool { return r.failed }) {
		return errors.New("not everything happened; the failed chapters above say what was missing")
	}
	d.ok("everything happened as printed, in %.0f s", took.Seconds())
	undo := fmt.Sprintf("helm uninstall %s -n %s and kubectl delete namespace %s undo what was done here.", release().Name, release().Namespace, namespace)
	if onLocalCluster(d.Env) {
		undo = "make cluster-shell opens a shell with kubectl set up for it, make cluster-down removes it."
	}
	d.say("The cluster and inpod keep running. inpod watches only the namespace %s.\n%s\nThree commands to try next:", namespace, undo)
	d.command("kubectl -n %s get pods --watch", namespace)
	d.command("kubectl -n %s edit configmap cm-live      # or cm-nginx", namespace)
	d.command("kubectl -n %s events --for deployment/deploy-live", namespace)
	return nil
}
