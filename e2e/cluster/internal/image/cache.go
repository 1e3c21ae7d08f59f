package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/progress"
)

// Recipe is an image that can be made here.
type Recipe struct {
	// Name is the image's reference.
	Name   string
	Config Config
	// Inputs is everything that the content depends on.
	Inputs string
	// Fill makes the root file system in an empty folder.
	Fill func(ctx context.Context, root string) error
}

// FromProgram is an image that holds one static program and nothing else.
func FromProgram(name, program string, config Config) (Recipe, error) {
	key, err := build.FileKey(program)
	if err != nil {
		return Recipe{}, err
	}
	target := "/" + filepath.Base(program)
	config.Entrypoint = []string{target}
	return Recipe{Name: name, Config: config, Inputs: target + " " + key, Fill: func(_ context.Context, root string) error {
		content, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(root, target), content, 0o755)
	}}, nil
}

// Nginx is Debian's nginx in the shape of the official image.
func Nginx(name string) (Recipe, error) {
	inputs, err := NginxInputs()
	return Recipe{Name: name, Config: NginxConfig(), Inputs: inputs, Fill: NginxRoot}, err
}

// format is part of every key; a change of the code that writes archives counts it up.
const format = "1"

// Archive returns the archive of an image, and makes it if it is not in the cache.
func (r Recipe) Archive(ctx context.Context, cache string, printer *progress.Printer) (string, error) {
	config, err := json.Marshal(r.Config)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{format, r.Name, string(config), r.Inputs}, "\x00")))
	label := strings.NewReplacer("/", "_", ":", "_").Replace(r.Name)
	file := filepath.Join(cache, "images", label+"-"+hex.EncodeToString(sum[:6])+".tar")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	unlock, err := build.Lock(ctx, filepath.Join(cache, "locks", label), func() {
		printer.Step("image %s: waiting for another build of it to end", r.Name)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	printer.Step("image %s: building", r.Name)
	if err := r.write(ctx, file, label); err != nil {
		return "", fmt.Errorf("image %s: %w", r.Name, err)
	}
	return file, nil
}

func (r Recipe) write(ctx context.Context, file, label string) error {
	work, err := build.WorkDir(filepath.Dir(file), label)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := r.Fill(ctx, root); err != nil {
		return err
	}
	archive := filepath.Join(work, "image.tar")
	if err := Write(archive, r.Name, root, r.Config); err != nil {
		return err
	}
	return os.Rename(archive, file)
}
