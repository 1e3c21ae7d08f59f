//go:build presets

package presets

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// one is a configuration of one file.
func one(name, format string, args func(e env, v string) []any) func(env, string) map[string]string {
	return func(e env, v string) map[string]string {
		return map[string]string{name: fmt.Sprintf(format, args(e, v)...)}
	}
}

// broken appends a line that no server understands to the last good version.
func broken(files func(env, string) map[string]string, line string) func(env) map[string]string {
	return func(e env) map[string]string {
		bad := files(e, "v2")
		for name := range bad {
			bad[name] += "\n" + line + "\n"
		}
		return bad
	}
}

// copiedAtTheStart is the kind of file that a container copies when it starts: no reload takes it, and nothing names it.
func copiedAtTheStart(text func(env, string) map[string]string, shows func(env) (string, error)) fileKind {
	unproven := want{result: unproven, serves: oldOne, message: "not seen to read it"}
	gone := unproven
	gone.message = "it is gone"
	beside := unproven
	beside.main = newOne
	return fileKind{
		name: "file copied at the start", text: text, shows: shows,
		cells: map[editKind]want{
			good: unproven, bad: anyContent, restartOnly: not("all of it needs a restart"), deleted: gone, mixed: beside,
		},
	}
}

// copyTo is a setup that copies a file of the volume, as an entrypoint does.
func copyTo(name string) func(t *testing.T, e env) {
	return func(t *testing.T, e env) {
		text, err := os.ReadFile(filepath.Join(e.conf, "source", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(e.data, name), text, 0o644))
	}
}

func servers() []server {
	return append(append(webServers(), metricServers()...), otherServers()...)
}

func webServers() []server {
	nginx := one("nginx.conf", "daemon off; pid %s/pid; error_log %s/err;\nevents {}\nhttp { access_log off; server { listen %s; return 200 inpod-%s; } }\n",
		func(e env, v string) []any { return []any{e.data, e.data, e.listen(), v} })
	haproxy := one("haproxy.cfg", "global\n stats socket %s/sock\ndefaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\nfrontend f\n bind %s\n http-request return status 200 content-type text/plain string inpod-%s\n",
		func(e env, v string) []any { return []any{e.data, e.listen(), v} })
	apache := one("httpd.conf", "ServerName x\nDefaultRuntimeDir %s\nPidFile %s/pid\nErrorLog %s/err\nListen %s\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nUser www-data\nGroup www-data\nDocumentRoot %s\nErrorDocument 404 inpod-%s\n",
		func(e env, v string) []any { return []any{e.data, e.data, e.data, e.listen(), e.data, v} })
	caddy := one("Caddyfile", "{\n admin 127.0.0.1:%d\n}\nhttp://%s {\n respond inpod-%s\n}\n",
		func(e env, v string) []any { return []any{e.port2, e.listen(), v} })
	squid := one("squid.conf", "http_port %s\nvisible_hostname inpod-%s\npid_filename %s/pid\ncache_log %s/cache.log\naccess_log none\ncache_mem 8 MB\nshutdown_lifetime 1 seconds\n",
		func(e env, v string) []any { return []any{e.listen(), v, e.data, e.data} })
	return []server{
		{
			preset: "nginx", program: "nginx", files: nginx, bad: broken(nginx, "nonsense here;"), wantProof: "workers renewed",
			argv:  func(e env) []string { return []string{"nginx", "-p", e.data, "-c", e.conf + "/nginx.conf"} },
			shows: page("/"),
		},
		{
			preset: "haproxy", program: "haproxy", files: haproxy, bad: broken(haproxy, " nonsense here"), wantProof: "workers renewed",
			argv:  func(e env) []string { return []string{"haproxy", "-W", "-f", e.conf + "/haproxy.cfg"} },
			shows: page("/"),
		},
		{
			preset: "apache2", program: "apache2", files: apache, bad: broken(apache, "Nonsense here"), wantProof: "workers renewed",
			argv: func(e env) []string {
				return []string{"apache2", "-DFOREGROUND", "-d", e.data, "-f", e.conf + "/httpd.conf"}
			},
			shows: page("/gone"),
		},
		{
			preset: "caddy", program: "caddy", files: caddy, bad: broken(caddy, "nonsense here {"), wantProof: "answer",
			argv: func(e env) []string {
				return []string{"caddy", "run", "--adapter", "caddyfile", "--config", e.conf + "/Caddyfile"}
			},
			sidecar: func(e env) []string {
				return []string{"--reload-url", fmt.Sprintf("http://127.0.0.1:%d/load", e.port2)}
			},
			shows: page("/"),
		},
		{
			preset: "squid", program: "squid", files: squid, bad: broken(squid, "acl x nonsense y"), wantProof: "alive",
			argv:  func(e env) []string { return []string{"squid", "-N", "-f", e.conf + "/squid.conf"} },
			shows: page("/"),
		},
		phpFPM(), uwsgi(), gunicorn(),
	}
}

func phpFPM() server {
	program := "php-fpm"
	if found, _ := filepath.Glob("/usr/sbin/php-fpm*"); len(found) > 0 {
		program = found[0]
	}
	files := one("fpm.conf", "[global]\npid=%s/pid\nerror_log=%s/err\n[inpod-%s]\nuser=www-data\nlisten=%s\npm=static\npm.max_children=2\n",
		func(e env, v string) []any { return []any{e.data, e.data, v, e.listen()} })
	return server{
		preset: "php-fpm", program: program, files: files, bad: broken(files, "nonsense = here"), wantProof: "workers renewed",
		argv: func(e env) []string { return []string{program, "-F", "-y", e.conf + "/fpm.conf"} },
		// A worker's title holds the name of its pool; the master's holds the path of the configuration.
		shows: func(e env) (string, error) {
			master := ""
			for _, line := range commandLines() {
				if strings.Contains(line, e.conf) && strings.Contains(line, "master") {
					master = line
				}
			}
			if master == "" {
				return "", os.ErrNotExist
			}
			var seen strings.Builder
			for _, line := range commandLines() {
				if strings.HasPrefix(line, "php-fpm: pool") {
					seen.WriteString(line)
				}
			}
			return versionIn(seen.String()), nil
		},
	}
}

func commandLines() []string {
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var lines []string
	for _, path := range found {
		text, _ := os.ReadFile(path)
		lines = append(lines, strings.ReplaceAll(string(text), "\x00", " "))
	}
	return lines
}

const wsgiApp = `import os
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["INPOD_TEST"].encode()]
application = app
`

func writeApp(t *testing.T, e env) {
	must(t, os.WriteFile(filepath.Join(e.data, "inpodapp.py"), []byte(wsgiApp), 0o644))
}

func uwsgi() server {
	files := one("uwsgi.ini", "[uwsgi]\nplugin = python3\nmaster = true\nprocesses = 2\nhttp-socket = %s\nchdir = %s\nwsgi-file = %s/inpodapp.py\nenv = INPOD_TEST=inpod-%s\n",
		func(e env, v string) []any { return []any{e.listen(), e.data, e.data, v} })
	return server{
		// Unknown keys are accepted in silence, so there is no bad edit to be seen.
		preset: "uwsgi", program: "uwsgi-core", files: files, setup: writeApp, wantProof: "workers renewed",
		argv:  func(e env) []string { return []string{"uwsgi-core", "--ini", e.conf + "/uwsgi.ini"} },
		shows: page("/"),
	}
}

func gunicorn() server {
	files := one("gunicorn.conf.py", "bind = %q\nworkers = 2\nchdir = %q\nraw_env = [%q]\n",
		func(e env, v string) []any { return []any{e.listen(), e.data, "INPOD_TEST=inpod-" + v} })
	return server{
		preset: "gunicorn", program: "gunicorn", files: files, setup: writeApp, wantProof: "workers renewed",
		bad:   broken(files, "nonsense here"),
		argv:  func(e env) []string { return []string{"gunicorn", "-c", e.conf + "/gunicorn.conf.py", "inpodapp:app"} },
		shows: page("/"),
	}
}

func metricServers() []server {
	prometheus := one("prometheus.yml", "global:\n  external_labels:\n    at: inpod-%s\n", func(_ env, v string) []any { return []any{v} })
	alertmanager := one("alertmanager.yml", "route:\n  receiver: inpod-%s\nreceivers:\n- name: inpod-%s\n",
		func(_ env, v string) []any { return []any{v, v} })
	blackbox := one("blackbox.yml", "modules:\n  inpod-%s:\n    prober: tcp\n", func(_ env, v string) []any { return []any{v} })
	at := func(e env) []string { return []string{"--reload-url", e.url("/-/reload")} }
	argv := func(program string, flags ...string) func(env) []string {
		return func(e env) []string {
			argv := []string{program}
			for _, f := range flags {
				f = strings.ReplaceAll(f, "CONF", e.conf)
				f = strings.ReplaceAll(f, "DATA", e.data)
				argv = append(argv, strings.ReplaceAll(f, "LISTEN", e.listen()))
			}
			return argv
		}
	}
	bySignal := server{
		preset: "prometheus", program: "prometheus", files: prometheus, bad: broken(prometheus, "nonsense: here"),
		argv: argv("prometheus", "--config.file=CONF/prometheus.yml", "--storage.tsdb.path=DATA/tsdb",
			"--web.listen-address=LISTEN"),
		sidecar: func(e env) []string { return []string{"--reload-signal", "HUP", "--probe-url", e.url("/metrics")} },
		shows:   page("/api/v1/status/config"), wantProof: "metrics",
	}
	byURL := bySignal
	byURL.sidecar = at
	byURL.argv = argv("prometheus", "--config.file=CONF/prometheus.yml", "--storage.tsdb.path=DATA/tsdb",
		"--web.listen-address=LISTEN", "--web.enable-lifecycle")
	return []server{
		byURL, bySignal,
		{
			preset: "alertmanager", program: "prometheus-alertmanager", files: alertmanager,
			bad: broken(alertmanager, "nonsense: here"), sidecar: at, shows: page("/api/v2/status"), wantProof: "metrics",
			argv: argv("prometheus-alertmanager", "--config.file=CONF/alertmanager.yml", "--storage.path=DATA/am",
				"--web.listen-address=LISTEN", "--cluster.listen-address="),
		},
		{
			preset: "blackbox_exporter", program: "prometheus-blackbox-exporter", files: blackbox,
			bad: broken(blackbox, "nonsense: here"), sidecar: at, shows: page("/config"), wantProof: "metrics",
			argv: argv("prometheus-blackbox-exporter", "--config.file=CONF/blackbox.yml", "--web.listen-address=LISTEN"),
		},
	}
}

func output(argv ...string) (string, error) {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	return string(out), err
}
