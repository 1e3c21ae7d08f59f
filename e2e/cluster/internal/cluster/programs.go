package cluster

import (
	"context"
	"path/filepath"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/image"
	"inpod.dev/inpod/e2e/cluster/internal/node"
)

// Images that every cluster has, besides those that it needs itself.
const (
	NginxImage      = "inpod.test/nginx:1.22"
	PrometheusImage = "inpod.test/prometheus:2.42"
	AppImage        = "inpod.test/app:1"
)

// programs are the files of built programs.
type programs struct {
	kube, dns, pause, app string
}

// kubectl is the name under which the program that holds everything is kubectl.
func (p programs) kubectl() string { return filepath.Join(filepath.Dir(p.kube), "kubectl") }

// Build builds the programs and images without starting anything.
func (c *Cluster) Build(ctx context.Context) error {
	built, err := c.buildPrograms(ctx)
	if err != nil {
		return err
	}
	recipes, err := built.recipes()
	if err != nil {
		return err
	}
	for _, recipe := range recipes {
		if _, err := recipe.Archive(ctx, c.place.Cache, c.print); err != nil {
			return err
		}
	}
	c.print.Step("programs and images are in %s", c.place.Cache)
	return nil
}

func (c *Cluster) buildPrograms(ctx context.Context) (programs, error) {
	var built programs
	builder := build.Builder{Cache: c.place.Cache, Print: c.print}
	wanted := []struct {
		file    *string
		program build.Program
	}{
		{&built.kube, build.Program{
			Name: "kube", VersionOf: "k8s.io/kubernetes", Links: []string{"kubectl"},
			// Clients would see v0.0.0 otherwise; the second one is in the user agent of every call.
			LinkVersion: []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"},
		}},
		{&built.dns, build.Program{Name: "dns", VersionOf: "github.com/coredns/coredns"}},
		{&built.pause, build.Program{Name: "pause"}},
		{&built.app, build.Program{Name: "app"}},
	}
	for _, want := range wanted {
		want.program.Dir = c.place.Source(want.program.Name)
		file, err := builder.Path(ctx, want.program)
		if err != nil {
			return programs{}, err
		}
		*want.file = file
	}
	return built, nil
}

// recipes are the images of the node, those that the first pods need first.
func (p programs) recipes() ([]image.Recipe, error) {
	pause, err := image.FromProgram(node.PauseImage, p.pause, image.Config{})
	if err != nil {
		return nil, err
	}
	dns, err := image.FromProgram(node.DNSImage, p.dns, image.Config{})
	if err != nil {
		return nil, err
	}
	app, err := image.FromProgram(AppImage, p.app, image.Config{Cmd: []string{"sleep"}, User: "65532:65532"})
	if err != nil {
		return nil, err
	}
	nginx, err := image.Nginx(NginxImage)
	if err != nil {
		return nil, err
	}
	return []image.Recipe{pause, dns, app, nginx, image.Prometheus(PrometheusImage)}, nil
}
