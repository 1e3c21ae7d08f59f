//go:build e2e

// Command demo is the walkthrough behind `make demo`: it installs inpod on a cluster, edits ConfigMaps that real nginx
// pods use, shows what happens, and checks that what it says is what happened. It ends with exit code 1 if anything did
// not happen, and leaves the cluster as it is for the reader to go on.
//
//	main.go       wires and ends the process
//	story.go      the order of the chapters, and what a chapter is
//	act1_*.go     the chapters about rolling upgrades
//	act2_*.go     the chapters about reloads in the pod
//	stage.go      what every chapter does: apply, edit, look
//	rollout.go    watches one rolling upgrade and checks it
//	inplace.go    watches one reload in the pods and checks it
//	client.go     what a client of the pods sees meanwhile
//	images.go     the images of the servers, here and elsewhere
//	failure.go    what was expected, what was seen, where to look
//	summary.go    the table at the end
//	manifests/    what is applied; a person can apply it too
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/demo/internal/voice"
	"inpod.dev/inpod/e2e/internal/kit"
	"inpod.dev/inpod/internal/patience"
)

// limit bounds the whole story, which takes under two minutes on an idle machine.
const limit = 15 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := patience.Context(ctx, limit)
	code := run(ctx, voice.New(os.Stdout, colorful(os.Stdout)))
	cancel()
	stop()
	os.Exit(code)
}

func run(ctx context.Context, v *voice.Voice) int {
	cluster, err := kit.Connect()
	if err != nil {
		v.Failed("%v", err)
		return 1
	}
	if _, err := cluster.Client.Discovery().ServerVersion(); err != nil {
		v.Failed("the cluster does not answer: %v", err)
		v.Detail("look at", "make cluster-status, or your own KUBECONFIG")
		return 1
	}
	return tell(ctx, newStage(v, cluster))
}

// colorful tells whether the output goes to a terminal whose owner has nothing against colors (no-color.org).
func colorful(out *os.File) bool {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
