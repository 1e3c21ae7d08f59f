// Package kube decides whether a program can work with the cluster that it was pointed at: it finds the API
// server, waits for it where waiting makes sense, and asks for each permission that the program needs. What is
// missing becomes one message that says how to put it right.
package kube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// attemptTimeout bounds one question to the API server, so that a packet filter that drops everything does not look
// like a hanging program.
const attemptTimeout = 10 * time.Second

// Options say which cluster to use and how.
type Options struct {
	// Kubeconfig is a path; when it is "", KUBECONFIG, ~/.kube/config and the service account of the pod are tried.
	Kubeconfig string
	// Getenv looks up KUBECONFIG, HOME and KUBERNETES_SERVICE_HOST: os.Getenv.
	Getenv func(name string) string
	// UserAgent names the program and its version, such as inpod-controller/1.2.3. It is what audit logs show.
	UserAgent string
	// QPS bounds the requests per second on our side; 0 leaves that to the server's priority and fairness.
	QPS float64
	// Burst may exceed QPS for a moment; 0 means twice QPS. Without QPS it has no effect.
	Burst int
	Log   *slog.Logger
}

// Connection is a cluster that has answered.
type Connection struct {
	// Config makes further clients. Its content type is protobuf, which only built-in types have: a dynamic or metadata
	// client needs a copy with another one.
	Config *rest.Config
	Client kubernetes.Interface
	// Origin says where the credentials came from, for messages.
	Origin string
	// InCluster means that the credentials are those of the pod's service account.
	InCluster bool
	// ServerVersion is such as v1.37.2, or "" when the server does not say it.
	ServerVersion string

	log *slog.Logger
}

// Connect finds the API server and waits until it answers. In a cluster it tries for as long as ctx lasts, with a
// growing delay, and logs each attempt in one line; elsewhere the first failure is returned. The error is one line
// that names the server and the cause.
func Connect(ctx context.Context, options Options) (*Connection, error) {
	connection, err := configure(options)
	if err != nil {
		return nil, err
	}
	if err := connection.retry(ctx, connection.ping); err != nil {
		return nil, err
	}
	options.Log.Info("connected to the API server", "server", connection.Config.Host,
		"version", connection.ServerVersion, "credentials", connection.Origin)
	return connection, nil
}

// configure prepares the clients and sends nothing.
func configure(options Options) (*Connection, error) {
	config, origin, inCluster, err := credentials(options)
	if err != nil {
		return nil, err
	}
	config.UserAgent = options.UserAgent
	config.QPS, config.Burst = limits(options.QPS, options.Burst)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("the credentials from %s cannot be used: %w", origin, err)
	}
	return &Connection{Config: config, Client: client, Origin: origin, InCluster: inCluster, log: options.Log}, nil
}

// limits turns our meaning of "no limit" into client-go's, where 0 means a limit of 5 per second.
func limits(qps float64, burst int) (float32, int) {
	if qps <= 0 {
		return -1, 0
	}
	if burst == 0 {
		burst = int(math.Ceil(2 * qps))
	}
	return float32(qps), burst
}

// credentials looks in the places where a kubeconfig can be, in Reloader's order, and then for a service account.
func credentials(options Options) (config *rest.Config, origin string, inCluster bool, err error) {
	fromPod := options.Getenv("KUBERNETES_SERVICE_HOST") != ""
	switch home := options.Getenv("HOME"); {
	case options.Kubeconfig != "":
		config, origin, err = fromFiles("--kubeconfig", options.Kubeconfig)
	case options.Getenv("KUBECONFIG") != "":
		config, origin, err = fromFiles("KUBECONFIG", filepath.SplitList(options.Getenv("KUBECONFIG"))...)
	case home != "" && exists(filepath.Join(home, ".kube", "config")):
		config, origin, err = fromFiles("the home directory", filepath.Join(home, ".kube", "config"))
	case fromPod:
		config, err = rest.InClusterConfig()
		if err != nil {
			err = fmt.Errorf("this pod has no usable service account token: %w; set automountServiceAccountToken: true on it or give --kubeconfig FILE", err)
		}
		return config, "the service account of the pod", true, err
	default:
		return nil, "", false, errors.New("no cluster to work with: there is no kubeconfig and this is not a pod; " +
			"give --kubeconfig FILE, set KUBECONFIG, or create ~/.kube/config")
	}
	return config, origin, false, err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fromFiles reads kubeconfig files, merged as kubectl does it.
func fromFiles(named string, paths ...string) (*rest.Config, string, error) {
	origin := "kubeconfig " + strings.Join(paths, string(filepath.ListSeparator))
	found := 0
	for _, path := range paths {
		if exists(path) {
			found++
		}
	}
	if found == 0 {
		return nil, origin, fmt.Errorf("%s (from %s): no such file; check the path", origin, named)
	}
	// Loaded here and not by clientcmd's deferred loader, which turns an empty file into the service account of the pod.
	rules := clientcmd.ClientConfigLoadingRules{Precedence: paths}
	loaded, err := rules.Load()
	if err != nil {
		return nil, origin, fmt.Errorf("%s (from %s) cannot be read: %w", origin, named, err)
	}
	config, err := clientcmd.NewDefaultClientConfig(*loaded, nil).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, origin, fmt.Errorf("%s (from %s) names no cluster; is it the right file, and is current-context set?", origin, named)
	}
	if err != nil {
		return nil, origin, fmt.Errorf("%s (from %s) cannot be used: %w", origin, named, err)
	}
	return config, origin, nil
}

// ping asks for the version, which every authenticated user may see.
func (c *Connection) ping(ctx context.Context) error {
	result := c.Client.Discovery().RESTClient().Get().AbsPath("/version").SetHeader("Accept", "application/json").Do(ctx)
	err := result.Error() // unlike that of Raw, it has the message of the server
	if apierrors.IsForbidden(err) {
		return nil // it answers and knows us; what we may do is asked for later
	}
	body, rawErr := result.Raw()
	if err := cmp.Or(err, rawErr); err != nil {
		return c.explain(err)
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(body, &version); err != nil || version.GitVersion == "" {
		return fmt.Errorf("%s does not look like a Kubernetes API server: its /version is not understood; check the address in %s", c.Config.Host, c.Origin)
	}
	c.ServerVersion = version.GitVersion
	return nil
}
