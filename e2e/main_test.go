//go:build e2e

package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/patience"
)

// runLabel is on every object that a run leaves at the top level of the cluster; its value is the run.
const runLabel = "e2e.inpod.dev/run"

// suite is what the tests share.
var suite struct {
	cluster *framework.Cluster
	// run is the name of this run; it begins the names of its namespaces.
	run string
	// quick and patient work in all namespaces. The second settles for longer than edits in a row take, see settle.
	quick, patient charge
	settle         time.Duration
	// hollow has the pods that are there to be rolled, and run nothing.
	hollow *framework.HollowNode
}

// charge is a controller and the keys that it follows.
type charge struct {
	framework.Release
	keys keys
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := setParallel(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := setUp(ctx)
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "e2e: preparing the cluster:", err)
	}
	if err := tearDown(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: cleaning up:", err)
		code = 1
	}
	os.Exit(code) //nolint:gocritic // the process ends here; stop has nothing to release
}

// setParallel lets many tests run at once, whatever the number of processors: they wait nearly all of the time.
func setParallel() error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", "8")
}

// setUp connects, removes what runs that were killed left behind, and installs the controllers of the suite.
func setUp(ctx context.Context) error {
	ctx, cancel := patience.Context(ctx, limit)
	defer cancel()
	cluster, err := framework.Connect()
	if err != nil {
		return err
	}
	suite.cluster = cluster
	if !cluster.Env.Local() && os.Getenv("TEST_IMAGE_PREFIX") == "" {
		return errors.New("on a cluster of your own set TEST_IMAGE_PREFIX to where its nodes pull the images of the tests from; CONTRIBUTING.md says how to get them there")
	}
	if err := cluster.RemoveLabeled(ctx, runLabel, time.Hour); err != nil {
		return err
	}
	suite.run = "e2e-" + strings.ToLower(rand.Text()[:5])
	suite.hollow, err = cluster.StartHollowNode(ctx, suite.run, framework.HollowOptions{
		Labels: map[string]string{runLabel: suite.run}, Unready: isStuck,
	})
	if err != nil {
		return err
	}
	ns, err := cluster.CreateNamespace(ctx, "inpod-"+suite.run, map[string]string{
		runLabel: suite.run,
		// What inpod runs has to pass the strictest standard.
		"pod-security.kubernetes.io/enforce": "restricted",
	})
	if err != nil {
		return err
	}
	suite.quick = charge{framework.Release{Name: "inpod-quick", Namespace: ns}, keysUnder("quick." + suite.run + ".inpod.dev")}
	suite.patient = charge{framework.Release{Name: "inpod-patient", Namespace: ns}, keysUnder("patient." + suite.run + ".inpod.dev")}
	if err := cluster.Install(ctx, suite.quick.Release, values(suite.quick.keys, framework.Values{"namespaceDefaults": true})); err != nil {
		return err
	}
	suite.settle = patience.Stretch(5 * time.Second)
	return cluster.Install(ctx, suite.patient.Release, values(suite.patient.keys, framework.Values{"settle": suite.settle.String(), "settleMax": max(2*suite.settle, 10*time.Second).String()}))
}

func tearDown(ctx context.Context) (failure error) {
	ctx, cancel := patience.Context(ctx, cleanLimit)
	defer cancel()
	if suite.hollow != nil {
		defer func() { failure = errors.Join(failure, suite.hollow.Stop(ctx)) }() // after the namespaces with its pods
	}
	if suite.quick.Namespace == "" {
		return nil
	}
	return errors.Join(
		suite.cluster.Uninstall(ctx, suite.quick.Release),
		suite.cluster.Uninstall(ctx, suite.patient.Release),
		suite.cluster.DeleteNamespace(ctx, suite.quick.Namespace),
	)
}

// values are the chart values of a release that follows the given keys, for tests that should not wait long. config
// adds settings of the controller.
func values(k keys, config framework.Values) framework.Values {
	all := k.config()
	all["settle"] = "1s"
	all["baselineRate"] = 1000 // of the tests' own workloads; the default protects a grown cluster
	all["logLevel"] = "debug"
	maps.Copy(all, config)
	return framework.Values{
		"commonLabels": framework.Values{runLabel: suite.run},
		"injector":     framework.Values{"enabled": false}, // tests of the sidecar ask for it
		"controller": framework.Values{
			"config":         all,
			"readinessProbe": framework.Values{"periodSeconds": 1},
		},
	}
}
