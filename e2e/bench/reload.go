//go:build e2e

package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/digestkey"
	"inpod.dev/inpod/internal/inject"
	"inpod.dev/inpod/internal/sidecarapi"
)

const (
	reloadWorkloads = 500
	reloadPods      = 20 // of each
	// kubeletPeriod is how long a kubelet that nobody nudges leaves a volume as it is: between one and one and a half of its
	// sync period (k8s.io/kubernetes/pkg/kubelet: SyncFrequency).
	kubeletPeriod = time.Minute
	// kubeletTakes is how long a kubelet takes from a nudge to the new file, and reloadTakes an application to read it.
	kubeletTakes = 500 * time.Millisecond
	reloadTakes  = 200 * time.Millisecond
	// file is where the pods have what they share, or what is their own.
	file = "/etc/app/key"
)

// sidecars answers for all sidecars of the pods on the hollow node. Each pod has an address of its own in 127.0.0.0/8,
// and gets new content when its kubelet would bring it: soon after a nudge, else when the kubelet reads the source by itself.
type sidecars struct {
	key *sidecarapi.Key

	asked   atomic.Int64
	mu      sync.Mutex
	pods    map[string]*podOfBench // by address
	address map[string]string      // by namespace and name of the pod
	edits   map[string]edit        // by source
	values  map[string]string      // by source, before the edit
}

type edit struct {
	at    time.Time
	value string
}

type podOfBench struct {
	source string
	born   time.Time
	reads  time.Duration // when its kubelet reads the source after an edit that it is not nudged for
	nudge  string
	nudged time.Time
}

// addressOf gives a pod its address.
func (s *sidecars) addressOf(pod *corev1.Pod) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := pod.Namespace + "/" + pod.Name
	if address, has := s.address[name]; has {
		return address
	}
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 127<<24|1<<16|uint32(len(s.address)+1))
	address := net.IP(ip[:]).String()
	s.address[name] = address
	s.pods[address] = &podOfBench{
		source: pod.Labels["source"], born: time.Now(),
		// A moment of a period that is one to one and a half times as long as it says.
		reads: time.Duration(rand.Float64() * (1 + rand.Float64()/2) * float64(kubeletPeriod)),
	}
	return address
}

// see notes the nudges of a pod.
func (s *sidecars) see(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[s.address[pod.Namespace+"/"+pod.Name]]
	if nudge := pod.Annotations[annotation.Nudge]; p != nil && nudge != p.nudge {
		p.nudge, p.nudged = nudge, time.Now()
	}
}

// edited notes the time of an edit, just before it is made.
func (s *sidecars) edited(source, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edits[source] = edit{time.Now(), value}
}

// reply is what the sidecar at an address says of the file.
func (s *sidecars) reply(address string) (sidecarapi.Response, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pods[address]
	if p == nil {
		return sidecarapi.Response{}, false
	}
	now := time.Now()
	r := sidecarapi.Response{
		Result: sidecarapi.None, Files: map[string]string{file: digestOf(s.values[p.source])}, At: now, Started: p.born, Changed: p.born, Version: "bench",
	}
	e, changed := s.edits[p.source]
	brought := e.at.Add(p.reads)
	if p.nudged.After(e.at) {
		brought = earliest(brought, p.nudged.Add(kubeletTakes))
	}
	if !changed || now.Before(brought) {
		return r, true
	}
	r.Files[file], r.Changed, r.Changes, r.Result = digestOf(e.value), brought, 1, sidecarapi.Pending
	if done := brought.Add(settle + reloadTakes); now.After(done) {
		r.Result, r.Attempts, r.AttemptAt, r.Proven = sidecarapi.Applied, 1, done, true
		r.Trigger, r.Proof = "SIGHUP to app (PID 7)", "the application says so"
	}
	return r, true
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func digestOf(value string) string {
	sum := sha256.Sum256([]byte(value))
	return sidecarapi.Digest([16]byte(sum[:16]))
}

// serve answers until ctx ends.
func (s *sidecars) serve(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("0.0.0.0:%d", sidecarapi.DefaultPort))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, sidecarapi.MaxRequest+1))
		request, wrong := sidecarapi.ParseRequest(body)
		local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if err != nil || wrong != nil || local == nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		s.asked.Add(1)
		reply, known := s.reply(local.IP.String())
		if !known {
			http.Error(w, sidecarapi.SaysNotYet, http.StatusServiceUnavailable)
			return
		}
		encrypted, err := s.key.Encrypt(request.Nonce, reply)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(encrypted)
	})}
	go func() { _ = server.Serve(listener) }()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	return nil
}

// reloaded makes a Deployment whose pods carry a sidecar, on the hollow node.
func (b *bench) reloaded(ctx context.Context, namespace, name, from string, key string) error {
	labels := map[string]string{"app": name, "source": from}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{
		annotation.InjectKey: "enabled", "inpod.dev/reload-signal": "HUP", "inpod.dev/reload-process": "app",
	}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "app", Image: b.Env.AppImage(), VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}}}},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: from},
		}}}},
	}}
	change, report := inject.Inject(pod, inject.Options{
		Namespace: namespace, NativeSidecars: true, Image: "inpod/sidecar:bench", StatusPort: sidecarapi.DefaultPort, ConfirmKey: key,
	})
	if len(change.InitContainers)+len(change.Containers) == 0 {
		return fmt.Errorf("the pods of %s get no sidecar: %+v", name, report)
	}
	injected := change.Apply(pod)
	injected.Spec.NodeName = b.hollow.Name // spares the scheduler 10,000 pods
	replicas := int32(reloadPods)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: injected.ObjectMeta, Spec: injected.Spec},
		},
	}
	_, err := b.Client.AppsV1().Deployments(namespace).Create(ctx, d, metav1.CreateOptions{})
	return ignoreExisting(err)
}

// largeReload edits what 500 workloads of 20 pods share, and what one other workload has to itself.
func largeReload(ctx context.Context, b *bench) (row, error) {
	space, err := b.space(ctx, "inpod-bench-reload")
	if err != nil {
		return row{}, err
	}
	digestKey, err := digestkey.Ensure(ctx, b.Client, b.own, "inpod-digest-key")
	if err != nil {
		return row{}, err
	}
	public, err := sidecarapi.PublicKey(digestKey)
	if err != nil {
		return row{}, err
	}
	if b.sidecars.key, err = sidecarapi.ParseKey(public); err != nil {
		return row{}, err
	}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	if err := b.sidecars.serve(serving); err != nil {
		return row{}, err
	}
	if err := errors.Join(b.configMap(ctx, space, "shared"), b.configMap(ctx, space, "own")); err != nil {
		return row{}, err
	}
	b.sidecars.values["shared"], b.sidecars.values["own"] = "1", "1"
	fmt.Printf("  making %d pods\n", (reloadWorkloads+1)*reloadPods)
	err = each(reloadWorkloads+1, func(i int) error {
		if i == reloadWorkloads {
			return b.reloaded(ctx, space, "own", "own", public)
		}
		return b.reloaded(ctx, space, fmt.Sprintf("d-%d", i), "shared", public)
	})
	if err == nil {
		err = b.awaitComplete(ctx, space)
	}
	if err != nil {
		return row{}, err
	}
	p, err := b.start(ctx, "--namespaces="+space, "--reload-in-place=true")
	if err != nil {
		return row{}, err
	}
	defer p.stop() //nolint:errcheck // the scenario is over
	if err := p.awaitSum(ctx, "inpod_baselines_created_total", reloadWorkloads+1); err != nil {
		return row{}, err
	}
	return b.reload(ctx, p, space)
}

// reload makes the two edits and waits until all pods have confirmed.
func (b *bench) reload(ctx context.Context, p *process, space string) (row, error) {
	var r row
	before, err := p.usage(ctx)
	if err != nil {
		return r, err
	}
	fmt.Printf("  all workloads have baselines; RSS %d MB, peak %d MB so far\n", before.rss>>20, before.max>>20)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	sockets := p.mostSockets(watching)
	own, err := b.Client.AppsV1().Deployments(space).Get(ctx, "own", metav1.GetOptions{})
	if err != nil {
		return r, err
	}
	b.sidecars.edited("shared", "2")
	if err := b.edit(ctx, space, "shared", "2"); err != nil {
		return r, err
	}
	// While the many are under way.
	time.Sleep(2 * settle)
	b.sidecars.edited("own", "2")
	edited := time.Now()
	if err := b.edit(ctx, space, "own", "2"); err != nil {
		return r, err
	}
	var other time.Duration
	err = p.await(ctx, limit, func() (bool, error) {
		now, err := b.Client.AppsV1().Deployments(space).Get(ctx, "own", metav1.GetOptions{})
		other = time.Since(edited)
		return err == nil && now.Annotations[annotation.Baseline] != own.Annotations[annotation.Baseline], err
	})
	if err != nil {
		return r, fmt.Errorf("the other workload: %w", err)
	}
	if err := p.awaitSum(ctx, "inpod_reload_results_total", reloadWorkloads+1); err != nil {
		return r, err
	}
	r.latency, r.measured = time.Since(edited)+2*settle, "the first edit to the last confirmation"
	m, err := p.metrics(ctx)
	if err != nil {
		return r, err
	}
	after, err := p.usage(ctx)
	r.used = after.since(before)
	confirmed := m.Sum("inpod_reload_results_total", "result", "Confirmed")
	r.hold(other < 3*time.Second, "the other workload in 3 s (%s)", round(other))
	r.hold(r.latency < time.Minute, "all in 60 s")
	r.hold(confirmed == reloadWorkloads+1 && m.Sum("inpod_rollouts_total") == 0, "no rollout (%.0f confirmed, %.0f rolled)", confirmed, m.Sum("inpod_rollouts_total"))
	fmt.Printf("  %d questions, %.0f nudges, other %s\n", b.sidecars.asked.Load(), m.Sum("inpod_nudges_total", "result", "accepted"), round(other))
	most := sockets()
	r.hold(most < 1000, "under 1,000 sockets (%d)", most)
	r.hold(after.max < 200<<20, "under 200 MB")
	return r, err
}

// mostSockets counts the sockets of the process until ctx ends; the result returns the most that there were at a time.
func (p *process) mostSockets(ctx context.Context) func() int {
	var mu sync.Mutex
	most := 0
	folder := "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/fd"
	count := func() {
		entries, _ := os.ReadDir(folder)
		n := len(slices.DeleteFunc(entries, func(e os.DirEntry) bool {
			to, err := os.Readlink(folder + "/" + e.Name())
			return err != nil || !strings.HasPrefix(to, "socket:")
		}))
		mu.Lock()
		defer mu.Unlock()
		most = max(most, n)
	}
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				count()
			}
		}
	}()
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return most
	}
}

// awaitComplete waits until every Deployment of a namespace is rolled out.
func (b *bench) awaitComplete(ctx context.Context, namespace string) error {
	deadline := time.Now().Add(20 * time.Minute)
	for reported := time.Now(); ; {
		list, err := b.Client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		behind, ready := 0, int32(0)
		for _, d := range list.Items {
			of := framework.Deployment(namespace, d.Name)
			ready += d.Status.ReadyReplicas
			if s := d.Status; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != *d.Spec.Replicas || s.ReadyReplicas != *d.Spec.Replicas || s.Replicas != *d.Spec.Replicas {
				behind++
				if time.Now().After(deadline) {
					return fmt.Errorf("%s is not rolled out: %+v", of, s)
				}
			}
		}
		if behind == 0 {
			return nil
		}
		if time.Since(reported) > 15*time.Second {
			fmt.Printf("  %d pods are ready, %d Deployments are not rolled out\n", ready, behind)
			reported = time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
