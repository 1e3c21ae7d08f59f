//go:build presets

package presets

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// plain is page for names that may hold no hyphen.
func plain(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		text, err := get(e.url(path))
		return versionIn(strings.ReplaceAll(text, "inpod_", "inpod-")), err
	}
}

var (
	allReread  = not("all of it is re-read")
	readAtUse  = not("it is read when it is used")
	anyContent = not("any content is good")
)

// byMetrics are the cells of what the server's own metrics prove.
func byMetrics(withMain bool) map[editKind]want {
	w := map[editKind]want{
		good: {result: proven, proof: "metrics"}, bad: {result: rejected}, restartOnly: allReread,
		deleted: {result: rejected}, mixed: {result: rejected},
	}
	if withMain {
		w[mixed] = want{result: rejected, main: oldOne}
	}
	return w
}

// aside are the cells of what the server reads by itself, and not when it reloads: the metrics say nothing of it. name is
// in the message.
func aside(name string) map[editKind]want {
	says := "not proven for "
	return map[editKind]want{
		good: {result: unproven, message: says}, bad: {result: unproven, serves: nothing, message: name}, restartOnly: readAtUse,
		deleted: {result: unproven, serves: nothing, message: name}, mixed: {result: unproven, serves: nothing, main: newOne, message: name},
	}
}

// webConfig is the kind of file by which a server of the Prometheus family gets TLS, users and headers. It is read for each
// connection and each request.
func webConfig() fileKind {
	text := oneFile("web/web.yml", "http_server_config:\n  headers:\n    Content-Security-Policy: inpod-%s\n")
	return fileKind{
		name: "web.config", text: text, bad: broken(text, "nonsense: here"),
		// Whether there is TLS is asked at the start only.
		restart: func(e env) map[string]string {
			files := text(e, "v1")
			files["web/web.yml"] += fmt.Sprintf("tls_server_config: {cert_file: %s/tls/ca.crt, key_file: %s/tls/ca.key}\n", e.conf, e.conf)
			return files
		},
		shows: func(e env) (string, error) {
			client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
			response, err := client.Get(e.url("/-/healthy"))
			if err != nil {
				return "", err
			}
			defer response.Body.Close()
			return versionIn(response.Header.Get("Content-Security-Policy")), nil
		},
		cells: map[editKind]want{
			good: {result: unproven, message: "web.yml"},
			// It answers 500 to every request, also to the one that asks for a reload.
			bad: {result: rejected, serves: nothing}, restartOnly: {result: unproven, serves: oldOne, message: "web.yml"},
			deleted: {result: rejected, serves: nothing}, mixed: {result: rejected, serves: nothing, main: nothing},
		},
	}
}

// authority and password are files that the server reads each time that it speaks to others.
func authority(prompt func(env)) fileKind {
	text := func(_ env, v string) map[string]string {
		return map[string]string{"tls/ca.crt": pairOf(v).cert, "tls/ca.key": pairOf("v1").key}
	}
	return fileKind{
		name: "authority (ca_file)", text: text, bad: broken(oneFile("tls/ca.crt", "%s"), "nonsense"),
		shows: peerSees(prompt, func(a asked) string { return a.peer }), cells: aside("ca.crt"),
	}
}

func password(prompt func(env)) fileKind {
	cells := aside("password")
	cells[bad] = anyContent
	cells[mixed] = want{result: unproven, main: newOne, message: "password"}
	return fileKind{
		name: "password (password_file)", text: oneFile("secrets/password", "%s"),
		shows: peerSees(prompt, func(a asked) string { return a.password }), cells: cells,
	}
}

func prometheusApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"prometheus.yml": strings.NewReplacer("VERSION", "inpod-"+v, "CONF", e.conf,
			"PORT2", fmt.Sprint(e.port2), "PORT3", fmt.Sprint(e.port3)).Replace(`global:
  scrape_interval: 200ms
  scrape_timeout: 200ms
  external_labels:
    at: VERSION
rule_files: [CONF/rules/deep/*.yml]
scrape_configs:
- job_name: peers
  scheme: https
  tls_config:
    ca_file: CONF/tls/ca.crt
  basic_auth:
    username: x
    password_file: CONF/secrets/password
  static_configs:
  - targets: ["127.0.0.1:PORT2", "127.0.0.1:PORT3"]
- job_name: found
  file_sd_configs:
  - files:
    - CONF/targets/deep/*.yml
`)}
	}
	rules := func(_ env, v string) map[string]string {
		return map[string]string{"rules/deep/a.yml": "groups:\n- name: a\n  rules:\n  - record: inpod_" + v + "\n    expr: vector(1)\n"}
	}
	targets := oneFile("targets/deep/a.yml", "- targets: [\"127.0.0.1:1\"]\n  labels: {at: inpod-%s}\n")
	s := metricServers()[0]
	s.files, s.bad = nil, nil
	argv := s.argv
	s.argv = func(e env) []string { return append(argv(e), "--web.config.file="+e.conf+"/web/web.yml") }
	s.setup = func(t *testing.T, e env) { startPeers(t, e, false) }
	ruleCells := byMetrics(true)
	ruleCells[deleted] = want{result: proven, proof: "metrics", serves: nothing} // a pattern that matches nothing
	ruleCells[mixed] = want{result: rejected, main: newOne}                      // it takes what is not a rule, and keeps the rules
	return app{
		server: s, version: []string{"prometheus", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/api/v1/status/config"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
			{name: "rules in a nested folder", text: rules, shows: plain("/api/v1/rules"), bad: broken(rules, "  - nonsense: here"), cells: ruleCells},
			{
				name: "targets (file_sd) in a nested folder", text: targets, bad: broken(targets, "nonsense: here"),
				shows: page("/api/v1/targets?state=active"),
				cells: map[editKind]want{
					good: {result: unproven, message: "a.yml"}, bad: {result: unproven, serves: oldOne, message: "a.yml"}, // a counter shows it
					// It would drop the targets, but for the reload, after which it does not know any more that it had them.
					restartOnly: readAtUse, deleted: {result: unproven, serves: oldOne, message: "a.yml"},
					mixed: {result: unproven, serves: oldOne, main: newOne, message: "a.yml"},
				},
			},
			authority(nil), password(nil), webConfig(),
		},
	}
}

// alerts numbers alerts, so that each is one of its own.
var alerts atomic.Int64

// alert makes the server notify its receiver.
func alert(e env) {
	body, _ := json.Marshal([]map[string]any{{"labels": map[string]string{"alertname": fmt.Sprint(alerts.Add(1))}}})
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if response, err := client.Post(e.url("/api/v2/alerts"), "application/json", strings.NewReader(string(body))); err == nil {
		_ = response.Body.Close()
	}
}

func alertmanagerApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"alertmanager.yml": strings.NewReplacer("VERSION", "inpod-"+v, "CONF", e.conf,
			"PORT2", fmt.Sprint(e.port2)).Replace(`route:
  receiver: VERSION
  group_by: [alertname]
  group_wait: 1ms
receivers:
- name: VERSION
  slack_configs:
  - api_url: http://127.0.0.1:PORT2/template
    title: '{{ template "inpod" . }}'
  - api_url_file: CONF/secrets/url
templates: [CONF/templates/deep/*.tmpl]
`)}
	}
	template := oneFile("templates/deep/a.tmpl", "{{ define \"inpod\" }}inpod-%s{{ end }}\n")
	url := func(e env, v string) map[string]string {
		return map[string]string{"secrets/url": fmt.Sprintf("http://127.0.0.1:%d/%s", e.port2, v)}
	}
	s := metricServers()[2]
	s.files, s.bad = nil, nil
	argv := s.argv
	s.argv = func(e env) []string { return append(argv(e), "--web.config.file="+e.conf+"/web/web.yml") }
	s.setup = func(t *testing.T, e env) { startPeers(t, e, true) }
	templateCells := byMetrics(true)
	templateCells[deleted] = want{result: proven, proof: "metrics", serves: nothing} // a pattern that matches nothing
	return app{
		server: s, version: []string{"prometheus-alertmanager", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/api/v2/status"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
			{
				name: "template in a nested folder", text: template, bad: broken(template, "{{ nonsense"), cells: templateCells,
				shows: peerSees(alert, func(a asked) string {
					if a.path != "/template" {
						return ""
					}
					_, title, _ := strings.Cut(a.body, `"title":"`)
					title, _, _ = strings.Cut(title, `"`)
					return versionIn(title)
				}),
			},
			{
				name: "address (api_url_file)", text: url, bad: func(env) map[string]string { return map[string]string{"secrets/url": "nonsense"} },
				cells: aside("url"),
				shows: peerSees(alert, func(a asked) string { return strings.TrimPrefix(strings.TrimPrefix(a.path, "/template"), "/") }),
			},
			webConfig(),
		},
	}
}

func blackboxApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"blackbox.yml": strings.NewReplacer("VERSION", "inpod-"+v, "CONF", e.conf).Replace(`modules:
  VERSION:
    prober: tcp
  peer:
    prober: http
    http:
      tls_config: {ca_file: CONF/tls/ca.crt}
      basic_auth:
        username: x
        password_file: CONF/secrets/password
`)}
	}
	probe := func(e env) {
		for _, port := range []int{e.port2, e.port3} {
			_, _ = get(e.url(fmt.Sprintf("/probe?module=peer&target=https://127.0.0.1:%d", port)))
		}
	}
	s := metricServers()[3]
	s.files, s.bad = nil, nil
	argv := s.argv
	s.argv = func(e env) []string { return append(argv(e), "--web.config.file="+e.conf+"/web/web.yml") }
	s.setup = func(t *testing.T, e env) { startPeers(t, e, false) }
	return app{
		server: s, version: []string{"prometheus-blackbox-exporter", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/config"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
			authority(probe), password(probe), webConfig(),
		},
	}
}
