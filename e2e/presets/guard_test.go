//go:build presets

package presets

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard starts servers with odd arguments, and makes a mistake in what only those arguments lead to. A validator
// that reads something else lets it pass, and the server ends.
func TestGuard(t *testing.T) {
	t.Parallel()
	squid := func(e env, v string) map[string]string {
		return map[string]string{"squid.conf": "http_port " + e.listen() + "\nvisible_hostname inpod-" + v + "\npid_filename " + e.data + "/pid\n" +
			"cache_log " + e.data + "/cache.log\naccess_log none\ncache_mem 8 MB\nshutdown_lifetime 1 seconds\npinger_enable off\n"}
	}
	apache := func(e env, v string) map[string]string {
		return map[string]string{"httpd.conf": apacheBase(e) + "<IfDefine PROD>\nErrorDocument 404 inpod-" + v + "\n</IfDefine>\n"}
	}
	within := func(e env) map[string]string {
		return map[string]string{"httpd.conf": apacheBase(e) + "<IfDefine PROD>\nErrorDocument 404 inpod-v2\nNonsense here\n</IfDefine>\n"}
	}
	cases := map[string]struct {
		server  server
		want    string
		message string
	}{
		"apache: a mistake in what -D PROD switches on": {
			server: server{preset: "apache2", program: "apache2", files: apache, bad: within, shows: page("/gone"), argv: func(e env) []string {
				return []string{"apache2", "-D", "FOREGROUND", "-D", "PROD", "-d", e.data, "-f", e.conf + "/httpd.conf"}
			}},
			want: "rejected", message: "Nonsense",
		},
		"apache: the same, joined": {
			server: server{preset: "apache2", program: "apache2", files: apache, bad: within, shows: page("/gone"), argv: func(e env) []string {
				return []string{"apache2", "-DFOREGROUND", "-DPROD", "-d" + e.data, "-f" + e.conf + "/httpd.conf"}
			}},
			want: "rejected", message: "Nonsense",
		},
		"apache: defined by a directive on the command line": {
			server: server{preset: "apache2", program: "apache2", files: apache, bad: within, shows: page("/gone"), argv: func(e env) []string {
				return []string{"apache2", "-DFOREGROUND", "-C", "Define PROD", "-d", e.data, "-f", e.conf + "/httpd.conf"}
			}},
			want: "rejected", message: "Nonsense",
		},
		"apache: a file relative to the server root": {
			server: server{preset: "apache2", program: "apache2", files: apache, bad: within, shows: page("/gone"), argv: func(e env) []string {
				return []string{"apache2", "-DFOREGROUND", "-DPROD", "-d", e.conf, "-f", "httpd.conf"}
			}},
			want: "rejected", message: "Nonsense",
		},
		"squid: the file joined to its option": {
			server: server{preset: "squid", program: "squid", files: squid, bad: broken(squid, "acl x nonsense y"), shows: page("/"), argv: func(e env) []string {
				return []string{"squid", "-N", "-f" + e.conf + "/squid.conf"}
			}},
			want: "rejected", message: "nonsense",
		},
		"squid: in a cluster of flags, relative to its directory": {
			server: server{preset: "squid", program: "squid", files: squid, bad: broken(squid, "acl x nonsense y"), shows: page("/"), argv: func(e env) []string {
				relative, err := filepath.Rel(e.data, e.conf)
				must0(err)
				return []string{"squid", "-NYCf", relative + "/squid.conf"}
			}},
			want: "rejected", message: "nonsense",
		},
		"php-fpm: a prefix and settings on the command line": {
			server: server{
				preset: "php-fpm", program: phpFPM().program, files: phpFPM().files, bad: phpFPM().bad, shows: phpFPM().shows,
				argv: func(e env) []string {
					return []string{phpFPM().program, "-F", "-p", e.data, "-d", "memory_limit=9M", "--fpm-config=" + e.conf + "/fpm.conf"}
				},
			},
			want: "rejected", message: "nonsense",
		},
		"gunicorn: its configuration in the environment": {
			server: server{
				preset: "gunicorn", program: "env", files: gunicorn().files, bad: gunicorn().bad, setup: writeApp, shows: page("/"),
				argv: func(e env) []string {
					return []string{"env", "GUNICORN_CMD_ARGS=--config=" + e.conf + "/gunicorn.conf.py", "gunicorn", "inpodapp:application"}
				},
			},
			want: "rejected", message: "invalid syntax",
		},
		"gunicorn: its directory is in the volume": {
			server: server{
				preset: "gunicorn", program: "gunicorn", shows: page("/"), setup: writeApp, bad: func(e env) map[string]string { return inVolume(e, "v2") },
				files: inVolume,
				argv: func(e env) []string {
					return []string{"gunicorn", "-c", e.conf + "/gunicorn.conf.py", "inpodapp:app"}
				},
			},
			want: "needs restart", message: "directory",
		},
		"apache: a certificate that is not of its key": {
			server: server{
				preset: "apache2", program: "apache2", files: secure, shows: page("/gone"), argv: apacheApp().argv,
				bad: func(e env) map[string]string {
					files := secure(e, "v2")
					files["tls/tls.key"] = pairOf("v1").key
					return files
				},
			},
			want: "rejected", message: "tls.key",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tc.server
			need(t, s.program)
			e := newEnv(t)
			swap(t, e.conf, s.files(e, "v1"))
			if s.setup != nil {
				s.setup(t, e)
			}
			s.start(t, e)
			s.wantShown(t, e, "v1")
			afterTheStart()
			// The machine may run another server of the kind.
			pattern := filepath.Base(e.conf)
			if strings.HasPrefix(name, "gunicorn: its configuration") {
				pattern = "inpodapp:application"
			}
			s.sidecar = func(env) []string { return []string{"--reload-cmdline", pattern} }
			ended := s.watch(t, e)
			swap(t, e.conf, s.bad(e))
			got := next(t, ended)
			if got.Result != tc.want || !strings.Contains(got.Message, tc.message) {
				t.Errorf("%+v; want %s with %q", got, tc.want, tc.message)
			}
			s.wantShown(t, e, "v1")
		})
	}
}

func secure(e env, v string) map[string]string {
	return map[string]string{
		"httpd.conf": apacheBase(e) + modules("socache_shmcb", "ssl") + "SSLEngine on\nSSLCertificateFile " + e.conf + "/tls/tls.crt\nSSLCertificateKeyFile " +
			e.conf + "/tls/tls.key\n<VirtualHost " + e.listen() + ">\nSSLEngine off\nErrorDocument 404 inpod-" + v + "\n</VirtualHost>\n",
		"tls/tls.crt": pairOf(v).cert, "tls/tls.key": pairOf(v).key,
	}
}

// inVolume is a gunicorn that works in the folder of its configuration.
func inVolume(e env, v string) map[string]string {
	return map[string]string{
		"gunicorn.conf.py": "bind = '" + e.listen() + "'\nchdir = '" + e.conf + "/app'\nraw_env = ['INPOD_TEST=inpod-" + v + "']\n",
		"app/inpodapp.py":  wsgiApp,
	}
}

func apacheBase(e env) string {
	return strings.NewReplacer("DATA", e.data, "LISTEN", e.listen()).Replace("ServerName x\nDefaultRuntimeDir DATA\nPidFile DATA/pid\n" +
		"ErrorLog DATA/err\nListen LISTEN\n" + modules("mpm_event", "authz_core") + "User www-data\nGroup www-data\nDocumentRoot DATA\n")
}
