//go:build e2e

// Package framework is what the programs and tests under e2e/ do to a cluster: connect, apply, install the chart, wait,
// run commands in pods, and describe what was there when something went wrong. It knows Kubernetes and the chart, and no
// test.
//
// Every function takes a context and gives up when it ends; nothing sleeps, all waiting is done by watching. The error
// of a wait says what was waited for and what was seen last. A GET that reached nobody is repeated.
//
//	c, err := framework.Connect()
//	ns, err := c.CreateNamespace(ctx, "demo", nil)
//	err = c.Install(ctx, framework.Release{Name: "inpod", Namespace: "demo"}, values)   // helm, then wait for its pods
//	err = c.ApplyYAML(ctx, "demo", manifest)
//	err = c.AwaitRollout(ctx, framework.Deployment("demo", "nginx"))
//	out, err := c.Exec(ctx, "demo", pod, "nginx", "head", "-1", "/etc/nginx/nginx.conf")
package framework

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// FieldManager is the field manager of everything that the framework writes.
const FieldManager = "inpod-e2e"

// Cluster is a connection to a cluster and what the Makefile said about this run.
type Cluster struct {
	Env    Env
	Config *rest.Config
	Client kubernetes.Interface

	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

// Env is what `make demo` and `make test-e2e` pass on.
type Env struct {
	// Kubeconfig names the cluster; as with kubectl it may be a list of files. From KUBECONFIG.
	Kubeconfig string
	// Helm is the program, Chart the folder of the chart. From HELM and CHART.
	Helm, Chart string
	// Kubectl is the program. From KUBECTL; without it the one of the PATH.
	Kubectl string
	// ImagePrefix and ImageTag name inpod's own images. From IMAGE_PREFIX and IMAGE_TAG.
	ImagePrefix, ImageTag string
	// TestImagePrefix is where the workloads' images come from: PREFIX/app:1 and PREFIX/nginx:1.22. From
	// TEST_IMAGE_PREFIX; the local cluster has them as inpod.test.
	TestImagePrefix string
}

// AppImage is one static program that sleeps, prints files and variables, and serves; see e2e/cluster/README.md.
func (e Env) AppImage() string { return e.TestImagePrefix + "/app:1" }

// NginxImage is nginx in the shape of the official image.
func (e Env) NginxImage() string { return e.TestImagePrefix + "/nginx:1.22" }

// Local reports whether the cluster is the one that this checkout starts.
func (e Env) Local() bool {
	root, err := Checkout()
	return err == nil && filepath.Clean(e.Kubeconfig) == filepath.Join(root, ".cluster", "kubeconfig")
}

// Environment reads the settings of this run.
func Environment() (Env, error) {
	e := Env{
		Kubeconfig:      os.Getenv("KUBECONFIG"),
		Helm:            os.Getenv("HELM"),
		Chart:           os.Getenv("CHART"),
		Kubectl:         cmp.Or(os.Getenv("KUBECTL"), "kubectl"),
		ImagePrefix:     os.Getenv("IMAGE_PREFIX"),
		ImageTag:        os.Getenv("IMAGE_TAG"),
		TestImagePrefix: strings.TrimSuffix(os.Getenv("TEST_IMAGE_PREFIX"), "/"),
	}
	if e.TestImagePrefix == "" {
		e.TestImagePrefix = "inpod.test"
	}
	var missing []string
	for name, value := range map[string]string{
		"KUBECONFIG": e.Kubeconfig, "HELM": e.Helm, "CHART": e.Chart, "IMAGE_PREFIX": e.ImagePrefix, "IMAGE_TAG": e.ImageTag,
	} {
		if value == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return Env{}, fmt.Errorf("%s not set: start this through make (make test-e2e, make demo), which sets them",
			strings.Join(sorted(missing), ", "))
	}
	return e, nil
}

// Connect returns the cluster that the environment names.
func Connect() (*Cluster, error) {
	env, err := Environment()
	if err != nil {
		return nil, err
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", env.Kubeconfig, err)
	}
	config.QPS = -1 // the server's own fairness is the limit
	config.UserAgent = FieldManager
	config.Wrap(repeating)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", env.Kubeconfig, err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", env.Kubeconfig, err)
	}
	return &Cluster{
		Env: env, Config: config, Client: client, dynamic: dyn,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
	}, nil
}

// Checkout returns the root folder of the repository.
func Checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "charts", "inpod", "Chart.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not started inside a checkout of inpod")
		}
	}
}
