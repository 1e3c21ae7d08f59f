package decide_test

import (
	"fmt"
	"testing"

	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

func BenchmarkDecide(b *testing.B) {
	uses := following(
		obj.Mount(obj.CM("app")), obj.SubPath(obj.CM("nginx").Items("nginx.conf"), "nginx.conf"), obj.Env(obj.Sec("db"), "password"),
		obj.EnvFrom(obj.CM("flags")), obj.Sidecar("proxy"), obj.Projected(obj.CM("app"), obj.Sec("tls")),
	)
	w := withBaseline(b, uses, cm("app", "a", "1", "b", "1", "c", "1"), cm("nginx", "nginx.conf", "1"), obj.Secret("db", "password", "1"), cm("flags", "F", "1"), obj.Secret("tls", "tls.key", "1"))
	unchanged := w.gather()
	w.set(cm("app", "a", "2", "b", "1", "c", "1"), obj.Secret("db", "password", "2"))
	changed := w.gather()
	for name, in := range map[string]decide.Input{"unchanged": unchanged, "rollout": changed} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				decide.Decide(in)
			}
		})
	}
	b.Run("gather and decide", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			w.decide()
		}
	})
}

// What a start costs, when nothing has changed: each workload is decided on once.
func BenchmarkDecideTenThousand(b *testing.B) {
	inputs := make([]decide.Input, 10_000)
	for i := range inputs {
		name := fmt.Sprint("app-", i)
		w := withBaseline(b, following(obj.Mount(obj.CM(name)), obj.Env(obj.Sec(name), "password")), cm(name, "a", "1", "b", "1"), obj.Secret(name, "password", "1"))
		inputs[i] = w.gather()
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, in := range inputs {
			if d := decide.Decide(in); d.Action != decide.None {
				b.Fatalf("%s: %s", d.Action, d.Message)
			}
		}
	}
}
