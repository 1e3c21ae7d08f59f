//go:build presets

package presets

import (
	"fmt"
	"strings"
)

func apacheApp() app {
	main := func(e env, v string) map[string]string { return map[string]string{"httpd.conf": apacheConf(e, v)} }
	limits := func(_ env, v string) map[string]string {
		return map[string]string{"limits/limits.conf": fmt.Sprintf("ServerLimit %d\n", slots[v])}
	}
	include := oneFile("conf.d/deep/page.conf", "Redirect 302 /include http://x/inpod-%s\n")
	mapped := oneFile("maps/page.map", "page http://x/inpod-%s\n")
	users := oneFile("users", "%[1]s:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n") // secret
	static := oneFile("html/index.txt", "inpod-%s\n")
	folder := oneFile("html/sub/.htaccess", "Redirect 302 /sub http://x/inpod-%s\n")
	script := oneFile("scripts/page.lua", "function handle(r)\n r:puts('inpod-%s')\n return apache2.OK\nend\n")
	all := not("every directive is re-read")
	use := not("it is read when it is used")
	return app{
		server: server{
			preset: "apache2", program: "apache2",
			argv: func(e env) []string {
				return []string{"apache2", "-DFOREGROUND", "-d", e.data, "-f", e.conf + "/httpd.conf"}
			},
		},
		version: []string{"apache2", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/gone"), bad: broken(main, "Nonsense here"),
				// The rest of the file is taken.
				restart: broken(main, "ServerLimit 3"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: {result: unproven, message: "httpd.conf sets ServerLimit, which only a start reads"},
					deleted: {result: rejected}, mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: redirect("/include"), bad: broken(include, "Nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all,
					deleted: {result: proven, serves: nothing}, mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "limits (ServerLimit)", text: limits, shows: scoreboard, bad: broken(limits, "Nonsense here"),
				cells: map[editKind]want{
					good: {result: unproven, serves: oldOne, message: "limits.conf sets ServerLimit, which only a start reads"},
					bad:  {result: rejected}, restartOnly: not("each change of it needs a restart"),
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
				name: "map", text: mapped, shows: redirect("/map"), cells: map[editKind]want{
					good: {result: proven}, bad: not("a map has no wrong lines"), restartOnly: use,
					deleted: {result: rejected, serves: nothing}, mixed: {result: proven, main: newOne}, // it is read when it is used
				},
			},
			{
				name: "user list", text: users, shows: basicUser("/private"),
				bad: func(env) map[string]string { return map[string]string{"users": "nonsense\n"} },
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven, serves: nothing}, restartOnly: use,
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, serves: nothing, main: newOne},
				},
			},
			{
				name: "rules of a folder (.htaccess)", text: folder, shows: redirect("/sub/"), bad: broken(folder, "Nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven, serves: nothing}, restartOnly: use,
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, serves: nothing, main: newOne},
				},
			},
			{
				name: "static file", text: static, shows: page("/index.txt"), cells: map[editKind]want{
					good: {result: proven}, bad: not("any content is good"), restartOnly: use,
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, main: newOne},
				},
			},
			{
				name: "script", text: script, shows: page("/page.lua"), bad: broken(script, "nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven, serves: nothing}, restartOnly: use,
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, serves: nothing, main: newOne},
				},
			},
		},
	}
}

// slots is the ServerLimit of each version.
var slots = map[string]int{"v1": 2, "v2": 3}

// scoreboard shows the limit that the server has by the size of its scoreboard, which has a place for each of 25 threads of each process.
func scoreboard(e env) (string, error) {
	text, err := get(e.url("/server-status?auto"))
	for line := range strings.Lines(text) {
		if board, ok := strings.CutPrefix(line, "Scoreboard: "); ok {
			for v, limit := range slots {
				if len(strings.TrimSpace(board)) == 25*limit {
					return v, nil
				}
			}
		}
	}
	return "", err
}

func apacheConf(e env, v string) string {
	return strings.NewReplacer("DATA", e.data, "CONF", e.conf, "LISTEN", e.listen(), "TLS", fmt.Sprintf("127.0.0.1:%d", e.port2),
		"VERSION", "inpod-"+v).Replace(`ServerName x
DefaultRuntimeDir DATA
PidFile DATA/pid
ErrorLog DATA/err
Listen LISTEN
Listen TLS https
` + modules("mpm_event", "authz_core", "authn_core", "authz_user", "authn_file", "auth_basic", "alias", "rewrite", "socache_shmcb", "ssl", "dir", "lua", "status") + `
User www-data
Group www-data
Include CONF/limits/limits.conf
StartServers 1
<Location /server-status>
 SetHandler server-status
</Location>
DocumentRoot CONF/html
<Location /gone>
 ErrorDocument 404 VERSION
</Location>
<Directory CONF/html>
 AllowOverride All
</Directory>
RewriteEngine on
RewriteMap page txt:CONF/maps/page.map
RewriteRule ^/map$ ${page:page} [R=302,L]
<Location /private>
 AuthType Basic
 AuthName x
 AuthUserFile CONF/users
 Require valid-user
</Location>
Alias /page.lua CONF/scripts/page.lua
<Files page.lua>
 SetHandler lua-script
</Files>
<Directory CONF/scripts>
 Require all granted
</Directory>
<VirtualHost TLS>
 SSLEngine on
 SSLCertificateFile CONF/tls/tls.crt
 SSLCertificateKeyFile CONF/tls/tls.key
</VirtualHost>
IncludeOptional CONF/conf.d/deep/*.conf
`)
}

func modules(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", name, name)
	}
	return b.String()
}
