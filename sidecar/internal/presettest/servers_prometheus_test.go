//go:build presets

package presettest

import (
	"fmt"
	"strings"
)

// plain is page for names that may hold no hyphen.
func plain(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		text, err := get(e.url(path))
		return versionIn(strings.ReplaceAll(text, "inpod_", "inpod-")), err
	}
}

var allReread = not("all of it is re-read")

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

func prometheusApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"prometheus.yml": fmt.Sprintf(
			"global:\n  external_labels:\n    at: inpod-%s\nrule_files: [%s/rules/deep/*.yml]\n", v, e.conf)}
	}
	rules := func(_ env, v string) map[string]string {
		return map[string]string{"rules/deep/a.yml": "groups:\n- name: a\n  rules:\n  - record: inpod_" + v + "\n    expr: vector(1)\n"}
	}
	s := metricServers()[0]
	s.files, s.bad = nil, nil
	cells := byMetrics(true)
	cells[deleted] = want{result: proven, proof: "metrics", serves: nothing} // a pattern that matches nothing
	cells[mixed] = want{result: rejected, main: newOne}                      // it takes what is not a rule, and keeps the rules
	return app{
		server: s, version: []string{"prometheus", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/api/v1/status/config"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
			{name: "rules in a nested folder", text: rules, shows: plain("/api/v1/rules"), bad: broken(rules, "  - nonsense: here"), cells: cells},
		},
	}
}

func alertmanagerApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"alertmanager.yml": fmt.Sprintf(
			"route:\n  receiver: inpod-%s\nreceivers:\n- name: inpod-%s\ntemplates: [%s/templates/deep/*.tmpl]\n", v, v, e.conf)}
	}
	s := metricServers()[2]
	s.files, s.bad = nil, nil
	return app{
		server: s, version: []string{"prometheus-alertmanager", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/api/v2/status"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
		},
	}
}

func blackboxApp() app {
	conf := func(_ env, v string) map[string]string {
		return map[string]string{"blackbox.yml": "modules:\n  inpod-" + v + ":\n    prober: tcp\n"}
	}
	s := metricServers()[3]
	s.files, s.bad = nil, nil
	return app{
		server: s, version: []string{"prometheus-blackbox-exporter", "--version"},
		kinds: []fileKind{
			{name: "main", text: conf, shows: page("/config"), bad: broken(conf, "nonsense: here"), cells: byMetrics(false)},
		},
	}
}
