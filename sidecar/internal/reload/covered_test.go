package reload

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
)

func TestAProofOfAReloadIsOneForTheFilesOnlyThatAReloadChecks(t *testing.T) {
	t.Parallel()
	prometheus := `global: {scrape_interval: 1s}
rule_files: [DIR/rules/*.yml]
scrape_config_files:
- jobs/*.yml
scrape_configs:
- job_name: a
  tls_config: {ca_file: DIR/tls/ca.crt}
  file_sd_configs:
  - files:
    - "DIR/targets/*.yml"
`
	nats := "listen: 1\ntls { cert_file: \"DIR/tls/tls.crt\", key_file = 'DIR/tls/tls.key' }\n" +
		"leafnodes { remotes [ { url: x, credentials: DIR/a.creds } ] }\ninclude \"more.conf\"\nresolver { type: full, dir: 'DIR/jwt' }\n"
	for name, tc := range map[string]struct {
		preset, main, text string
		more               map[string]string
		changed            []string
		unread             bool // nobody opens what changed
		unseen             bool // the process
		unknown            bool
		verify             *Endpoint
		wantProven         bool
		wantMessage        string
	}{
		"the main file":                     {main: "main.yml", changed: []string{"main.yml"}, wantProven: true},
		"the main file, which nobody opens": {main: "main.yml", changed: []string{"main.yml"}, unread: true, wantMessage: "main.yml"},
		"rules":                             {main: "main.yml", changed: []string{"rules/a.yml"}, wantProven: true},
		"rules that are gone":               {main: "main.yml", changed: []string{"rules/gone.yml"}, wantProven: true},
		"a part of the configuration": {
			main: "main.yml", more: map[string]string{"jobs/a.yml": "scrape_configs: []"}, changed: []string{"jobs/a.yml"}, wantProven: true,
		},
		"rules that a part of the configuration names as targets": {
			main: "main.yml", more: map[string]string{"jobs/a.yml": "files: [DIR/other/x.yml]"}, changed: []string{"other/x.yml"}, wantMessage: "x.yml",
		},
		"a file of targets":             {main: "main.yml", changed: []string{"targets/a.yml"}, wantMessage: "targets/a.yml: the proof (metrics) is of what a reload reads"},
		"a CA":                          {main: "main.yml", changed: []string{"tls/ca.crt"}, wantMessage: "ca.crt"},
		"a file that nothing names":     {main: "main.yml", changed: []string{"web.yml"}, wantMessage: "web.yml"},
		"a CA beside the main file":     {main: "main.yml", changed: []string{"main.yml", "tls/ca.crt"}, wantMessage: "not proven for DIR/tls/ca.crt: "},
		"the user's own URL, with a CA": {main: "main.yml", changed: []string{"tls/ca.crt"}, verify: &Endpoint{}, wantProven: true},
		"no process, and the default":   {main: "prometheus.yml", changed: []string{"prometheus.yml"}, unseen: true, wantProven: true},
		"no process, and rules":         {main: "prometheus.yml", changed: []string{"rules/a.yml"}, unseen: true, wantProven: true},
		"no process, and a CA":          {main: "prometheus.yml", changed: []string{"tls/ca.crt"}, unseen: true, wantMessage: "ca.crt"},
		"no process, and another name":  {main: "main.yml", changed: []string{"main.yml"}, unseen: true, wantMessage: "is not to be seen here"},
		"no process, and a file that is only called like the default": {
			main: "main.yml", changed: []string{"other/prometheus.yml"}, unseen: true, wantMessage: "other/prometheus.yml",
		},
		"no process, and two defaults": {
			main: "prometheus.yml", more: map[string]string{"prometheus.yaml": ""}, changed: []string{"prometheus.yml"}, unseen: true, wantMessage: "is not to be seen here",
		},
		"nobody knows what changed, and all is checked": {
			main: "main.yml", changed: []string{"main.yml", "rules/a.yml"}, unknown: true, wantProven: true,
		},
		"nobody knows what changed, and there is a CA": {
			main: "main.yml", changed: []string{"main.yml", "tls/ca.crt"}, unknown: true, wantMessage: "it is unknown whether",
		},
		"a certificate of NATS": {preset: "nats-server", main: "nats.conf", text: nats, changed: []string{"tls/tls.crt", "tls/tls.key"}, wantProven: true},
		"an include of NATS": {
			preset: "nats-server", main: "nats.conf", text: nats, more: map[string]string{"more.conf": "{}"}, changed: []string{"more.conf"}, wantProven: true,
		},
		"credentials of NATS": {preset: "nats-server", main: "nats.conf", text: nats, changed: []string{"a.creds"}, wantMessage: "a.creds"},
		"an account of NATS":  {preset: "nats-server", main: "nats.conf", text: nats, changed: []string{"jwt/a.jwt"}, wantMessage: "a.jwt"},
		"configuration of NATS in JSON": {
			preset: "nats-server", main: "nats.conf", text: `{"tls": {"cert_file": "DIR/tls.crt", "credentials": "DIR/a.creds"}}`,
			changed: []string{"tls.crt", "a.creds"}, wantMessage: "not proven for DIR/a.creds: ",
		},
		"an include of Fluent Bit": {
			preset: "fluent-bit", main: "fluent-bit.conf", text: "[SERVICE]\n  Parsers_File parsers.conf\n@INCLUDE more.conf\n",
			more: map[string]string{"more.conf": ""}, changed: []string{"more.conf"}, wantProven: true,
		},
		"parsers of Fluent Bit": {
			preset: "fluent-bit", main: "fluent-bit.conf", text: "[SERVICE]\n  Parsers_File parsers.conf\n", changed: []string{"parsers.conf"}, wantMessage: "parsers.conf",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.preset == "" {
				tc.preset, tc.text = "prometheus", prometheus
			}
			dir := t.TempDir()
			files := map[string]string{tc.main: tc.text}
			for _, file := range tc.changed {
				if file != tc.main && !strings.Contains(file, "gone") {
					files[file] = "x"
				}
			}
			maps.Copy(files, tc.more)
			volume := digest.Volume{Path: dir, Kind: digest.KindFolder, Entries: map[string]digest.Entry{}}
			for file, text := range files {
				write(t, filepath.Join(dir, file), strings.ReplaceAll(text, "DIR", dir))
				volume.Entries[file] = digest.Entry{}
			}
			change := agent.Change{State: digest.State{Volumes: []digest.Volume{volume}}, FilesUnknown: tc.unknown}
			for _, file := range tc.changed {
				if !tc.unknown {
					change.Files = append(change.Files, filepath.Join(dir, file))
				}
			}
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			configuration := *row.Configuration
			configuration.Defaults = []string{filepath.Join(dir, "prometheus.yml"), filepath.Join(dir, "prometheus.yaml")}
			row.Configuration = &configuration
			r := &Reloader{Plan: Plan{Row: row, VerifyURL: tc.verify}, Secrets: []string{dir}, Table: process.Table{Root: dir + "/proc"}}
			target := &process.Process{PID: 7, Comm: tc.preset, Args: []string{tc.preset, row.Configuration.Loose[0] + "=" + filepath.Join(dir, tc.main)}}
			if tc.unseen {
				target = nil
			}
			judge := r.filesOf(target, change)
			judge.watch()
			defer judge.close()
			for _, file := range tc.changed {
				if !tc.unread {
					_, _ = os.ReadFile(filepath.Join(dir, file)) // as the server does
				}
			}
			out := judge.after(agent.Outcome{Result: agent.Applied, Proven: true, Proof: string(row.Proof.Kind), Message: "sent"})
			out.Message = r.scrub(out.Message)
			want := strings.ReplaceAll(tc.wantMessage, "DIR", dir)
			if out.Result != agent.Applied || out.Proven != tc.wantProven || !strings.Contains(out.Message, want) || out.Proven != (out.Message == "sent") {
				t.Errorf("%+v; want proven %v, %q", out, tc.wantProven, want)
			}
		})
	}
}

func TestAServerThatNamesNotAllOfItsFilesProvesOnlyWhatItWasSeenToRead(t *testing.T) {
	t.Parallel()
	php := []string{"php-fpm: master process (DIR/main)"}
	for name, tc := range map[string]struct {
		preset, text string
		args         []string
		changed      string
		opened       bool
		wantProven   bool
	}{
		"a part of a Caddyfile":                  {preset: "caddy", text: "import DIR/parts/*", changed: "parts/a", wantProven: true},
		"a page below a root of a Caddyfile":     {preset: "caddy", text: "root * DIR/html", changed: "html/a.txt", wantProven: true},
		"a file beside a Caddyfile":              {preset: "caddy", text: "root * DIR/html", changed: "copied"},
		"a pool of PHP":                          {preset: "php-fpm", text: "include=DIR/pool.d/*.conf", args: php, changed: "pool.d/a.conf", wantProven: true},
		"a php.ini that PHP opens":               {preset: "php-fpm", args: php, changed: "php.ini", opened: true, wantProven: true},
		"a script that PHP opens at a request":   {preset: "php-fpm", args: php, changed: "page.php"},
		"settings of gunicorn":                   {preset: "gunicorn", args: []string{"gunicorn", "-c", "DIR/main"}, changed: "main", wantProven: true},
		"code that gunicorn opens":               {preset: "gunicorn", args: []string{"gunicorn", "app:app"}, changed: "app.py", opened: true, wantProven: true},
		"a file that gunicorn does not open":     {preset: "gunicorn", args: []string{"gunicorn", "app:app"}, changed: "copied"},
		"code that a worker has not yet come to": {preset: "gunicorn", args: []string{"gunicorn", "app:app"}, changed: "late.py"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			dir := written(t, map[string]string{tc.changed: "x", "main": tc.text})
			r := &Reloader{Plan: Plan{Row: row}, Secrets: []string{dir}, Table: process.Table{Root: dir + "/proc"}}
			var target *process.Process
			if tc.args != nil {
				process := running(dir, tc.args).Process
				target = &process
			} else {
				r.Plan.URL = &Endpoint{BodyFile: dir + "/main"}
			}
			judge := r.filesOf(target, agent.Change{Files: []string{filepath.Join(dir, tc.changed)}})
			judge.watch()
			defer judge.close()
			if tc.opened {
				_, _ = os.ReadFile(filepath.Join(dir, tc.changed))
			}
			out := judge.after(agent.Outcome{Result: agent.Applied, Proven: true})
			if out.Result != agent.Applied || out.Proven != tc.wantProven || !tc.wantProven && !strings.Contains(out.Message, "not seen to read it") {
				t.Errorf("%+v; want applied, proven %v", out, tc.wantProven)
			}
		})
	}
}

func TestADirectiveThatOnlyAStartReadsTakesTheProofFromItsFile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		conf, more string
		changed    string
		unknown    bool
		wantProven bool
	}{
		"the file sets none":             {conf: "Listen 80", changed: "httpd.conf", wantProven: true},
		"the file sets one":              {conf: "  serverlimit 3", changed: "httpd.conf"},
		"a comment sets one":             {conf: "# ServerLimit 3", changed: "httpd.conf", wantProven: true},
		"another file sets one":          {conf: "ServerLimit 3\nInclude more.conf", more: "Listen 80", changed: "more.conf", wantProven: true},
		"a file that is included":        {conf: "Include more.conf", more: "ThreadLimit 80", changed: "more.conf"},
		"nobody knows which one changed": {conf: "Include more.conf", more: "ThreadLimit 80", changed: "more.conf", unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir+"/httpd.conf", tc.conf)
			write(t, dir+"/more.conf", tc.more)
			row, err := preset.ByName("apache2")
			if err != nil {
				t.Fatal(err)
			}
			change := agent.Change{Files: []string{filepath.Join(dir, tc.changed)}}
			if tc.unknown {
				change = agent.Change{FilesUnknown: true, State: digest.State{Volumes: []digest.Volume{{
					Path: dir, Kind: digest.KindFolder, Entries: map[string]digest.Entry{"httpd.conf": {}, "more.conf": {}},
				}}}}
			}
			r := &Reloader{Plan: Plan{Row: row}, Secrets: []string{dir}, Table: process.Table{Root: dir + "/proc"}}
			target := process.Process{PID: 7, Comm: "apache2", Args: []string{"apache2", "-f", dir + "/httpd.conf"}}
			out := r.filesOf(&target, change).after(agent.Outcome{Result: agent.Applied, Proven: true})
			if out.Proven != tc.wantProven || !tc.wantProven && !strings.Contains(out.Message, "which only a start reads") {
				t.Errorf("%+v; want proven %v", out, tc.wantProven)
			}
		})
	}
}
