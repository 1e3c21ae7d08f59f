package node

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"inpod.dev/inpod/e2e/cluster/internal/pki"
)

//go:embed files
var files embed.FS

// WriteFiles makes the folders, certificates and configuration files of the cluster. What is there and still right
// stays: certificates are never made again, because every token and kubeconfig in use depends on them.
func (n Node) WriteFiles() error {
	for _, dir := range []string{"conf/cni", "pki", "logs/pods", "etcd", "kubelet", "containerd", "run", "runc", "cni", "pids"} {
		if err := os.MkdirAll(n.Path(dir), 0o755); err != nil {
			return err
		}
	}
	// etcd refuses a folder that others may read.
	if err := os.Chmod(n.Path("etcd"), 0o700); err != nil {
		return err
	}
	if err := n.writeCertificates(); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	rendered := map[string]string{
		"containerd.toml":   "conf/containerd.toml",
		"cni.conflist":      "conf/cni/10-pods.conflist",
		"kubelet.yaml":      "conf/kubelet.yaml",
		"kube-proxy.yaml":   "conf/kube-proxy.yaml",
		"audit-policy.yaml": "conf/audit-policy.yaml",
		"resolv.conf":       "conf/resolv.conf",

		"admission.yaml":      "conf/admission.yaml",
		"webhook-client.yaml": "conf/webhook-client.yaml",
	}
	for name, target := range rendered {
		content, err := n.Render(name)
		if err != nil {
			return err
		}
		if err := writeFile(n.Path(target), content, 0o644); err != nil {
			return err
		}
	}
	for _, user := range []string{"controller-manager", "scheduler", "kubelet", "proxy"} {
		if err := n.WriteKubeconfig(n.kubeconfig(user), user, n.APIURL); err != nil {
			return err
		}
	}
	return nil
}

// Render fills in one of the embedded files.
func (n Node) Render(name string) ([]byte, error) { return render(name, n.view()) }

func render(name string, data any) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// WriteKubeconfig writes a kubeconfig for one of the users that writeCertificates knows.
func (n Node) WriteKubeconfig(path, user, server string) error {
	var encoded [3]string
	for i, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		content, err := os.ReadFile(n.pki(name))
		if err != nil {
			return err
		}
		encoded[i] = base64.StdEncoding.EncodeToString(content)
	}
	content, err := render("kubeconfig.yaml", map[string]string{
		"Cluster": n.Place.ID, "Server": server, "User": user,
		"CA": encoded[0], "Certificate": encoded[1], "Key": encoded[2],
	})
	if err != nil {
		return err
	}
	return writeFile(path, content, 0o600)
}

func (n Node) writeCertificates() error {
	dir := n.Path("pki")
	ca, err := pki.NewAuthority(dir, "ca")
	if err != nil {
		return err
	}
	frontProxy, err := pki.NewAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	for name, subject := range n.subjects() {
		if err := ca.Issue(dir, name, subject); err != nil {
			return err
		}
	}
	if err := frontProxy.Issue(dir, "front-proxy-client", pki.Subject{User: "front-proxy-client"}); err != nil {
		return err
	}
	clients, err := pki.NewAuthority(dir, webhookClients)
	if err != nil {
		return err
	}
	if err := clients.Issue(dir, "webhook-client", pki.Subject{User: "kube-apiserver"}); err != nil {
		return err
	}
	return pki.KeyPair(dir, "service-account")
}

// webhookClients is the authority of what the API server shows to webhooks: one for this purpose alone, since whoever has a
// kubeconfig with a certificate has one of the cluster's.
const webhookClients = "webhook-clients-ca"

// WebhookClients is its certificate.
func (n Node) WebhookClients() (string, error) {
	content, err := os.ReadFile(n.pki(webhookClients + ".crt"))
	return string(content), err
}

// subjects are the identities that Kubernetes' default roles are bound to.
func (n Node) subjects() map[string]pki.Subject {
	return map[string]pki.Subject{
		"admin":              {User: "admin", Groups: []string{"system:masters"}},
		"controller-manager": {User: "system:kube-controller-manager"},
		"scheduler":          {User: "system:kube-scheduler"},
		"proxy":              {User: "system:kube-proxy"},
		"kubelet":            {User: "system:node:" + n.Name(), Groups: []string{"system:nodes"}},
		"kubelet-server":     {User: "system:node:" + n.Name(), Groups: []string{"system:nodes"}, Hosts: []string{n.Name(), Address}},
		"apiserver-kubelet":  {User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}},
		"apiserver": {User: "kube-apiserver", Hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain,
			"localhost", "127.0.0.1", // through the forwarder
			apiServiceIP, Address,
		}},
	}
}

// writeFile replaces a file in one step, for readers that are running.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
