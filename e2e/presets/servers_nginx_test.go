//go:build presets

package presets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func nginxApp() app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"nginx.conf": nginxConf(e, v, "$binary_remote_addr")}
	}
	include := oneFile("conf.d/deep/page.conf", "location = /include { return 200 inpod-%s; }\n")
	mapped := oneFile("maps/users.map", "default inpod-%s;\n")
	static := oneFile("html/index.txt", "inpod-%s\n")
	users := oneFile("users", "%[1]s:{PLAIN}secret\n")
	copied := oneFile("source/copied.conf", "location = /copied { return 200 inpod-%s; }\n")
	template := oneFile("templates/site.conf.template", "location = /template { return 200 inpod-%s; }\n")
	all := not("every directive is re-read")
	return app{
		server: server{
			preset: "nginx", program: "nginx",
			argv: func(e env) []string { return []string{"nginx", "-p", e.data, "-c", e.conf + "/nginx.conf"} },
			// As the entrypoint of the official image does: templates become configuration when the container starts.
			setup: func(t *testing.T, e env) {
				for from, to := range map[string]string{"templates/site.conf.template": "site.conf", "source/copied.conf": "copied.conf"} {
					text, err := os.ReadFile(filepath.Join(e.conf, from))
					must(t, err)
					must(t, os.WriteFile(filepath.Join(e.data, to), text, 0o644))
				}
			},
		},
		version: []string{"nginx", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/main"),
				bad: broken(main, "nonsense here;"),
				// Another key for a zone that exists: nginx -t finds nothing wrong, and the running nginx refuses it.
				restart: func(e env) map[string]string {
					return map[string]string{"nginx.conf": nginxConf(e, "v2", "$uri")}
				},
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: {result: rejected},
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"),
				bad: broken(include, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: proven, serves: nothing}, // a pattern that matches nothing
					mixed:   {result: rejected, main: oldOne},
				},
			},
			{
				name: "map", text: mapped, shows: page("/map"), bad: broken(mapped, "nonsense"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls/tls.crt", "tls/tls.key"), shows: leaf(port2),
				bad: mismatched("tls/tls.crt", "tls/tls.key"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: rejected}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "user list", text: users, shows: basicUser("/private"),
				bad: func(env) map[string]string { return map[string]string{"users": "nonsense\n"} },
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven, serves: nothing}, // it is read at each request
					restartOnly: not("it is read at each request"),
					deleted:     {result: proven, serves: nothing}, mixed: {result: proven, serves: nothing, main: newOne},
				},
			},
			{
				name: "static file", text: static, shows: page("/index.txt"),
				cells: map[editKind]want{
					good: {result: proven}, bad: not("any content is good"), restartOnly: not("it is read at each request"),
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, main: newOne},
				},
			},
			{
				name: "template rendered at the start", text: template, shows: page("/template"),
				bad: broken(template, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: needsRestart}, bad: {result: needsRestart}, restartOnly: not("all of it needs a restart"),
					deleted: {result: needsRestart}, mixed: {result: needsRestart, main: oldOne},
				},
			},
			{
				name: "file copied at the start", text: copied, shows: page("/copied"), bad: broken(copied, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: needsRestart}, bad: {result: needsRestart}, restartOnly: not("all of it needs a restart"),
					// Nobody can open what is gone, so that nothing is known.
					deleted: {result: unproven, serves: oldOne}, mixed: {result: unproven, serves: oldOne, main: newOne},
				},
			},
		},
	}
}

func nginxConf(e env, v, limit string) string {
	return strings.NewReplacer("DATA", e.data, "CONF", e.conf, "LISTEN", e.listen(), "TLS", fmt.Sprintf("127.0.0.1:%d", e.port2),
		"VERSION", "inpod-"+v, "LIMIT", limit).Replace(`daemon off; pid DATA/pid; error_log DATA/err;
events {}
http {
  access_log off;
  limit_req_zone LIMIT zone=one:1m rate=1000r/s;
  map $uri $mapped { include CONF/maps/users.map; }
  server {
    listen LISTEN; listen TLS ssl;
    ssl_certificate CONF/tls/tls.crt; ssl_certificate_key CONF/tls/tls.key;
    root CONF/html;
    location = /main { return 200 VERSION; }
    location = /map { return 200 $mapped; }
    location /private { auth_basic x; auth_basic_user_file CONF/users; }
    include DATA/site.conf;
    include DATA/copied.conf;
    include CONF/conf.d/deep/*.conf;
  }
}
`)
}

// oneFile is a file whose version is put into the format.
func oneFile(name, format string) func(env, string) map[string]string {
	return func(_ env, v string) map[string]string { return map[string]string{name: fmt.Sprintf(format, v)} }
}
