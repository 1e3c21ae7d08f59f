package redact_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/redact"
)

func BenchmarkClean(b *testing.B) {
	text := strings.Repeat("nginx: [emerg] unknown directive \"lisen\" in /etc/nginx/nginx.conf:12\n", 16<<10/70)
	secret := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range secret {
		secret[i] = "abcdefghijklmnopqrstuvwxyz0123456789+/=\n "[random.IntN(41)]
	}
	for name, content := range map[string]string{"nothing": "", "a megabyte": string(secret)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				clean(text, redact.Legible{}, content)
			}
		})
	}
}
