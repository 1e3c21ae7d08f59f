// Package apivalidation holds the injector to what the API server and Pod Security accept: pods with the sidecar pass
// Kubernetes' own validation wherever they do without it. It has tests only.
package apivalidation
