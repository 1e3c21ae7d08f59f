package kubeapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDNSIsReadyOnlyWhenItsPodSaysSo(t *testing.T) {
	t.Parallel()
	const (
		deployment = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"
		pods       = "/api/v1/nodes/node-1/proxy/pods"
		ready      = "/api/v1/namespaces/kube-system/pods/coredns-a/proxy/ready"
		isReady    = `{"metadata":{"generation":2},"status":{"observedGeneration":2,"replicas":1,"updatedReplicas":1}}`
		hasPod     = `{"items":[{"metadata":{"namespace":"default","name":"coredns-b"}},{"metadata":{"namespace":"kube-system","name":"coredns-a"}}]}`
	)
	cases := map[string]struct {
		answers map[string]string
		want    string // empty if it is ready
	}{
		"everything is so":                {map[string]string{deployment: isReady, pods: hasPod, ready: "OK"}, ""},
		"it was not applied yet":          {map[string]string{pods: hasPod, ready: "OK"}, "404"},
		"the newest version is not known": {map[string]string{deployment: strings.Replace(isReady, `"observedGeneration":2`, `"observedGeneration":1`, 1), pods: hasPod, ready: "OK"}, "no ready pod yet"},
		"the kubelet has no pods yet":     {map[string]string{deployment: isReady, pods: `{"items":[]}`, ready: "OK"}, "not read its pods"},
		"the pod was killed meanwhile":    {map[string]string{deployment: isReady, pods: hasPod}, "coredns-a:8181/proxy/ready: 404"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer, ok := tc.answers[strings.Replace(r.URL.Path, "coredns-a:8181", "coredns-a", 1)]
				if !ok {
					http.NotFound(w, r)
					return
				}
				_, _ = w.Write([]byte(answer))
			}))
			defer server.Close()
			err := (&Client{server: server.URL, http: server.Client()}).DNSReady(t.Context(), "node-1")
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("not ready: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error is %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestNodeIsReadyWhenItsConditionSaysSo(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body string
		want string
	}{
		"ready":         {`{"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}}`, ""},
		"not ready":     {`{"status":{"conditions":[{"type":"Ready","status":"False","message":"no network yet"}]}}`, "no network yet"},
		"no word yet":   {`{"status":{}}`, "not reported yet"},
		"not an answer": {`<html>`, "invalid character"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := nodeReady([]byte(tc.body))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error is %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestFailureSaysWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ body, want string }{
		"a status object":      {`{"kind":"Status","message":"error trying to reach service","code":503}`, "error trying to reach service"},
		"a text":               {"[+]ping ok\n[-]etcd failed\n", "[+]ping ok\n[-]etcd failed"},
		"a long text":          {strings.Repeat("x", 1000), strings.Repeat("x", 300)},
		"an object without it": {`{"kind":"Status"}`, `{"kind":"Status"}`},
		"nothing":              {"", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := reason([]byte(tc.body)); got != tc.want {
				t.Errorf("reason is %q, want %q", got, tc.want)
			}
		})
	}
}
