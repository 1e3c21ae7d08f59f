//go:build e2e

package main

import (
	"cmp"
	"path/filepath"
	"strings"

	"inpod.dev/inpod/e2e/internal/framework"
)

// localImages is where the images of the local cluster pretend to come from.
const localImages = "inpod.test"

// server is an image that the manifests name as the local cluster has it.
type server struct {
	// name is that of the local cluster, without its place.
	name string
	// official is what a cluster of the user's own can pull.
	official string
	// variable names the environment variable with the user's choice.
	variable string
}

func servers() []server {
	return []server{
		{"nginx:1.22", "nginx:stable", "NGINX_IMAGE"},
		{"prometheus:2.42", "prom/prometheus:v2.53.0", "PROMETHEUS_IMAGE"},
	}
}

// image is the image that the pods run.
func (s server) image(env framework.Env, getenv func(string) string) string {
	if env.TestImagePrefix != localImages || onLocalCluster(env) {
		return cmp.Or(getenv(s.variable), env.TestImagePrefix+"/"+s.name)
	}
	return cmp.Or(getenv(s.variable), s.official)
}

// withImages puts the images of this cluster into a manifest.
func withImages(manifest string, env framework.Env, getenv func(string) string) string {
	for _, s := range servers() {
		manifest = strings.ReplaceAll(manifest, localImages+"/"+s.name, s.image(env, getenv))
	}
	return manifest
}

func onLocalCluster(env framework.Env) bool {
	return strings.HasSuffix(env.Kubeconfig, filepath.Join(".cluster", "kubeconfig"))
}
