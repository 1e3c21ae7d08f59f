package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/image"
)

// ErrNotRunning is the answer to a question that only a running cluster can answer.
var ErrNotRunning = errors.New("the cluster of this checkout does not run; start it with: up")

// Load loads image archives (of docker or OCI format) into the node, except those that it has.
func (c *Cluster) Load(ctx context.Context, archives ...string) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.containerdRuns(ctx) {
		return ErrNotRunning
	}
	loader, err := c.newLoader(ctx)
	if err != nil {
		return err
	}
	for _, archive := range archives {
		key, err := build.FileKey(archive)
		if err != nil {
			return err
		}
		names, err := image.Names(archive)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return fmt.Errorf("%s: no image in it has a name", archive)
		}
		if loader.has(key, names...) {
			c.print.Step("the node has %s", strings.Join(names, " "))
			continue
		}
		if err := loader.load(ctx, archive, key, names...); err != nil {
			return err
		}
		c.print.Step("loaded %s", strings.Join(names, " "))
	}
	return nil
}

// Images returns the names of the images in the node.
func (c *Cluster) Images(ctx context.Context) ([]string, error) {
	if !c.containerdRuns(ctx) {
		return nil, ErrNotRunning
	}
	return c.images(ctx)
}

func (c *Cluster) images(ctx context.Context) ([]string, error) {
	output, err := c.ctr(ctx, "images", "ls", "-q")
	if err != nil {
		return nil, err
	}
	// Every image has a second entry, named after its digest.
	return slices.DeleteFunc(strings.Fields(output), func(name string) bool { return strings.HasPrefix(name, "sha256:") }), nil
}

func (c *Cluster) containerdRuns(ctx context.Context) bool {
	_, err := c.ctr(ctx, "--connect-timeout", "2s", "version")
	return err == nil
}

// loadRecipes brings images that can be made here into the node.
func (c *Cluster) loadRecipes(ctx context.Context, recipes []image.Recipe) error {
	loader, err := c.newLoader(ctx)
	if err != nil {
		return err
	}
	for _, recipe := range recipes {
		archive, err := recipe.Archive(ctx, c.place.Cache, c.print)
		if err != nil {
			return err
		}
		key := filepath.Base(archive) // it changes with the content
		if loader.has(key, recipe.Name) {
			continue
		}
		if err := loader.load(ctx, archive, key, recipe.Name); err != nil {
			return err
		}
	}
	return nil
}

// loader loads archives into the node and notes for each name from which content it came: containerd knows digests of
// manifests, and an archive has none.
type loader struct {
	cluster *Cluster
	present []string
	file    string
	noted   map[string]string
}

func (c *Cluster) newLoader(ctx context.Context) (*loader, error) {
	present, err := c.images(ctx)
	if err != nil {
		return nil, err
	}
	l := &loader{cluster: c, present: present, file: c.place.Path("images.json"), noted: map[string]string{}}
	if content, err := os.ReadFile(l.file); err == nil && json.Unmarshal(content, &l.noted) != nil {
		l.noted = map[string]string{} // a damaged note: load everything again
	}
	return l, nil
}

func (l *loader) has(key string, names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return l.noted[name] != key || !slices.Contains(l.present, name)
	})
}

func (l *loader) load(ctx context.Context, archive, key string, names ...string) error {
	if _, err := l.cluster.ctr(ctx, "images", "import", archive); err != nil {
		return fmt.Errorf("load %s: %w", strings.Join(names, " "), err)
	}
	for _, name := range names {
		l.noted[name] = key
	}
	content, err := json.Marshal(l.noted)
	if err != nil {
		return err
	}
	return os.WriteFile(l.file, content, 0o644)
}
