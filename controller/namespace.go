package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"inpod.dev/inpod/controller/internal/config"
)

// serviceAccountNamespace is the file in which every pod with a service account finds its namespace.
const serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// errNoNamespace says what to do where it is not known where the digest key is to be.
var errNoNamespace = errors.New("the namespace of this controller is not known, which has the Secret with the digest key: set POD_NAMESPACE; " +
	"in a pod with valueFrom.fieldRef (metadata.namespace), elsewhere to any namespace, and always to the same one")

// ownNamespace returns the namespace in which the controller has its objects: the one of its pod. A guess would be worse than none:
// with a digest key somewhere else no baseline can be read.
func ownNamespace(pod config.Pod, file string) (string, error) {
	if pod.Namespace != "" {
		return pod.Namespace, nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // a constant outside of tests
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w (%w)", errNoNamespace, err)
	}
	if namespace := strings.TrimSpace(string(text)); namespace != "" {
		return namespace, nil
	}
	if pod.ReloaderNamespace != "" {
		return pod.ReloaderNamespace, nil
	}
	return "", errNoNamespace
}
