//go:build presets

package presets

import (
	"fmt"
	"strings"
)

func caddyApp() app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"Caddyfile": strings.NewReplacer("CONF", e.conf, "LISTEN", e.listen(), "VERSION", "inpod-"+v,
			"ADMIN", fmt.Sprint(e.port3), "TLS", fmt.Sprint(e.port2), "DATA", e.data).Replace(`{
  admin 127.0.0.1:ADMIN
  storage file_system DATA
  auto_https off
}
http://LISTEN {
  respond /main VERSION
  import CONF/conf.d/deep/*.caddy
  root * CONF/html
  handle /copied.txt {
    root * DATA
    file_server
  }
  templates
  file_server
}
https://localhost:TLS {
  bind 127.0.0.1
  tls CONF/tls/tls.crt CONF/tls/tls.key
  respond ok
}
`)}
	}
	include := oneFile("conf.d/deep/page.caddy", "respond /include inpod-%s\n")
	static := oneFile("html/index.txt", "inpod-%s\n")
	all := not("every directive is re-read")
	use := not("it is read at each request")
	return app{
		server: server{
			preset: "caddy", program: "caddy",
			argv: func(e env) []string {
				return []string{"caddy", "run", "--adapter", "caddyfile", "--config", e.conf + "/Caddyfile"}
			},
			sidecar: func(e env) []string {
				return []string{"--reload-url", fmt.Sprintf("http://127.0.0.1:%d/load", e.port3)}
			},
			setup: copyTo("copied.txt"),
		},
		version: []string{"caddy", "version"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/main"), bad: broken(main, "nonsense here {"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: failed}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"), bad: broken(include, "nonsense here {"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: proven, serves: nothing}, mixed: {result: rejected, main: oldOne},
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
				name: "static file", text: static, shows: page("/index.txt"), cells: map[editKind]want{
					good: {result: proven}, bad: not("any content is good"), restartOnly: use,
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, main: newOne},
				},
			},
			copiedAtTheStart(oneFile("source/copied.txt", "inpod-%s\n"), page("/copied.txt")),
		},
	}
}
