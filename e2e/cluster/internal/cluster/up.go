package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"inpod.dev/inpod/e2e/cluster/internal/build"
	"inpod.dev/inpod/e2e/cluster/internal/daemon"
	"inpod.dev/inpod/e2e/cluster/internal/host"
	"inpod.dev/inpod/e2e/cluster/internal/kubeapi"
	"inpod.dev/inpod/e2e/cluster/internal/node"
)

// patience is how long a part may take to become ready, or to end. An idle machine needs seconds, and a slow one gets
// what it needs: a part that ends again and again is said at once.
const patience = 10 * time.Minute

// Up makes the cluster run, from whatever state it is in.
func (c *Cluster) Up(ctx context.Context) error {
	if err := host.Install(ctx, c.print); err != nil {
		return err
	}
	built, err := c.buildPrograms(ctx)
	if err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.bringUp(ctx, built)
}

// bringUp starts what does not run and waits until all of it works. The caller holds the lock.
func (c *Cluster) bringUp(ctx context.Context, built programs) error {
	wanted := node.New(c.place, built.kube, snapshotter(filepath.Dir(c.place.State)))
	if err := c.prepare(ctx, wanted); err != nil {
		return err
	}
	if err := c.startAll(wanted.Foundation()); err != nil {
		return err
	}
	client, err := c.connect(ctx, wanted)
	if err != nil {
		return err
	}
	images := make(chan error, 1)
	go func() { images <- c.loadImages(ctx, built) }()
	if err := c.await(ctx, client.Ready, node.APIServer, node.Etcd, node.Forwarder); err != nil {
		return err
	}
	c.print.Step("the API server answers")
	if err := c.startAll(wanted.Workers()); err != nil {
		return err
	}
	if err := <-images; err != nil {
		return err
	}
	if err := c.await(ctx, func(ctx context.Context) error {
		return client.NodeReady(ctx, wanted.Name())
	}, node.Kubelet, node.Containerd); err != nil {
		return err
	}
	c.print.Step("the node is ready")
	for _, manifest := range []string{"dns.yaml", "webhook-clients.yaml"} {
		if err := c.apply(ctx, wanted, built, manifest); err != nil {
			return err
		}
	}
	if err := c.await(ctx, func(ctx context.Context) error {
		return client.DNSReady(ctx, wanted.Name())
	}, node.Kubelet, node.ControllerManager, node.Scheduler, node.Proxy); err != nil {
		return err
	}
	c.print.Step("cluster DNS is ready")
	return c.linkKubectl(built)
}

// prepare makes everything that the processes expect to find.
func (c *Cluster) prepare(ctx context.Context, wanted node.Node) error {
	if !c.netns.Exists() {
		// A first start; or a start after a reboot, or after somebody removed the namespace. Processes that still run
		// are then in a namespace that nobody can enter any more.
		if err := c.stopProcesses(); err != nil {
			return err
		}
		c.unmount()
		c.print.Step("making the network namespace %s", c.place.ID)
		if err := c.netns.Create(ctx); err != nil {
			return fmt.Errorf("make the network namespace: %w", err)
		}
	}
	if err := c.netns.Configure(ctx, node.Bridge, node.AddressPrefix, node.ServiceRange); err != nil {
		return fmt.Errorf("configure the network namespace: %w", err)
	}
	if err := c.groups.Create(); err != nil {
		return fmt.Errorf("make the control groups: %w", err)
	}
	if err := wanted.WriteFiles(); err != nil {
		return err
	}
	return host.SaveKernelSettings(c.place.Path("kernel-settings"))
}

// snapshotter is how containerd stacks image layers: an overlay cannot lie on another overlay, which a folder inside
// of a container is.
func snapshotter(dir string) string {
	const overlayMagic = 0x794c7630
	var stat syscall.Statfs_t
	if err := os.MkdirAll(dir, 0o755); err == nil && syscall.Statfs(dir, &stat) == nil && stat.Type == overlayMagic {
		return "native"
	}
	return "overlayfs"
}

func (c *Cluster) startAll(components []node.Component) error {
	for _, component := range components {
		if err := c.start(component); err != nil {
			return err
		}
	}
	return nil
}

// start starts a component, unless it runs as wanted.
func (c *Cluster) start(component node.Component) error {
	version, err := versionOf(component)
	if err != nil {
		return err
	}
	process := daemon.Daemon{Name: component.Name, Args: c.netns.Enter(component.Args...), Version: version}
	c.again.add(process) // also if it runs: it may be about to die
	record, running := c.table.Running(component.Name)
	switch {
	case running && record.Version == version:
		return nil
	case running:
		c.print.Step("%s: restarting, its program or settings changed", component.Name)
		if err := c.stopOne(record); err != nil {
			return err
		}
	default:
		c.print.Step("%s: starting", component.Name)
	}
	return c.launch(process)
}

func (c *Cluster) launch(process daemon.Daemon) error {
	if err := c.endStrays(process); err != nil {
		return err
	}
	process.Log = c.place.Log(process.Name)
	process.Joined = c.groups.Join
	if err := c.table.Start(process); err != nil {
		return c.failure(process.Name, err)
	}
	return nil
}

// versionOf names a command line together with the content of the files that are read only at the start.
func versionOf(component node.Component) (string, error) {
	parts := component.Args
	for _, file := range component.Files {
		key, err := build.FileKey(file)
		if err != nil {
			return "", err
		}
		parts = append(parts, key)
	}
	return strings.Join(parts, " "), nil
}

// connect makes the API server reachable from outside and writes the kubeconfigs.
func (c *Cluster) connect(ctx context.Context, wanted node.Node) (*kubeapi.Client, error) {
	port, err := c.startForwarder(ctx)
	if err != nil {
		return nil, err
	}
	server := "https://127.0.0.1:" + port
	if err := wanted.WriteKubeconfig(c.place.Kubeconfig(), "admin", server); err != nil {
		return nil, err
	}
	if err := wanted.WriteKubeconfig(c.insideKubeconfig(), "admin", wanted.APIURL); err != nil {
		return nil, err
	}
	return kubeapi.New(server, c.place.Path("pki"))
}

// insideKubeconfig is for a shell inside the network namespace, where the forwarder's port is not.
func (c *Cluster) insideKubeconfig() string { return c.place.Path("conf", "admin.kubeconfig") }

func (c *Cluster) loadImages(ctx context.Context, built programs) error {
	if err := c.await(ctx, func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	}, node.Containerd); err != nil {
		return err
	}
	recipes, err := built.recipes()
	if err != nil {
		return err
	}
	if err := c.loadRecipes(ctx, recipes); err != nil {
		return err
	}
	c.print.Step("the images are loaded")
	return nil
}

// apply makes the objects of a manifest as they are there.
func (c *Cluster) apply(ctx context.Context, wanted node.Node, built programs, name string) error {
	manifest, err := wanted.Render(name)
	if err != nil {
		return err
	}
	return c.kubectl(ctx, built, manifest, "apply", "--server-side", "--force-conflicts", "--filename=-")
}

// linkKubectl puts kubectl where people without one can take it from.
func (c *Cluster) linkKubectl(built programs) error {
	if err := os.MkdirAll(c.place.BinDir(), 0o755); err != nil {
		return err
	}
	link := filepath.Join(c.place.BinDir(), "kubectl")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.Symlink(built.kubectl(), link)
}
