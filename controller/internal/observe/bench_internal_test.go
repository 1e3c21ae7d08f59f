package observe

import (
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// The cluster of the benchmarks: so many workloads, with a ConfigMap and a Secret of its own each.
const (
	benchWorkloads = 10_000
	perNamespace   = 200
)

func benchNamespace(i int) string { return fmt.Sprintf("space-%d", i/perNamespace) }

// large is a cache of a large cluster, filled without an API server.
func large(b *testing.B) *Observer {
	b.Helper()
	o, err := New(Options{
		Client: fake.NewClientset(), Keys: annotation.DefaultKeys(), Kinds: workload.Kinds(), Log: slog.New(slog.DiscardHandler),
		Sources: source.Kinds(), Enqueue: func(workload.Key, Change) {}, NudgeNow: func(workload.Key, source.Ref) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	kind, _ := workload.KindOf("Deployment")
	nsCache := o.cacheOf("")
	workloads, sources := newLastSeen[*workloadItem](), newLastSeen[*sourceItem]()
	for i := range benchWorkloads {
		item, err := reduceWorkload(benchDeployment(i), kind, o.checker, workloads)
		if err != nil {
			b.Fatal(err)
		}
		if err := nsCache.workloads["Deployment"].GetIndexer().Add(item); err != nil {
			b.Fatal(err)
		}
		cm, secret := benchSources(i)
		for of, object := range map[source.Kind]any{source.ConfigMap: cm, source.Secret: secret} {
			item, err := reduceSource(object, o.checker, sources)
			if err != nil {
				b.Fatal(err)
			}
			if err := nsCache.sources[of].GetIndexer().Add(item); err != nil {
				b.Fatal(err)
			}
		}
	}
	return o
}

func benchDeployment(i int) any {
	name := fmt.Sprintf("web-%d", i)
	d := obj.Deployment(name, obj.Annotation("reloader.stakater.com/auto", "true"), obj.Mount(obj.CM(name)), obj.Env(obj.Sec(name), "password"))
	d.Namespace = benchNamespace(i)
	return d
}

func benchSources(i int) (*corev1.ConfigMap, *corev1.Secret) {
	name := fmt.Sprintf("web-%d", i)
	cm, secret := obj.ConfigMap(name, "nginx.conf", "worker_processes 1;"), obj.Secret(name, "password", "x")
	cm.Namespace, secret.Namespace = benchNamespace(i), benchNamespace(i)
	return cm, secret
}

// The cost of the index and of the look-ups must not depend on how many workloads there are.
func BenchmarkCache(b *testing.B) {
	o := large(b)
	ref := source.Ref{Kind: source.ConfigMap, Namespace: benchNamespace(4242), Name: "web-4242"}
	key := workload.Key{Kind: "Deployment", Namespace: ref.Namespace, Name: ref.Name}
	b.Run("dependents of one source", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(o.workloadsUsing(ref)) != 1 {
				b.Fatal("not one")
			}
		}
	})
	b.Run("one workload", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := o.Workload(key); !ok {
				b.Fatal("not there")
			}
		}
	})
	b.Run("all keys", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if len(o.Workloads()) != benchWorkloads {
				b.Fatal("not all")
			}
		}
	})
}

// What arrives from the API server is reduced to what decisions need.
func BenchmarkReduce(b *testing.B) {
	checker := annotation.NewChecker(annotation.DefaultKeys())
	kind, _ := workload.KindOf("Deployment")
	b.Run("workload", func(b *testing.B) {
		deployment, last := benchDeployment(1), newLastSeen[*workloadItem]()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := reduceWorkload(deployment, kind, checker, last); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ConfigMap", func(b *testing.B) {
		cm, _ := benchSources(1)
		last := newLastSeen[*sourceItem]()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := reduceSource(cm, checker, last); err != nil {
				b.Fatal(err)
			}
		}
	})
}
