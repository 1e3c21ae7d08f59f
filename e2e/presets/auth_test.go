//go:build presets

package presets

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Prometheus looks into its users for each request, and the header that fits comes with the same edit.
func TestPrometheusBehindAPassword(t *testing.T) {
	s := metricServers()[0]
	need(t, s.program)
	need(t, "htpasswd")
	e := newEnv(t)
	files := func(version, password string) map[string]string {
		line, err := output("htpasswd", "-nbBC", "4", "ops", password)
		must(t, err)
		_, hash, _ := strings.Cut(strings.TrimSpace(line), ":")
		f := s.files(e, version)
		f["web.yml"] = fmt.Sprintf("basic_auth_users: {ops: '%s'}\n", hash)
		f["header"] = "Basic " + base64.StdEncoding.EncodeToString([]byte("ops:"+password)) + "\n"
		return f
	}
	password, plain := "first", s.argv
	s.argv = func(e env) []string { return append(plain(e), "--web.config.file="+e.conf+"/web.yml") }
	s.shows = func(e env) (string, error) {
		request, err := http.NewRequest(http.MethodGet, e.url("/api/v1/status/config"), http.NoBody)
		if err != nil {
			return "", err
		}
		request.SetBasicAuth("ops", password)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return versionIn(string(text)), err
	}
	swap(t, e.conf, files("v1", password))
	afterTheStart()
	s.start(t, e)
	s.wantShown(t, e, "v1")
	afterTheStart()
	ended, stop := s.watchUntil(t, e, "--reload-url", e.url("/-/reload"), "--verify-url", e.url("/-/ready"),
		"--reload-header-from", "Authorization="+e.conf+"/header")
	defer stop()
	for _, step := range []struct{ version, password string }{{"v2", "first"}, {"v2", "second"}, {"v3", "third"}} {
		password = step.password
		swap(t, e.conf, files(step.version, step.password))
		if got := next(t, ended); got.Result != "applied" || !got.Proven || got.Proof != "metrics, verify URL" {
			t.Errorf("%v: %+v, want applied, proven by metrics and the verify URL", step, got)
		}
		s.wantShown(t, e, step.version)
	}
}
