// Package node turns a place into the command lines and configuration files of a complete single-node cluster.
//
// It decides and renders; it starts nothing and knows nothing of the machine it runs on.
package node

import "inpod.dev/inpod/e2e/cluster/internal/paths"

// Addresses inside the cluster's network namespace. They are the same for every cluster: the namespace has no way in or
// out, so two clusters cannot meet.
const (
	Address       = "10.89.0.10" // of the node, on a bridge without ports
	AddressPrefix = Address + "/24"
	Bridge        = "node0"
	APIPort       = "6443"
	podRange      = "10.244.0.0/16"
	ServiceRange  = "10.96.0.0/16"
	apiServiceIP  = "10.96.0.1"
	dnsServiceIP  = "10.96.0.10"
	clusterDomain = "cluster.local"
	etcdAddress   = "http://127.0.0.1:2379"
	etcdPeers     = "http://127.0.0.1:2380"
	cniBinDir     = "/usr/lib/cni" // where Debian's containernetworking-plugins puts them
	PauseImage    = "inpod.test/pause:1"
	DNSImage      = "inpod.test/coredns:1"
	maxPods       = 500
)

// Node is everything that the files and command lines are rendered from.
type Node struct {
	Place paths.Place
	// Kube is the program that holds all Kubernetes programs and etcd.
	Kube string
	// Snapshotter is the containerd plugin that stacks image layers.
	Snapshotter string
	// APIURL is the API server's address inside the network namespace.
	APIURL string
}

// New returns the node of a place.
func New(p paths.Place, kube, snapshotter string) Node {
	return Node{Place: p, Kube: kube, Snapshotter: snapshotter, APIURL: "https://" + Address + ":" + APIPort}
}

// Name of the Node object and host name of the kubelet.
func (n Node) Name() string { return n.Place.ID }

// Path is a path in the state folder.
func (n Node) Path(elements ...string) string { return n.Place.Path(elements...) }

// view is what the templates see: a node, and the constants, which they could not see otherwise.
type view struct {
	Node
	Address, PodRange, DNSServiceIP, Domain, CNIBinDir, PauseImage, DNSImage string

	MaxPods int
}

func (n Node) view() view {
	return view{
		Node: n, Address: Address, PodRange: podRange, DNSServiceIP: dnsServiceIP, Domain: clusterDomain,
		CNIBinDir: cniBinDir, PauseImage: PauseImage, DNSImage: DNSImage, MaxPods: maxPods,
	}
}
