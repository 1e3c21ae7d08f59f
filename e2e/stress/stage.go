//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/e2e/stress/internal/plan"
	"inpod.dev/inpod/internal/patience"
	"inpod.dev/inpod/internal/source"
)

const (
	space  = "inpod-stress"
	settle = 2 * time.Second
	limit  = 5 * time.Minute
	// argoRollouts has the real CustomResourceDefinition of Rollouts.
	argoRollouts = "github.com/argoproj/argo-rollouts@v1.10.1"
)

// stage is a release that is limited to one namespace, and the workloads in it.
type stage struct {
	*framework.Cluster

	plan     plan.Plan
	release  framework.Release
	hollow   *framework.HollowNode // for the pods that run nothing
	digester source.Digester
	usages   map[string][]source.Usage // by workload
	cluster  string                    // the program of the local cluster; "" on another one
	begun    time.Time
	// writing is held by whoever writes a source, and by an outage while it begins.
	writing sync.Mutex

	mu sync.Mutex
	// content is what the API server has accepted last.
	content map[plan.Source]map[string]string
	applied map[string][]plan.Applied // by workload: the changes that its pods see
	edited  map[string]int            // by workload: edits of its template by this program
	pending map[string]time.Time      // by workload: the last change, until it is taken up
	waits   []wait
	first   map[string]int64       // by workload: its generation at the start
	lives   map[string][]types.UID // by workload: the objects that there were of its name
	rolled  map[string]int         // by Deployment: how often its template was changed
	faults  map[plan.What]int
	results map[string]row
	live    map[types.UID]string // the pods that reload in place, as they were at the start
	memory  memory
	// undone are the times at which the template of a workload was put back.
	undone map[string][]time.Time
	// former are the digesters of the keys that were replaced.
	former []source.Digester
	// mistaken is what was wrong during the run, and suspects the workloads that evidence is kept of.
	mistaken []error
	suspects map[string]plan.Kind
	// folder is where logs and evidence are kept.
	folder string
	alone  [2]time.Time // when the refusal with nothing else began and ended
}

// wait is how long a workload took to take up its changes.
type wait struct {
	workload    string
	since, till time.Time
}

// set installs everything and waits until the controller has seen it.
func set(ctx context.Context, p plan.Plan, strategy string) (*stage, error) {
	cluster, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	s := &stage{
		Cluster: cluster, plan: p, release: framework.Release{Name: "stress", Namespace: space + "-system"},
		usages: map[string][]source.Usage{}, content: map[plan.Source]map[string]string{}, applied: map[string][]plan.Applied{},
		edited: map[string]int{}, pending: map[string]time.Time{}, first: map[string]int64{}, faults: map[plan.What]int{}, rolled: map[string]int{}, lives: map[string][]types.UID{}, memory: memory{},
		undone: map[string][]time.Time{}, suspects: map[string]plan.Kind{},
	}
	if s.folder, err = folderOf(p.Seed); err != nil {
		return nil, err
	}
	// It comes first, since it serves the pods of a run that was killed, too.
	if s.hollow, err = s.StartHollowNode(ctx, space+"-hollow", framework.HollowOptions{}); err != nil {
		return nil, err
	}
	if err := s.clear(ctx); err != nil {
		return nil, err
	}
	return s, errors.Join(s.install(ctx, strategy), ctx.Err())
}

func (s *stage) install(ctx context.Context, strategy string) error {
	fmt.Println("stress: installing")
	ctx, cancel := patience.Context(ctx, limit)
	defer cancel()
	if err := s.build(ctx); err != nil {
		return err
	}
	if err := s.define(ctx); err != nil {
		return err
	}
	for _, name := range []string{space, s.release.Namespace} {
		if _, err := s.CreateNamespace(ctx, name, nil); err != nil {
			return err
		}
	}
	if err := s.Install(ctx, s.release, values(strategy)); err != nil {
		return err
	}
	for from, content := range s.plan.Initial {
		if err := s.Apply(ctx, space, manifest(from, content)); err != nil {
			return err
		}
		s.content[from] = content
	}
	for _, w := range s.plan.Workloads {
		u, err := s.object(w)
		if err != nil {
			return err
		}
		_, err = s.Custom(kinds()[w.Kind].resource, space).Create(ctx, u, metav1.CreateOptions{FieldManager: framework.FieldManager})
		if err != nil {
			return fmt.Errorf("create %s %s: %w", w.Kind, w.Name, err)
		}
		spec := s.pod(w)
		s.usages[w.Name] = source.Usages(space, &spec)
	}
	if err := s.key(ctx); err != nil {
		return err
	}
	fmt.Printf("stress: %d workloads; waiting until the controller knows them\n", len(s.plan.Workloads))
	states, err := s.awaitAll(ctx)
	for name, state := range states {
		s.first[name] = state.generation
	}
	if err != nil {
		return err
	}
	s.live, err = s.livePods(ctx)
	return err
}

// build makes the program that breaks the local cluster.
func (s *stage) build(ctx context.Context) error {
	if !s.Env.Local() {
		fmt.Println("stress: this cluster is not the local one: its API server is not restarted, and pods are deleted instead of killed")
		return nil
	}
	root, err := framework.Checkout()
	if err != nil {
		return err
	}
	s.cluster = filepath.Join(root, "dist", "cluster")
	return command(ctx, "go", "build", "-C", filepath.Join(root, "e2e", "cluster"), "-o", s.cluster, ".")
}

// define makes the cluster serve the kinds that it lacks.
func (s *stage) define(ctx context.Context) error {
	rollouts, err := framework.ModuleFile(ctx, argoRollouts, "manifests/crds/rollout-crd.yaml")
	if err != nil {
		return err
	}
	root, err := framework.Checkout()
	if err != nil {
		return err
	}
	configs, err := os.ReadFile(filepath.Join(root, "e2e", "testdata", "deploymentconfig-crd.yaml"))
	if err != nil {
		return err
	}
	for _, text := range [][]byte{rollouts, configs, []byte(cloneSets)} {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(text, &u.Object); err != nil {
			return err
		}
		u.SetLabels(map[string]string{domain + "/made": "true"})
		if _, err := s.Define(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// cloneSets is a kind whose schema says nothing of its spec, as those of some operators.
const cloneSets = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clonesets.` + domain + `}
spec:
  group: ` + domain + `
  scope: Namespaced
  names: {kind: CloneSet, listKind: CloneSetList, plural: clonesets, singular: cloneset}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

// key reads the key that the controller makes baselines with, so that what it has recorded can be checked.
func (s *stage) key(ctx context.Context) error {
	name := s.release.Name + "-inpod-digest-key"
	object, err := framework.AwaitObject(ctx, s.Client.CoreV1().RESTClient(), "secrets", s.release.Namespace, name, always)
	if err != nil {
		return err
	}
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("a %T is no Secret", object)
	}
	s.digester, err = source.NewDigester(secret.Data["key"])
	return err
}

// clear removes everything that is here, or that a run before has left.
func (s *stage) clear(ctx context.Context) error {
	ctx, cancel := patience.Context(ctx, limit)
	defer cancel()
	return errors.Join(
		persist(ctx, func() error { return s.Uninstall(ctx, s.release) }),
		persist(ctx, func() error { return s.RemoveLabeled(ctx, domain+"/made", 0) }),
		persist(ctx, func() error { return s.RemoveNamespace(ctx, space) }),
		persist(ctx, func() error { return s.RemoveNamespace(ctx, s.release.Namespace) }),
	)
}

// persist tries until it succeeds: the API server may be away.
func persist(ctx context.Context, do func() error) error {
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
