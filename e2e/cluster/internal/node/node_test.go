package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/e2e/cluster/internal/paths"
)

func testNode(t *testing.T, checkout string) Node {
	t.Helper()
	return New(paths.Of(checkout, t.TempDir(), "/cache"), "/cache/kube", "overlayfs")
}

// Everything in a component's settings has to lie in the cluster's own folder: that is what keeps two clusters apart,
// and what a clean-up finds them by.
func TestEveryPathIsInTheStateFolder(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	allowed := []string{n.Place.State, n.Kube, cniBinDir, "/" + n.Place.ID, "/healthz", "/ready", "/health", "/etc/coredns"}
	path := regexp.MustCompile(`(?:^|[\s"=(:])(?:unix://)?(/[A-Za-z][\w./-]*)`)
	for _, component := range slices.Concat(n.Foundation(), n.Workers()) {
		for _, arg := range component.Args {
			checkPaths(t, component.Name, arg, path, allowed)
		}
		if component.Args[0] != n.Kube && !strings.Contains(strings.Join(component.Args, " "), n.Place.State) {
			t.Errorf("%s cannot be found by its command line", component.Name)
		}
	}
	for _, name := range []string{"containerd.toml", "cni.conflist", "kubelet.yaml", "kube-proxy.yaml", "audit-policy.yaml", "resolv.conf", "admission.yaml", "webhook-client.yaml"} {
		content, err := n.Render(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if !strings.HasPrefix(strings.TrimSpace(line), "#") {
				checkPaths(t, name, line, path, allowed)
			}
		}
	}
}

func checkPaths(t *testing.T, where, text string, path *regexp.Regexp, allowed []string) {
	t.Helper()
	for _, found := range path.FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(found[1], prefix) }) {
			t.Errorf("%s names %s", where, found[1])
		}
	}
}

func TestNetworkConfigurationIsJSON(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	content, err := n.Render("cni.conflist")
	if err != nil {
		t.Fatal(err)
	}
	var network struct{ Name string }
	if err := json.Unmarshal(content, &network); err != nil {
		t.Fatal(err)
	}
	if network.Name != n.Place.ID {
		t.Errorf("the network is called %q, want %q: its results are found by the name", network.Name, n.Place.ID)
	}
}

func TestFilesAreWrittenTwiceWithTheSameContent(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	read := func() string {
		if err := n.WriteFiles(); err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, name := range []string{"conf/kubelet.kubeconfig", "conf/kubelet.yaml", "pki/apiserver.crt", "conf/cni/10-pods.conflist"} {
			content, err := os.ReadFile(n.Path(name))
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
	if first := read(); first != read() {
		t.Error("a second start would change what runs")
	}
}

func TestKubeconfigHoldsEverythingItNeeds(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	if err := n.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	file := n.Path("out", "kubeconfig")
	if err := n.WriteKubeconfig(file, "admin", "https://127.0.0.1:1234"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "server: https://127.0.0.1:1234\n") {
		t.Errorf("no server in\n%s", content)
	}
	for _, field := range []string{"certificate-authority-data", "client-certificate-data", "client-key-data"} {
		found := regexp.MustCompile(field + `: (\S+)`).FindSubmatch(content)
		if found == nil {
			t.Errorf("no %s", field)
			continue
		}
		if pem, err := base64.StdEncoding.DecodeString(string(found[1])); err != nil || !strings.HasPrefix(string(pem), "-----BEGIN ") {
			t.Errorf("%s is %q, %v", field, pem, err)
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("a file with the administrator's key has mode %v", info.Mode())
	}
}

// What a webhook gets to trust is the authority of what the API server shows it.
func TestWebhooksKnowWhomToTrust(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	if err := n.WriteFiles(); err != nil {
		t.Fatal(err)
	}
	manifest, err := n.Render("webhook-clients.yaml")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`ca\.crt: (".*")`).FindSubmatch(manifest)
	if quoted == nil {
		t.Fatalf("no authority in\n%s", manifest)
	}
	var authority string
	if err := json.Unmarshal(quoted[1], &authority); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority)) {
		t.Fatalf("no certificate in %q", authority)
	}
	shown, err := tls.LoadX509KeyPair(n.pki("webhook-client.crt"), n.pki("webhook-client.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shown.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"admission.yaml", "webhook-client.yaml"} {
		if !slices.Contains(n.apiServer().Files, n.Path("conf", name)) {
			t.Errorf("another %s does not restart the API server", name)
		}
	}
}

func TestKubeletIsTheNodeItSaysItIs(t *testing.T) {
	t.Parallel()
	n := testNode(t, "/src/one")
	kubelet := n.subjects()["kubelet"]
	if kubelet.User != "system:node:"+n.Name() || !slices.Equal(kubelet.Groups, []string{"system:nodes"}) {
		t.Errorf("the Node authorizer would refuse %+v", kubelet)
	}
	if !slices.Contains(n.kubelet().Args, "--hostname-override="+n.Name()) {
		t.Error("the kubelet registers another node than its certificate is for")
	}
	if hosts := n.subjects()["kubelet-server"].Hosts; !slices.Contains(hosts, Address) {
		t.Errorf("the API server calls %s, the certificate is for %q", Address, hosts)
	}
	if hosts := n.subjects()["apiserver"].Hosts; !slices.Contains(hosts, "127.0.0.1") || !slices.Contains(hosts, apiServiceIP) {
		t.Errorf("the API server's certificate is for %q", hosts)
	}
}
