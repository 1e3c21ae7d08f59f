package node

import "slices"

// Component is a long-running process of the cluster.
type Component struct {
	Name string
	// Args is the command line, program first.
	Args []string
	// Files are what it reads only when it starts.
	Files []string
}

// Names of the components, in the order in which they are started. Each one copes with the absence of the others, but
// those further down would spend the first seconds retrying.
const (
	Etcd              = "etcd"
	Containerd        = "containerd"
	APIServer         = "kube-apiserver"
	Forwarder         = "forwarder"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
)

// Foundation is what the API server needs, the API server itself, and containerd.
func (n Node) Foundation() []Component {
	return []Component{n.etcd(), n.containerd(), n.apiServer()}
}

// Workers is everything that needs a working API server.
func (n Node) Workers() []Component {
	return []Component{n.kubelet(), n.controllerManager(), n.scheduler(), n.proxy()}
}

// ComponentNames lists every component that has a log.
func ComponentNames() []string {
	return []string{Etcd, Containerd, APIServer, Forwarder, Kubelet, ControllerManager, Scheduler, Proxy}
}

func (n Node) program(name string, flags ...string) Component {
	return Component{Name: name, Args: slices.Concat([]string{n.Kube, name}, flags)}
}

func (n Node) pki(name string) string        { return n.Path("pki", name) }
func (n Node) kubeconfig(user string) string { return n.Path("conf", user+".kubeconfig") }

// etcd has no peers and no certificates: it listens on the loopback device of a namespace that nothing else is in.
func (n Node) etcd() Component {
	return n.program(Etcd,
		"--name=default",
		"--data-dir="+n.Path("etcd"),
		"--listen-client-urls="+etcdAddress,
		"--advertise-client-urls="+etcdAddress,
		"--listen-peer-urls="+etcdPeers,
		"--initial-advertise-peer-urls="+etcdPeers,
		"--initial-cluster=default="+etcdPeers,
		"--unsafe-no-fsync", // a test cluster may lose its data in a power cut; a slow disk must not slow it
		"--log-level=warn",
	)
}

func (n Node) containerd() Component {
	config := n.Path("conf", "containerd.toml")
	return Component{Name: Containerd, Args: []string{"containerd", "--config", config}, Files: []string{config}}
}

func (n Node) apiServer() Component {
	server := n.program(APIServer,
		"--advertise-address="+Address,
		"--bind-address=0.0.0.0",
		"--secure-port="+APIPort,
		"--etcd-servers="+etcdAddress,
		"--service-cluster-ip-range="+ServiceRange,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		// Webhook and API service calls go straight to pod addresses, not through a service address.
		"--enable-aggregator-routing=true",

		"--client-ca-file="+n.pki("ca.crt"),
		"--tls-cert-file="+n.pki("apiserver.crt"),
		"--tls-private-key-file="+n.pki("apiserver.key"),
		"--cert-dir="+n.Path("apiserver"),

		// logs, exec and port-forward: the API server is a client of the kubelet, at the node's address because nobody
		// resolves its name.
		"--kubelet-client-certificate="+n.pki("apiserver-kubelet.crt"),
		"--kubelet-client-key="+n.pki("apiserver-kubelet.key"),
		"--kubelet-certificate-authority="+n.pki("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP",

		"--requestheader-client-ca-file="+n.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+n.pki("front-proxy-client.crt"),
		"--proxy-client-key-file="+n.pki("front-proxy-client.key"),

		"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
		"--service-account-key-file="+n.pki("service-account.pub"),
		"--service-account-signing-key-file="+n.pki("service-account.key"),

		"--admission-control-config-file="+n.Path("conf", "admission.yaml"),

		// Tests count API calls in the audit log; a rotated file would hide some of them.
		"--audit-policy-file="+n.Path("conf", "audit-policy.yaml"),
		"--audit-log-path="+n.Path("logs", "audit.log"),
		"--audit-log-maxsize=4096",
	)
	server.Files = []string{n.Path("conf", "audit-policy.yaml"), n.Path("conf", "admission.yaml"), n.Path("conf", "webhook-client.yaml")}
	return server
}

func (n Node) controllerManager() Component {
	return n.program(ControllerManager,
		"--kubeconfig="+n.kubeconfig("controller-manager"),
		"--authentication-kubeconfig="+n.kubeconfig("controller-manager"),
		"--authorization-kubeconfig="+n.kubeconfig("controller-manager"),
		"--bind-address=127.0.0.1",
		"--cert-dir="+n.Path("controller-manager"),
		"--flex-volume-plugin-dir="+n.Path("kubelet", "volume-plugins"), // it makes one in /usr/libexec otherwise
		"--leader-elect=false",                                          // there is one; electing it would cost seconds at each start
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+n.pki("service-account.key"),
		"--root-ca-file="+n.pki("ca.crt"),
		"--cluster-signing-cert-file="+n.pki("ca.crt"),
		"--cluster-signing-key-file="+n.pki("ca.key"),
		// The default of 20 requests a second makes tests with hundreds of objects wait for this client.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	)
}

func (n Node) scheduler() Component {
	return n.program(Scheduler,
		"--kubeconfig="+n.kubeconfig("scheduler"),
		"--authentication-kubeconfig="+n.kubeconfig("scheduler"),
		"--authorization-kubeconfig="+n.kubeconfig("scheduler"),
		"--bind-address=127.0.0.1",
		"--cert-dir="+n.Path("scheduler"),
		"--leader-elect=false",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	)
}

func (n Node) kubelet() Component {
	kubelet := n.program(Kubelet,
		"--config="+n.Path("conf", "kubelet.yaml"),
		"--kubeconfig="+n.kubeconfig("kubelet"),
		"--root-dir="+n.Path("kubelet"),
		"--cert-dir="+n.Path("kubelet", "pki"),
		"--hostname-override="+n.Name(),
		"--node-ip="+Address,
	)
	kubelet.Files = []string{n.Path("conf", "kubelet.yaml")}
	return kubelet
}

func (n Node) proxy() Component {
	config := n.Path("conf", "kube-proxy.yaml")
	proxy := n.program(Proxy, "--config="+config)
	proxy.Files = []string{config}
	return proxy
}
