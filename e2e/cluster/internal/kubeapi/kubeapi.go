// Package kubeapi asks the few questions that starting a cluster needs of its API server. kubectl answers them too, but a
// start that asks every tenth of a second should not start a program each time.
package kubeapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Client is an administrator of one API server.
type Client struct {
	server string
	http   *http.Client
}

// New returns a client that uses the certificates of a folder.
func New(server, pki string) (*Client, error) {
	authority, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	admin, err := tls.LoadX509KeyPair(filepath.Join(pki, "admin.crt"), filepath.Join(pki, "admin.key"))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}, MinVersion: tls.VersionTLS12},
		Proxy:           nil, // the server is on this machine, whatever the environment says
	}
	return &Client{server: server, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, nil
}

// Ready returns nil once the API server says that it is.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.get(ctx, "/readyz")
	return err
}

// NodeReady returns nil once the kubelet answers and has said that the node is ready. What it said before it died stays
// true for the API server for a while, therefore the question.
func (c *Client) NodeReady(ctx context.Context, name string) error {
	if _, err := c.get(ctx, "/api/v1/nodes/"+name+"/proxy/healthz"); err != nil {
		return err
	}
	body, err := c.get(ctx, "/api/v1/nodes/"+name)
	if err != nil {
		return err
	}
	return nodeReady(body)
}

func nodeReady(body []byte) error {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type != "Ready" {
			continue
		}
		if condition.Status == "True" {
			return nil
		}
		return fmt.Errorf("the node is not ready: %s", condition.Message)
	}
	return errors.New("the node has not reported yet")
}

// DNSReady returns nil once the cluster's DNS server, of its newest version, itself says that it is ready. What the API
// server knows of a pod outlives the pod when all processes are killed: only an answer from the pod counts. The kubelet
// has to know the pod as well; until it read its pods, exec and logs say that there is no such pod.
func (c *Client) DNSReady(ctx context.Context, node string) error {
	if err := c.deploymentReady(ctx, "kube-system", "coredns"); err != nil {
		return err
	}
	body, err := c.get(ctx, "/api/v1/nodes/"+node+"/proxy/pods")
	if err != nil {
		return err
	}
	pods, err := podNames(body, "kube-system", "coredns-")
	if err != nil {
		return err
	}
	if len(pods) == 0 {
		return errors.New("the kubelet has not read its pods yet")
	}
	var problems []error
	for _, pod := range pods {
		_, err := c.get(ctx, "/api/v1/namespaces/kube-system/pods/"+pod+":8181/proxy/ready")
		if err == nil {
			return nil
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// deploymentReady returns nil once a deployment has a ready pod of its newest version.
func (c *Client) deploymentReady(ctx context.Context, namespace, name string) error {
	body, err := c.get(ctx, "/apis/apps/v1/namespaces/"+namespace+"/deployments/"+name)
	if err != nil {
		return err
	}
	var deployment struct {
		Metadata struct{ Generation int64 }
		Status   struct {
			ObservedGeneration                             int64
			Replicas, UpdatedReplicas, UnavailableReplicas int
		}
	}
	if err := json.Unmarshal(body, &deployment); err != nil {
		return err
	}
	status := deployment.Status
	if status.ObservedGeneration < deployment.Metadata.Generation || status.UpdatedReplicas < 1 ||
		status.Replicas > status.UpdatedReplicas || status.UnavailableReplicas > 0 {
		return fmt.Errorf("%s has no ready pod yet", name)
	}
	return nil
}

// podNames returns the names of the pods in a list that lie in a namespace and begin with a prefix.
func podNames(body []byte, namespace, prefix string) ([]string, error) {
	var pods struct {
		Items []struct {
			Metadata struct{ Namespace, Name string }
		}
	}
	if err := json.Unmarshal(body, &pods); err != nil {
		return nil, err
	}
	var names []string
	for _, pod := range pods.Items {
		if pod.Metadata.Namespace == namespace && strings.HasPrefix(pod.Metadata.Name, prefix) {
			names = append(names, pod.Metadata.Name)
		}
	}
	return names, nil
}

// CountPods returns how many pods there are in each phase.
func (c *Client) CountPods(ctx context.Context) (map[string]int, error) {
	body, err := c.get(ctx, "/api/v1/pods")
	if err != nil {
		return nil, err
	}
	var pods struct {
		Items []struct{ Status struct{ Phase string } }
	}
	if err := json.Unmarshal(body, &pods); err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, pod := range pods.Items {
		count[pod.Status.Phase]++
	}
	return count, nil
}

func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %s", path, response.Status, reason(body))
	}
	return body, nil
}

// reason is what an answer says went wrong: the message of a Status object, or else the text.
func reason(body []byte) string {
	var status struct{ Message string }
	if json.Unmarshal(body, &status) == nil && status.Message != "" {
		return status.Message
	}
	text := strings.TrimSpace(string(body))
	return strings.ToValidUTF8(text[:min(len(text), 300)], "")
}
