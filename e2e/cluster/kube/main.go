// Command kube is every Kubernetes program of the test cluster, and etcd, in one file.
//
// The programs share nearly all of their packages, so linking them once costs a sixth of the time and space of linking
// them one by one. Which one runs is decided by the name of the file (kubectl is a link to this program) or, failing
// that, by the first argument:
//
//	kube kubelet --config=…
//	ln -s kube kubectl && ./kubectl get pods
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // the JSON log format of every component
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics, as in the released programs
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build_info metric
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	os.Exit(run(os.Args))
}

func run(args []string) int {
	name := filepath.Base(args[0])
	programs := programs()
	if programs[name] == nil && len(args) > 1 {
		args = args[1:]
		name = args[0]
	}
	program := programs[name]
	if program == nil {
		known := slices.Sorted(maps.Keys(programs))
		fmt.Fprintf(os.Stderr, "kube: no program %q; there are: %s\n", name, strings.Join(known, ", "))
		return 2
	}
	// The commands read the process arguments themselves, kubectl even before it parses its flags.
	os.Args = append([]string{name}, args[1:]...)
	return program()
}

func programs() map[string]func() int {
	return map[string]func() int{
		"etcd":                    func() int { etcdmain.Main(os.Args); return 0 },
		"kube-apiserver":          component(apiserver.NewAPIServerCommand),
		"kube-controller-manager": component(controllers.NewControllerManagerCommand),
		"kube-proxy":              component(proxy.NewProxyCommand),
		"kube-scheduler":          component(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"kubectl":                 runKubectl,
		"kubelet":                 component(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	}
}

func component(newCommand func() *cobra.Command) func() int {
	return func() int { return cli.Run(newCommand()) }
}

// runKubectl exits by itself on an error, with the exit codes that kubectl's users know.
func runKubectl() int {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
	return 0
}
