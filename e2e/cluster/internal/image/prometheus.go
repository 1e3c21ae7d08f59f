package image

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// prometheusSuite decides the version, 2.42, which the image's tag promises.
const prometheusSuite = "bookworm"

const prometheusUser = 65534 // as in the official image

// Prometheus is Debian's prometheus in the shape of the official image, without the pages that people look at.
func Prometheus(name string) Recipe {
	config := Config{
		User:         "65534:65534",
		Entrypoint:   []string{"/bin/prometheus"},
		ExposedPorts: map[string]struct{}{"9090/tcp": {}},
	}
	return Recipe{
		Name: name, Config: config, Inputs: prometheusSuite + "\n" + strings.Join(prometheusFiles(), "\n"),
		Fill: prometheusRoot,
	}
}

// prometheusFiles are what the program needs of a Debian system. The package brings ten times as much for its pages.
func prometheusFiles() []string {
	return []string{
		"/usr/bin/prometheus", "/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1",
		"/lib/*-linux-gnu/libc.so.6", "/lib/*-linux-gnu/libresolv.so.2",
	}
}

func prometheusRoot(ctx context.Context, root string) error {
	debian := root + "-debian"
	defer os.RemoveAll(debian)
	if err := debianRoot(ctx, debian, prometheusSuite, "prometheus"); err != nil {
		return err
	}
	for _, pattern := range prometheusFiles() {
		found, err := filepath.Glob(filepath.Join(debian, pattern)) // a loader of another architecture is not there
		if err != nil {
			return err
		}
		for _, file := range found {
			name, err := filepath.Rel(debian, file)
			if err != nil {
				return err
			}
			if err := copyProgram(file, filepath.Join(root, name)); err != nil {
				return err
			}
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(root, "bin")); err != nil {
		return err
	}
	for _, dir := range []string{"prometheus", "tmp"} {
		dir = filepath.Join(root, dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chown(dir, prometheusUser, prometheusUser); err != nil {
			return err
		}
	}
	return nil
}

// copyProgram copies what a name leads to, through links.
func copyProgram(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}
