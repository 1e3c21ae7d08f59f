package image

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nginxSuite is fixed, whatever the machine runs: it decides the version of nginx, 1.22, which the image's tag promises.
const nginxSuite = "bookworm"

// nginxPackages: the server, and what somebody types who looks into a container or a test runs in one.
var nginxPackages = []string{ //nolint:gochecknoglobals // a constant
	"nginx-light", "libc-bin", "base-files", "dash", "coreutils", "grep", "sed", "findutils", "procps", "curl",
}

//go:embed nginx
var nginxFiles embed.FS

const nginxUser = 101 // as in the official image

// NginxConfig is the configuration of the official image without its entrypoint script, which only edits templates.
func NginxConfig() Config {
	return Config{
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"NGINX_VERSION=1.22.1",
		},
		Cmd:          []string{"nginx", "-g", "daemon off;"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
		StopSignal:   "SIGQUIT", // finish the open requests
	}
}

// NginxInputs is everything that the image depends on, for a cache key.
func NginxInputs() (string, error) {
	var inputs strings.Builder
	inputs.WriteString(nginxSuite + "\n" + strings.Join(nginxPackages, " "))
	entries, err := nginxFiles.ReadDir("nginx")
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		content, err := nginxFiles.ReadFile("nginx/" + entry.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&inputs, "\n%s %d\n%s", entry.Name(), len(content), content)
	}
	return inputs.String(), nil
}

// NginxRoot fills a folder with a root file system around Debian's nginx.
func NginxRoot(ctx context.Context, root string) error {
	if err := debianRoot(ctx, root, nginxSuite, nginxPackages...); err != nil {
		return err
	}
	if err := removeAll(root, "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian",
		"usr/lib/systemd", "lib/systemd", "etc/nginx/sites-available", "etc/nginx/sites-enabled", "etc/init.d",
		"etc/resolv.conf", "etc/hostname", "var/lib/dpkg", "var/lib/apt", "var/cache/apt", "var/log/apt"); err != nil {
		return err
	}
	if err := makeNginxFiles(root); err != nil {
		return err
	}
	// The dynamic linker finds libraries without the cache, but slower.
	if output, err := exec.CommandContext(ctx, "chroot", root, "/sbin/ldconfig").CombinedOutput(); err != nil {
		return fmt.Errorf("ldconfig: %w\n%s", err, output)
	}
	return nil
}

// debianRoot unpacks Debian packages, and what they depend on, into a folder. It runs none of their scripts: those would
// want half a Debian for a user and a few folders.
func debianRoot(ctx context.Context, root, suite string, packages ...string) error {
	output, err := exec.CommandContext(ctx, "mmdebstrap", "--variant=extract", "--quiet",
		"--include="+strings.Join(packages, ","), suite, root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, output)
	}
	return nil
}

func makeNginxFiles(root string) error {
	targets := map[string]string{
		"nginx.conf":   "etc/nginx/nginx.conf",
		"default.conf": "etc/nginx/conf.d/default.conf",
		"index.html":   "usr/share/nginx/html/index.html",
		"passwd":       "etc/passwd",
		"group":        "etc/group",
	}
	for name, target := range targets {
		content, err := nginxFiles.ReadFile("nginx/" + name)
		if err != nil {
			return err
		}
		target = filepath.Join(root, target)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			return err
		}
	}
	// nginx makes the folders for temporary files in this one, as root, and gives them to the workers.
	for _, dir := range []string{"var/log/nginx", "var/lib/nginx", "var/cache/nginx", "run", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777|os.ModeSticky); err != nil {
		return err
	}
	for _, dir := range []string{"var/lib/nginx", "var/cache/nginx"} {
		if err := os.Chown(filepath.Join(root, dir), nginxUser, nginxUser); err != nil {
			return err
		}
	}
	links := map[string]string{
		"var/log/nginx/access.log": "/dev/stdout",
		"var/log/nginx/error.log":  "/dev/stderr",
		"bin/sh":                   "dash",
		"var/run":                  "/run",
	}
	for link, target := range links {
		link = filepath.Join(root, link)
		if err := os.RemoveAll(link); err != nil {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
	}
	return nil
}

func removeAll(root string, names ...string) error {
	var problems []error
	for _, name := range names {
		problems = append(problems, os.RemoveAll(filepath.Join(root, name)))
	}
	return errors.Join(problems...)
}
