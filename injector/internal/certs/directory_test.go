package certs_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/injector/internal/certs"
)

// pairs are certificates and keys in PEM, as somebody else would write them.
func pairs(t *testing.T, n int) []map[string][]byte {
	t.Helper()
	var issued []map[string][]byte
	for range n {
		in(t, func(ctx context.Context, t *testing.T) {
			client := fake.NewClientset(configuration())
			start(ctx, t, client, true)
			secret, err := client.CoreV1().Secrets("inpod").Get(ctx, "tls", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			issued = append(issued, map[string][]byte{"tls.crt": secret.Data["tls.crt"], "tls.key": secret.Data["tls.key"]})
		})
	}
	return issued
}

func TestADirectory(t *testing.T) {
	t.Parallel()
	folder, log := t.TempDir(), &bytes.Buffer{}
	served := certs.NewServed(prometheus.NewPedanticRegistry())
	directory := certs.Directory{Path: folder, Served: served, Log: slog.New(slog.NewTextHandler(log, nil))}
	write := func(files map[string][]byte) {
		t.Helper()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := directory.Load(); err == nil || !strings.Contains(err.Error(), "tls.crt") {
		t.Errorf("an empty directory: %v", err)
	}
	two := pairs(t, 2)
	write(two[0])
	if err := directory.Load(); err != nil {
		t.Fatal(err)
	}
	first := served.Leaf()
	write(map[string][]byte{"tls.key": two[1]["tls.key"]}) // half of a renewal
	if err := directory.Load(); err == nil || !served.Leaf().Equal(first) {
		t.Errorf("a key that does not belong: %v; served on: %v", err, served.Leaf().Equal(first))
	}
	write(two[1])
	if err := directory.Load(); err != nil || served.Leaf().Equal(first) {
		t.Errorf("the renewal: %v; still the old one: %v", err, served.Leaf().Equal(first))
	}
	if text := log.String(); strings.Count(text, "serving certificate") != 2 || strings.Contains(text, "PRIVATE") {
		t.Errorf("the log is %s", text)
	}
}

func TestADirectoryIsPolled(t *testing.T) {
	t.Parallel()
	issued := pairs(t, 1)[0]
	synctest.Test(t, func(t *testing.T) {
		folder, log := t.TempDir(), &lines{}
		served := certs.NewServed(prometheus.NewPedanticRegistry())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			certs.Directory{Path: folder, Served: served, Log: slog.New(slog.NewTextHandler(log, nil))}.Run(ctx)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		if served.Leaf() != nil || strings.Count(log.String(), "using the certificate failed") != 1 {
			t.Errorf("a certificate from nowhere, or reported more than once: %s", log)
		}
		for name, content := range issued {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if served.Leaf() == nil {
			t.Error("the certificate was not found")
		}
		stop()
		<-done
	})
}
