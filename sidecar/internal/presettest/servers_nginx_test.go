//go:build presets

package presettest

import "fmt"

func nginxApp() app {
	conf := func(e env, v string) map[string]string {
		return map[string]string{"nginx.conf": fmt.Sprintf(`daemon off; pid %[1]s/pid; error_log %[1]s/err;
events {}
http {
  access_log off;
  server { listen %[3]s; location = /main { return 200 inpod-%[4]s; } include %[2]s/conf.d/deep/*.conf; }
}
`, e.data, e.conf, e.listen(), v)}
	}
	include := func(_ env, v string) map[string]string {
		return map[string]string{"conf.d/deep/page.conf": "location = /include { return 200 inpod-" + v + "; }\n"}
	}
	return app{
		server: server{
			preset: "nginx", program: "nginx",
			argv: func(e env) []string { return []string{"nginx", "-p", e.data, "-c", e.conf + "/nginx.conf"} },
		},
		version: []string{"nginx", "-v"},
		kinds: []fileKind{
			{
				name: "main", text: conf, shows: page("/main"),
				bad: broken(conf, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected},
					restartOnly: not("every directive is re-read"),
					deleted:     {result: rejected},
					mixed:       {result: rejected},
				},
			},
			{
				name: "include in a nested folder", text: include, shows: page("/include"),
				bad: broken(include, "nonsense here;"),
				cells: map[editKind]want{
					good: {result: unproven}, bad: {result: rejected},
					restartOnly: not("every directive is re-read"),
					deleted:     {result: unproven, serves: nothing}, // a glob that matches nothing
					mixed:       {result: rejected, main: oldOne},
				},
			},
		},
	}
}
