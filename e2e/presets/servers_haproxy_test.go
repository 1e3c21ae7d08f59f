//go:build presets

package presets

import (
	"fmt"
	"maps"
	"strings"
)

func haproxyApp() app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"haproxy.cfg": strings.NewReplacer("DATA", e.data, "CONF", e.conf, "LISTEN", e.listen(),
			"TLS", fmt.Sprintf("127.0.0.1:%d", e.port2), "LIST", fmt.Sprintf("127.0.0.1:%d", e.port3), "VERSION", "inpod-"+v).Replace(`global
  stats socket DATA/sock
  lua-load CONF/scripts/page.lua
defaults
  mode http
  timeout client 5s
  timeout connect 5s
  timeout server 5s
  errorfile 503 CONF/errors/503.http
frontend f
  bind LISTEN
  bind TLS ssl crt CONF/tls/site.pem
  bind LIST ssl crt-list CONF/lists/crt.list
  http-request return status 200 content-type text/plain string VERSION if { path /main }
  http-request return status 200 content-type text/plain lf-string %[path,map(CONF/maps/page.map,none)] if { path /map }
  http-request return status 200 content-type text/plain string inpod-v1 if { path /rules } { hdr(X-Client) -f CONF/rules/one.lst }
  http-request return status 200 content-type text/plain string inpod-v2 if { path /rules }
  http-request use-service lua.page if { path /script }
  use_backend users if { path_beg /private }
  use_backend deep if { path /include }
  default_backend nobody
backend nobody
`)}
	}
	include := oneFile("conf.d/deep/more.cfg", "backend deep\n  http-request return status 200 content-type text/plain string inpod-%s\n")
	users := oneFile("users/users.cfg", "userlist people\n  user %[1]s insecure-password secret\nbackend users\n  http-request auth unless { http_auth(people) }\n  http-request return status 200\n")
	certs := func(_ env, v string) map[string]string {
		return map[string]string{"tls/site.pem": pairOf(v).cert + pairOf(v).key}
	}
	// A list of certificates that names one of two.
	list := func(e env, v string) map[string]string {
		return map[string]string{"lists/crt.list": fmt.Sprintf("%s/more/%s.pem\n", e.conf, v)}
	}
	fixed := func(env, string) map[string]string {
		files := map[string]string{}
		for _, v := range []string{"v1", "v2"} {
			files["more/"+v+".pem"] = pairOf(v).cert + pairOf(v).key
		}
		return files
	}
	withBoth := func(e env, v string) map[string]string {
		files := main(e, v)
		maps.Copy(files, fixed(e, v))
		return files
	}
	mapped := oneFile("maps/page.map", "/map inpod-%s\n")
	rules := func(_ env, v string) map[string]string {
		return map[string]string{"rules/one.lst": map[string]string{"v1": "me\n", "v2": "you\n"}[v]}
	}
	errorFile := oneFile("errors/503.http", "HTTP/1.0 503 x\r\nConnection: close\r\n\r\ninpod-%s\n")
	script := oneFile("scripts/page.lua", `core.register_service("page", "http", function(a)
  local r = "inpod-%s"
  a:set_status(200) a:add_header("content-length", string.len(r)) a:start_response() a:send(r)
end)
`)
	all := not("a reload starts the program again, with everything in its files")
	cells := func() map[editKind]want {
		return map[editKind]want{
			good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
			mixed: {result: rejected, main: oldOne},
		}
	}
	return app{
		server: server{
			preset: "haproxy", program: "haproxy",
			argv: func(e env) []string {
				return []string{"haproxy", "-W", "-f", e.conf + "/haproxy.cfg", "-f", e.conf + "/conf.d/deep", "-f", e.conf + "/users"}
			},
		},
		version: []string{"haproxy", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: withBoth, shows: page("/main"), bad: broken(main, " nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"), bad: broken(include, " nonsense here"),
				cells: cells(),
			},
			{
				name: "certificate and key", text: certs, shows: leaf(port2),
				bad: func(env) map[string]string {
					return map[string]string{"tls/site.pem": pairOf("v2").cert + pairOf("v1").key}
				},
				cells: cells(),
			},
			{
				name: "list of certificates", text: list, shows: leaf(func(e env) int { return e.port3 }),
				bad:   func(env) map[string]string { return map[string]string{"lists/crt.list": "/no/such.pem\n"} },
				cells: cells(),
			},
			{
				name: "map", text: mapped, shows: page("/map"), cells: map[editKind]want{
					good: {result: proven}, bad: not("a map has no wrong lines"), restartOnly: all, deleted: {result: rejected},
					mixed: {result: proven, main: newOne},
				},
			},
			{
				name: "rules", text: rules, shows: pageAs("/rules", "me"), cells: map[editKind]want{
					good: {result: proven}, bad: not("a list of patterns has no wrong lines"), restartOnly: all,
					deleted: {result: rejected}, mixed: {result: proven, main: newOne},
				},
			},
			{name: "user list", text: users, shows: basicUser("/private"), bad: broken(users, " nonsense here"), cells: cells()},
			{
				name: "error page", text: errorFile, shows: page("/nobody"),
				bad: func(env) map[string]string {
					return map[string]string{"errors/503.http": "HTTP/1.0 503 x\r\n" + strings.Repeat("x", 20_000)}
				},
				cells: cells(),
			},
			{name: "script", text: script, shows: page("/script"), bad: broken(script, "nonsense here"), cells: cells()},
		},
	}
}
