package kube

import (
	"bytes"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// server is an API server that knows the paths of the map, and 404 for the rest.
func server(t *testing.T, paths map[string]http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for path, handler := range paths {
		mux.HandleFunc(path, handler)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

const (
	version      = `{"major":"1","minor":"37","gitVersion":"v1.37.2"}`
	unauthorized = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}`
	forbidden    = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"Forbidden","code":403}`
	unavailable  = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd is away","reason":"InternalError","code":500}`
)

// kubeconfig writes one for the URL and returns its path.
func kubeconfig(t *testing.T, url string, ca []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	cluster := "server: " + url
	if ca != nil {
		caFile := filepath.Join(t.TempDir(), "ca.crt")
		write(t, caFile, string(ca))
		cluster += "\n    certificate-authority: " + caFile
	}
	write(t, path, `apiVersion: v1
kind: Config
current-context: c
contexts:
- name: c
  context: {cluster: c, user: u}
clusters:
- name: c
  cluster:
    `+cluster+`
users:
- name: u
  user: {token: planted}
`)
	return path
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// closedPort returns the URL of a port where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

func TestConnectIdentifiesItself(t *testing.T) {
	t.Parallel()
	agents := make(chan string, 1)
	s := server(t, map[string]http.HandlerFunc{"/version": func(w http.ResponseWriter, r *http.Request) {
		agents <- r.UserAgent()
		answer(http.StatusOK, version)(w, r)
	}})
	var log bytes.Buffer
	connection, err := Connect(t.Context(), Options{
		Kubeconfig: kubeconfig(t, s.URL, nil), Getenv: environment(nil),
		UserAgent: "inpod-controller/1.2.3", Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-agents; got != "inpod-controller/1.2.3" {
		t.Errorf("the server saw %q", got)
	}
	if connection.ServerVersion != "v1.37.2" || connection.InCluster || connection.Config.ContentType != "application/vnd.kubernetes.protobuf" {
		t.Errorf("connection is %+v", connection)
	}
	if got := log.String(); !strings.Contains(got, "server="+s.URL) || !strings.Contains(got, "version=v1.37.2") || strings.Contains(got, "planted") {
		t.Errorf("log is %q", got)
	}
}

func TestConnectFailsInOneLineOutsideACluster(t *testing.T) {
	t.Parallel()
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tlsServer.Close)
	tlsServer.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	otherCA := httptest.NewUnstartedServer(nil)
	otherCA.StartTLS()
	t.Cleanup(otherCA.Close)

	closed := closedPort(t)
	denies := server(t, map[string]http.HandlerFunc{"/version": answer(http.StatusUnauthorized, unauthorized)})
	broken := server(t, map[string]http.HandlerFunc{"/version": answer(http.StatusInternalServerError, unavailable)})
	other := server(t, map[string]http.HandlerFunc{"/version": answer(http.StatusOK, "<html>welcome</html>")})
	empty, malformed := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "malformed")
	write(t, empty, "apiVersion: v1\nkind: Config\n")
	write(t, malformed, "\t{")

	for name, tc := range map[string]struct {
		kubeconfig string
		environ    map[string]string
		want       []string
	}{
		"nothing says where the cluster is": {want: []string{"no kubeconfig and this is not a pod", "--kubeconfig FILE", "KUBECONFIG"}},
		"the file is not there": {
			kubeconfig: "/does/not/exist",
			want:       []string{"kubeconfig /does/not/exist (from --kubeconfig): no such file"},
		},
		"the file of the environment is not there": {
			environ: map[string]string{"KUBECONFIG": "/does/not/exist:/nor/this"},
			want:    []string{"kubeconfig /does/not/exist:/nor/this (from KUBECONFIG): no such file"},
		},
		"the file is empty":            {kubeconfig: empty, want: []string{empty, "names no cluster", "current-context"}},
		"the file is malformed":        {kubeconfig: malformed, want: []string{malformed, "cannot be read"}},
		"nothing listens":              {kubeconfig: kubeconfig(t, closed, nil), want: []string{"cannot reach the API server at " + closed, "connection refused", "is the cluster running"}},
		"the certificate is another's": {kubeconfig: kubeconfig(t, tlsServer.URL, certificate(t)), want: []string{tlsServer.URL, "credentials must have the certificate authority"}},
		"the credentials are refused":  {kubeconfig: kubeconfig(t, denies.URL, nil), want: []string{denies.URL, "does not accept the credentials from kubeconfig", "401 Unauthorized"}},
		"the server is broken":         {kubeconfig: kubeconfig(t, broken.URL, nil), want: []string{broken.URL, "answered with an error", "etcd is away"}},
		"the server is something else": {kubeconfig: kubeconfig(t, other.URL, nil), want: []string{other.URL, "does not look like a Kubernetes API server"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			_, err := Connect(t.Context(), Options{
				Kubeconfig: tc.kubeconfig, Getenv: environment(tc.environ), Log: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if err == nil {
				t.Fatal("Connect succeeded")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error is\n%v\nwant in it\n%s", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "planted") {
				t.Errorf("the error has several lines or the token:\n%v", err)
			}
			if log.Len() > 0 {
				t.Errorf("the log has %q as well", log.String())
			}
		})
	}
}

// certificate is an authority that has signed nothing here.
func certificate(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	der := append([]byte(nil), s.Certificate().Raw...)
	der[len(der)-1] ^= 1 // another signature
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestVersionMayBeForbidden(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]http.HandlerFunc{"/version": answer(http.StatusForbidden, forbidden)})
	connection, err := Connect(t.Context(), Options{Kubeconfig: kubeconfig(t, s.URL, nil), Getenv: environment(nil), Log: quiet()})
	if err != nil || connection.ServerVersion != "" {
		t.Errorf("Connect = %+v, %v", connection, err)
	}
}

func TestOrderOfCredentials(t *testing.T) {
	t.Parallel()
	flag, variable := kubeconfig(t, "http://flag", nil), kubeconfig(t, "http://variable", nil)
	home, bare := t.TempDir(), t.TempDir()
	content, err := os.ReadFile(kubeconfig(t, "http://home", nil))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".kube", "config"), string(content))
	for name, tc := range map[string]struct {
		kubeconfig string
		environ    map[string]string
		want       string // server, or text of the error
	}{
		"the flag goes first": {
			kubeconfig: flag,
			environ:    map[string]string{"KUBECONFIG": variable, "HOME": home, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: "http://flag",
		},
		"then the variable": {
			environ: map[string]string{"KUBECONFIG": "/not/there:" + variable, "HOME": home, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: "http://variable",
		},
		"then the home directory": {environ: map[string]string{"HOME": home, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: "http://home"},
		"then the pod, which has no token here": {
			environ: map[string]string{"HOME": bare, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}, want: "service account token",
		},
		"then nothing": {environ: map[string]string{"HOME": bare}, want: "no cluster to work with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, _, inCluster, err := credentials(Options{Kubeconfig: tc.kubeconfig, Getenv: environment(tc.environ)})
			switch {
			case err != nil:
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error is %v, want %q", err, tc.want)
				}
			case config.Host != tc.want || inCluster:
				t.Errorf("server is %q, in cluster %t; want %q", config.Host, inCluster, tc.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		qps       float64
		burst     int
		wantQPS   float32
		wantBurst int
	}{
		"no limit":                   {wantQPS: -1},
		"a burst of its own":         {qps: 5, burst: 7, wantQPS: 5, wantBurst: 7},
		"the burst follows the rate": {qps: 0.4, wantQPS: 0.4, wantBurst: 1},
	} {
		if qps, burst := limits(tc.qps, tc.burst); qps != tc.wantQPS || burst != tc.wantBurst {
			t.Errorf("%s: %v, %d; want %v, %d", name, qps, burst, tc.wantQPS, tc.wantBurst)
		}
	}
}
