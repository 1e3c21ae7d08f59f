package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/controller/internal/config"
)

func TestOwnNamespace(t *testing.T) {
	t.Parallel()
	const none = "none"
	for name, c := range map[string]struct {
		pod       config.Pod
		file      string // its content
		want      string
		wantError string
	}{
		"the downward API":                   {pod: config.Pod{Namespace: "inpod-system", ReloaderNamespace: "ops"}, file: "other", want: "inpod-system"},
		"the service account":                {pod: config.Pod{ReloaderNamespace: "ops"}, file: "inpod-system\n", want: "inpod-system"},
		"Reloader's variable":                {pod: config.Pod{ReloaderNamespace: "ops"}, file: none, want: "ops"},
		"Reloader's variable, an empty file": {pod: config.Pod{ReloaderNamespace: "ops"}, file: "", want: "ops"},
		"nothing says it":                    {file: none, wantError: "set POD_NAMESPACE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "namespace")
			if c.file != none {
				if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ownNamespace(c.pod, file)
			if got != c.want || (err == nil) != (c.wantError == "") || err != nil && !strings.Contains(err.Error(), c.wantError) {
				t.Errorf("%q, %v; want %q, an error with %q", got, err, c.want, c.wantError)
			}
		})
	}
}

// The digest key never is where somebody else's may be.
func TestWithoutANamespaceNothingIsWritten(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(serviceAccountNamespace); err == nil {
		t.Skip("this is a pod")
	}
	s := startAPIServer(t)
	p := start(t, nil, "--kubeconfig", kubeconfig(t, s.server.URL), "--listen-address=127.0.0.1:0")
	<-p.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, request := range s.requests {
		if strings.HasPrefix(request, "POST") && strings.Contains(request, "secrets") {
			t.Errorf("a Secret was written: %s", request)
		}
	}
	if !strings.Contains(p.stderr.String(), "set POD_NAMESPACE") {
		t.Errorf("it does not say what to do:\n%s", p.stderr)
	}
}
