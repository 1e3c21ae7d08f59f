//go:build presets

package presets

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const versionedApp = `import os
VERSION = "inpod-%s"
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    path = environ.get("PATH_INFO", "")
    if path == "/script":
        return [VERSION.encode()]
    if path == "/copied":
        return [open("copied.txt").read().encode()]
    return [os.environ.get("INPOD" + path.replace("/", "_").upper(), "").encode()]
application = app
`

func uwsgiApp() app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"uwsgi.ini": strings.NewReplacer("CONF", e.conf, "LISTEN", e.listen(), "VERSION", "inpod-"+v,
			"TLS", fmt.Sprintf("127.0.0.1:%d", e.port2), "DATA", e.data).Replace(`[uwsgi]
plugin = python3
master = true
processes = 2
http-socket = LISTEN
https-socket = TLS,CONF/tls/tls.crt,CONF/tls/tls.key
chdir = DATA
wsgi-file = CONF/app/page.py
env = INPOD_MAIN=VERSION
ini = CONF/conf.d/deep/more.ini
static-map = /static=CONF/html
`)}
	}
	include := oneFile("conf.d/deep/more.ini", "[uwsgi]\nenv = INPOD_INCLUDE=inpod-%s\n")
	script := oneFile("app/page.py", versionedApp)
	static := oneFile("html/index.txt", "inpod-%s\n")
	all := not("a reload starts the program again, with everything in its files")
	return app{
		server: server{
			preset: "uwsgi", program: "uwsgi-core",
			argv: func(e env) []string { return []string{"uwsgi-core", "--ini", e.conf + "/uwsgi.ini"} },
		},
		version: []string{"uwsgi-core", "--version"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/main"), bad: broken(main, "plugin = nonsense"),
				cells: map[editKind]want{ // what it does not know, it skips
					good: {result: proven}, bad: {result: proven}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: proven},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"), bad: broken(include, "plugin = nonsense"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: proven, main: newOne},
				},
			},
			{
				name: "certificate and key", text: certFiles("tls/tls.crt", "tls/tls.key"), shows: leaf(port2),
				bad: mismatched("tls/tls.crt", "tls/tls.key"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "script", text: script, shows: page("/script"), bad: broken(script, "nonsense here ((("),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: proven, serves: nothing}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: proven, serves: nothing, main: nothing},
				},
			},
			{
				name: "static file", text: static, shows: page("/static/index.txt"), cells: map[editKind]want{
					good: {result: proven}, bad: not("any content is good"), restartOnly: not("it is read at each request"),
					deleted: {result: proven, serves: nothing}, mixed: {result: proven, main: newOne},
				},
			},
		},
	}
}

func gunicornApp() app {
	a := gunicornWith("", nil)
	return a
}

// gunicornPreloads loads the code in its master, which a reload keeps.
func gunicornPreloads() app {
	a := gunicornWith("with --preload", []string{"--preload"})
	for i, k := range a.kinds {
		if k.name != "script" {
			continue
		}
		a.kinds[i].cells = map[editKind]want{
			good: {result: needsRestart}, bad: {result: needsRestart}, restartOnly: not("all of it needs a restart"),
			deleted: {result: needsRestart}, mixed: {result: needsRestart, main: oldOne},
		}
	}
	return a
}

func gunicornWith(variant string, args []string) app {
	main := func(e env, v string) map[string]string {
		return map[string]string{"gunicorn.conf.py": fmt.Sprintf("exec(open(%[1]q).read())\nbind = %[2]q\nworkers = 2\nchdir = %[3]q\n"+
			"raw_env = [%[4]q, more]\n", e.conf+"/conf.d/deep/more.inc", e.listen(), e.data, "INPOD_MAIN=inpod-"+v)}
	}
	include := oneFile("conf.d/deep/more.inc", "more = 'INPOD_INCLUDE=inpod-%s'\n")
	script := oneFile("app/page.py", versionedApp)
	all := not("every setting in a file is re-read")
	return app{
		variant: variant,
		server: server{
			preset: "gunicorn", program: "gunicorn",
			argv: func(e env) []string {
				return append(append([]string{"gunicorn", "-c", e.conf + "/gunicorn.conf.py"}, args...), "page:app")
			},
			// Its directory may not be in the volume: see TestGuard.
			setup: func(t *testing.T, e env) {
				must(t, os.WriteFile(e.data+"/page.py", []byte("exec(open('"+e.conf+"/app/page.py').read())\n"), 0o644))
				copyTo("copied.txt")(t, e)
			},
		},
		version: []string{"gunicorn", "--version"},
		kinds: []fileKind{
			{
				name: "main", text: main, shows: page("/main"), bad: broken(main, "nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"), bad: broken(include, "nonsense here"),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected, main: oldOne},
				},
			},
			{
				name: "script", text: script, shows: page("/script"), bad: broken(script, "nonsense here ((("),
				cells: map[editKind]want{
					good: {result: proven}, bad: {result: rejected}, restartOnly: all, deleted: {result: rejected},
					mixed: {result: rejected, main: oldOne},
				},
			},
			copiedAtTheStart(oneFile("source/copied.txt", "inpod-%s\n"), page("/copied")),
		},
	}
}
