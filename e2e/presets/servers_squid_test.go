//go:build presets

package presets

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func squidApp() app {
	main := func(e env, v string) map[string]string { return map[string]string{"squid.conf": squidConf(e, v, "")} }
	include := oneFile("conf.d/deep/more.conf", "deny_info 302:http://x/inpod-%s at_include\n")
	rules := func(_ env, v string) map[string]string {
		return map[string]string{"rules/paths": map[string]string{"v1": "^/one\n", "v2": "^/two\n"}[v]}
	}
	users := oneFile("users", "%[1]s:"+apr1Secret+"\n")
	errorPage := oneFile("pages/MY_PAGE", "<html>inpod-%s</html>\n")
	script := oneFile("scripts/rewrite.sh", "#!/bin/sh\nwhile read -r line; do echo 'OK status=302 url=\"http://x/inpod-%s\"'; done\n")
	all := not("the directives that need a restart are in the main file")
	cells := func() map[editKind]want {
		return map[editKind]want{
			good: {result: unproven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
			mixed: {result: rejected, main: oldOne},
		}
	}
	// skips are the cells of what its validator does not look at, and it survives unless it is gone.
	skips := func(serves string) map[editKind]want {
		cells := cells()
		cells[bad], cells[mixed] = want{result: unproven, serves: serves}, want{result: unproven, serves: serves, main: newOne}
		return cells
	}
	return app{
		server: server{
			preset: "squid", program: "squid",
			argv: func(e env) []string { return []string{"squid", "-N", "-f", e.conf + "/squid.conf"} },
		},
		version: []string{"squid", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/main"), bad: broken(main, "acl x nonsense y"),
				restart: func(e env) map[string]string {
					return map[string]string{"squid.conf": squidConf(e, "v2", "workers 3\n")}
				},
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected}, restartOnly: {result: unproven}, deleted: {result: rejected},
					mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: proxiedRedirect("/include"), bad: broken(include, "acl x nonsense y"),
				cells: cells(),
			},
			{
				name: "certificate and key", text: certFiles("tls/tls.crt", "tls/tls.key"), shows: leaf(port2),
				bad: mismatched("tls/tls.crt", "tls/tls.key"), cells: cells(),
			},
			{
				name: "rules", text: rules, shows: squidRule, bad: func(env) map[string]string {
					return map[string]string{"rules/paths": "[\n"}
				},
				cells: skips(nothing),
			},
			{
				name: "user list", text: users, shows: proxyUser, bad: func(env) map[string]string {
					return map[string]string{"users": "nonsense\n"}
				},
				cells: skips(nothing),
			},
			{
				name: "error page", text: errorPage, shows: proxiedPage, cells: skips(nothing),
				bad: func(env) map[string]string { return map[string]string{"pages/MY_PAGE": ""} },
			},
			{name: "script", text: script, shows: proxiedRedirect("/script"), bad: broken(script, "nonsense here ((("), cells: skips(newOne)},
		},
	}
}

// apr1Secret is "secret" as htpasswd -m writes it.
const apr1Secret = "$apr1$inpodsal$wy87UY1kI6UkPJSJ7ssQG0"

func squidConf(e env, v, more string) string {
	return strings.NewReplacer("DATA", e.data, "CONF", e.conf, "LISTEN", e.listen(), "TLS", fmt.Sprintf("127.0.0.1:%d", e.port2),
		"VERSION", "inpod-"+v).Replace(`http_port LISTEN
https_port TLS tls-cert=CONF/tls/tls.crt tls-key=CONF/tls/tls.key
visible_hostname VERSION
pid_filename DATA/pid
cache_log DATA/cache.log
access_log none
cache_mem 8 MB
shutdown_lifetime 1 seconds
pinger_enable off
error_directory CONF/pages
auth_param basic program /usr/lib/squid/basic_ncsa_auth CONF/users
auth_param basic children 1 startup=1
auth_param basic credentialsttl 1 second
acl at_include urlpath_regex ^/include
acl ruled urlpath_regex "CONF/rules/paths"
acl at_private urlpath_regex ^/private
acl at_page urlpath_regex ^/page
acl at_script urlpath_regex ^/script
acl known proxy_auth REQUIRED
deny_info 302:http://x/known known
deny_info 302:http://x/ruled ruled
deny_info MY_PAGE at_page
include CONF/conf.d/deep/*.conf
url_rewrite_program /bin/sh CONF/scripts/rewrite.sh
url_rewrite_children 1 startup=1
url_rewrite_access allow at_script
url_rewrite_access deny all
http_access deny at_include
http_access deny ruled
http_access deny at_page
http_access deny at_private !known
http_access deny at_private known
http_access allow at_script
http_access deny all
`) + more
}

// proxied asks through the proxy, and returns where it leads to and what it says.
func proxied(e env, path, user string) (location, text string, err error) {
	proxy := &url.URL{Scheme: "http", Host: e.listen()}
	if user != "" {
		proxy.User = url.UserPassword(user, "secret")
	}
	client := http.Client{
		Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyURL(proxy)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Get("http://192.0.2.1" + path)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.Header.Get("Location"), string(body), err
}

func proxiedRedirect(path string) func(env) (string, error) {
	return func(e env) (string, error) {
		location, _, err := proxied(e, path, "")
		return versionIn(location), err
	}
}

func proxiedPage(e env) (string, error) {
	_, text, err := proxied(e, "/page", "")
	return versionIn(text), err
}

func squidRule(e env) (string, error) {
	for path, version := range map[string]string{"/one": "v1", "/two": "v2"} {
		location, _, err := proxied(e, path, "")
		if err != nil {
			return "", err
		}
		if location == "http://x/ruled" {
			return version, nil
		}
	}
	return "", nil
}

func proxyUser(e env) (string, error) {
	for _, user := range []string{"v1", "v2"} {
		location, _, err := proxied(e, "/private", user)
		if err != nil {
			return "", err
		}
		if location == "http://x/known" {
			return user, nil
		}
	}
	return "", nil
}
