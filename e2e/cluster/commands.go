package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/e2e/cluster/internal/cluster"
	"inpod.dev/inpod/e2e/cluster/internal/host"
	"inpod.dev/inpod/e2e/cluster/internal/node"
	"inpod.dev/inpod/e2e/cluster/internal/paths"
	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

// command is a subcommand.
type command struct {
	name, args, help string
	// needsMachine is set for commands that work only as root on Linux.
	needsMachine bool
	run          func(ctx context.Context, w environment, args []string) error
}

// environment is what a subcommand works on.
type environment struct {
	place   paths.Place
	cluster *cluster.Cluster
}

// commands in the order in which people need them.
func commands() []command {
	return []command{
		{"up", "", "start the cluster, or repair it; builds and installs what is missing", true, up},
		{"down", "", "remove the cluster and everything it left on the machine", true, down},
		{"status", "", "show what runs; exit code 3 if not everything does", true, status},
		{"shell", "[COMMAND...]", "open a shell inside the cluster's network", true, shell},
		{"restart", "COMPONENT...", "stop components, start them, and wait until the cluster works", true, restart},
		{"stop", "COMPONENT...", "stop components and leave them so, until: up", true, stop},
		{"load", "IMAGE.tar...", "load image archives into the node", true, load},
		{"images", "", "list the images in the node", true, images},
		{"logs", "[COMPONENT]", "show the end of a component's log", true, logs},
		{"kubeconfig", "", "print the path of the kubeconfig", false, kubeconfig},
		{"env", "", "print shell commands that set KUBECONFIG and PATH", false, env},
		{"build", "", "only build the programs and images", true, buildOnly},
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == cluster.ForwardCommand {
		return cluster.ForwardConnections(ctx, args[1])
	}
	if len(args) == 0 || slices.Contains([]string{"--help", "-h", "help"}, args[0]) {
		fmt.Print(usage())
		return nil
	}
	index := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
	if index < 0 {
		return usageError{fmt.Sprintf("no command %q; there are: %s", args[0], strings.Join(names(), ", "))}
	}
	chosen := commands()[index]
	args = args[1:]
	if chosen.args == "" && len(args) > 0 {
		return usageError{fmt.Sprintf("%s takes no arguments, but there is %q", chosen.name, args[0])}
	}
	if chosen.needsMachine {
		if err := host.Supported(); err != nil {
			return err
		}
	}
	// Shells of root may lack the folders of administration programs.
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin"); err != nil {
		return err
	}
	w, err := newEnvironment()
	if err != nil {
		return err
	}
	return chosen.run(ctx, w, args)
}

func newEnvironment() (environment, error) {
	dir, err := os.Getwd()
	if err != nil {
		return environment{}, err
	}
	found, err := paths.Find(dir)
	if err != nil {
		return environment{}, err
	}
	c, err := cluster.New(found, progress.New(os.Stderr))
	return environment{place: found, cluster: c}, err
}

func names() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

func usage() string {
	var text strings.Builder
	text.WriteString("A complete single-node Kubernetes on this machine, one per checkout.\n\nusage: cluster COMMAND\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&text, "  %-20s  %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
	}
	return text.String()
}

func up(ctx context.Context, w environment, _ []string) error {
	if err := w.cluster.Up(ctx); err != nil {
		return err
	}
	fmt.Printf("\nThe cluster is ready:\n\n")
	return env(ctx, w, nil)
}

func down(ctx context.Context, w environment, _ []string) error { return w.cluster.Down(ctx) }

func status(ctx context.Context, w environment, _ []string) error {
	return w.cluster.Status(ctx, os.Stdout)
}

func shell(_ context.Context, w environment, args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	return w.cluster.Shell(args)
}

func restart(ctx context.Context, w environment, args []string) error {
	if err := components(args); err != nil {
		return err
	}
	return w.cluster.Restart(ctx, args...)
}

func stop(ctx context.Context, w environment, args []string) error {
	if err := components(args); err != nil {
		return err
	}
	return w.cluster.Stop(ctx, args...)
}

// components checks that arguments name components, and at least one.
func components(args []string) error {
	known := node.ComponentNames()
	if len(args) == 0 {
		return usageError{"name at least one component: " + strings.Join(known, ", ")}
	}
	for _, name := range args {
		if !slices.Contains(known, name) {
			return usageError{fmt.Sprintf("no component %q; there are: %s", name, strings.Join(known, ", "))}
		}
	}
	return nil
}

func load(ctx context.Context, w environment, args []string) error {
	if len(args) == 0 {
		return usageError{"load needs the files of image archives"}
	}
	// `go run -C` starts in the folder of this module, where nobody has archives.
	for i, archive := range args {
		if _, err := os.Stat(archive); err != nil && !filepath.IsAbs(archive) {
			args[i] = filepath.Join(w.place.Checkout, archive)
		}
	}
	return w.cluster.Load(ctx, args...)
}

func images(ctx context.Context, w environment, _ []string) error {
	names, err := w.cluster.Images(ctx)
	for _, name := range names {
		fmt.Println(name)
	}
	return err
}

func logs(_ context.Context, w environment, args []string) error {
	if len(args) > 1 {
		return usageError{"logs takes one component; without one it prints where the logs are"}
	}
	if len(args) == 1 {
		if err := components(args); err != nil {
			return err
		}
		return w.cluster.Logs(args[0], 200, os.Stdout)
	}
	for _, name := range node.ComponentNames() {
		fmt.Println(w.place.Log(name))
	}
	return nil
}

func kubeconfig(_ context.Context, w environment, _ []string) error {
	_, err := fmt.Println(w.place.Kubeconfig())
	return err
}

func env(_ context.Context, w environment, _ []string) error {
	_, err := fmt.Printf("export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", w.place.Kubeconfig(), w.place.BinDir())
	return err
}

func buildOnly(ctx context.Context, w environment, _ []string) error {
	if err := host.Install(ctx, progress.New(os.Stderr)); err != nil {
		return err
	}
	return w.cluster.Build(ctx)
}
