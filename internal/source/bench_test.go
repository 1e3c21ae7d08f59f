package source_test

import (
	"strings"
	"testing"

	obj "inpod.dev/inpod/internal/objtest"
	"inpod.dev/inpod/internal/source"
)

func BenchmarkUsages(b *testing.B) {
	spec := obj.Spec(
		obj.Mount(obj.CM("app")), obj.SubPath(obj.CM("nginx").Items("nginx.conf"), "nginx.conf"), obj.Env(obj.Sec("db"), "password"),
		obj.EnvFrom(obj.CM("flags")), obj.Sidecar("proxy"), obj.Projected(obj.CM("app"), obj.Sec("tls")),
	)
	b.ReportAllocs()
	for b.Loop() {
		source.GroupUsages(source.Usages(obj.Namespace, spec))
	}
}

func BenchmarkDiff(b *testing.B) {
	for name, n := range map[string]int{"1 key": 1, "10 keys": 10, "100 keys": 100, "500 keys, folded": 500} {
		b.Run(name, func(b *testing.B) {
			digester := digesterOf(b, 1)
			use := state{parts(obj.Mount(obj.CM("a")), obj.Env(obj.CM("a"), "key-000")), keys(n)}.use(b)
			record := digester.Record(use)
			b.ReportAllocs()
			for b.Loop() {
				digester.Diff(use, record)
			}
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	digester := digesterOf(b, 1)
	use := state{parts(obj.Mount(obj.CM("a"))), keys(10)}.use(b)
	b.ReportAllocs()
	for b.Loop() {
		digester.Record(use)
	}
}

// The values of a source are digested when it arrives, and dropped.
func BenchmarkSnapshot(b *testing.B) {
	for name, size := range map[string]int{"100 B": 100, "50 KB": 50_000, "1 MB": 1_000_000} {
		secret := obj.Secret("a", "key", strings.Repeat("x", size))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				source.OfSecret(secret)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	digester := digesterOf(b, 1)
	text, err := digester.Encode(full(b, digester))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		digester.Decode(obj.Namespace, text)
	}
}
