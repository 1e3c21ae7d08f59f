package reload

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/preset"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
)

// runningNginx is a Reloader that sees an nginx with that configuration, and a folder of watched files.
func runningNginx(t *testing.T, conf string, watched ...string) (r *Reloader, target process.Process, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range watched {
		write(t, filepath.Join(dir, name), "x")
	}
	write(t, dir+"/etc/nginx.conf", strings.ReplaceAll(conf, "DIR", dir))
	row, err := preset.ByName("nginx")
	if err != nil {
		t.Fatal(err)
	}
	target = process.Process{PID: 7, Comm: "nginx", Args: []string{"nginx: master process nginx -c " + dir + "/etc/nginx.conf"}}
	return &Reloader{Plan: Plan{Row: row}, Secrets: []string{dir}, Table: process.Table{Root: filepath.Join(dir, "proc")}}, target, dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAReloadIsJudgedByTheFilesThatChanged(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		conf        string
		changed     []string
		opened      []string // by the application, after the trigger
		disturbed   bool
		replaced    bool // after the trigger
		remove      bool // before the reload
		unknown     bool
		wantBefore  agent.Result
		want        agent.Result
		wantProven  bool
		wantMessage string
	}{
		"the main file":                     {changed: []string{"etc/nginx.conf"}, want: agent.Applied, wantProven: true},
		"an include by a pattern":           {conf: "include DIR/etc/conf.d/*.conf;", changed: []string{"etc/conf.d/a.conf"}, want: agent.Applied, wantProven: true},
		"an include relative to the folder": {conf: "http { include conf.d/*.conf; }", changed: []string{"etc/conf.d/a.conf"}, want: agent.Applied, wantProven: true},
		"a certificate":                     {conf: "ssl_certificate DIR/tls/a.crt;", changed: []string{"tls/a.crt"}, want: agent.Applied, wantProven: true},
		"a page below the root":             {conf: "location / { root DIR/html; }", changed: []string{"html/a/b.html"}, want: agent.Applied, wantProven: true},
		"a file that is named nowhere, and opened": {
			changed: []string{"etc/other.conf"}, opened: []string{"etc/other.conf"}, want: agent.Applied, wantProven: true,
		},
		"a file that is copied at the start": {changed: []string{"source/a.conf"}, want: agent.NeedsRestart, wantMessage: "source/a.conf"},
		"a file named in a comment only":     {conf: "# include DIR/source/a.conf;", changed: []string{"source/a.conf"}, want: agent.NeedsRestart},
		"a copied file beside the main one": {
			changed: []string{"etc/nginx.conf", "source/a.conf"}, want: agent.Applied, wantMessage: "not proven for",
		},
		"a copied file, opened while the sidecar looked": {
			changed: []string{"source/a.conf"}, opened: []string{"source/a.conf"}, disturbed: true, want: agent.Applied, wantMessage: "not proven for",
		},
		"a copied file, with a configuration that is not all to be seen": {
			conf: "include DIR/elsewhere/b.conf;", changed: []string{"source/a.conf"}, want: agent.Applied, wantMessage: "elsewhere/b.conf is not to be seen here",
		},
		"a copied file that is replaced after the trigger": {
			changed: []string{"source/a.conf"}, replaced: true, want: agent.Applied, wantMessage: "not proven for",
		},
		"a copied file that is gone": {changed: []string{"source/a.conf"}, remove: true, want: agent.Applied, wantMessage: "gone"},
		"a template":                 {changed: []string{"templates/a.template"}, wantBefore: agent.NeedsRestart, wantMessage: "rendered"},
		"a template beside the main file": {
			changed: []string{"etc/nginx.conf", "templates/a.template"}, wantBefore: agent.NeedsRestart, wantMessage: "nothing was sent",
		},
		"nobody knows what changed, and there is a template": {
			changed: []string{"etc/nginx.conf", "templates/a.template"}, unknown: true, want: agent.Applied, wantMessage: "it is unknown whether",
		},
		"nobody knows what changed, and there is a file that is copied at the start": {
			changed: []string{"etc/nginx.conf", "source/a.conf"}, unknown: true, want: agent.Applied, wantMessage: "not seen to read",
		},
		"nobody knows what changed, with a configuration that is not all to be seen": {
			conf: "include DIR/elsewhere/b.conf;", changed: []string{"etc/nginx.conf"}, unknown: true, want: agent.Applied, wantMessage: "elsewhere/b.conf",
		},
		"nobody knows what changed": {changed: []string{"etc/nginx.conf"}, unknown: true, want: agent.Applied, wantProven: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, target, dir := runningNginx(t, tc.conf, tc.changed...)
			write(t, dir+"/etc/nginx.conf", strings.ReplaceAll(tc.conf, "DIR", dir))
			var change agent.Change
			volume := digest.Volume{Path: dir, Kind: digest.KindFolder, Entries: map[string]digest.Entry{}}
			for _, file := range tc.changed {
				change.Files = append(change.Files, filepath.Join(dir, file))
				volume.Entries[file] = digest.Entry{}
			}
			if tc.unknown {
				change = agent.Change{FilesUnknown: true, State: digest.State{Volumes: []digest.Volume{volume}}}
			}
			if tc.remove {
				if err := os.RemoveAll(filepath.Join(dir, tc.changed[0])); err != nil {
					t.Fatal(err)
				}
			}
			scans := int64(0)
			r.Scans = func() int64 { return scans }
			files := r.filesOf(&target, change)
			out, done := files.before()
			if done != (tc.wantBefore != "") || out.Result != tc.wantBefore || done && !strings.Contains(out.Message, tc.wantMessage) {
				t.Fatalf("before: %+v, want %q with %q", out, tc.wantBefore, tc.wantMessage)
			}
			if done {
				return
			}
			files.watch()
			defer files.close()
			for _, file := range tc.opened {
				if _, err := os.ReadFile(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
			if tc.replaced {
				write(t, dir+"/new", "y")
				if err := os.Rename(dir+"/new", filepath.Join(dir, tc.changed[0])); err != nil {
					t.Fatal(err)
				}
			}
			if tc.disturbed {
				scans += 2
			}
			out = files.after(agent.Outcome{Result: agent.Applied, Proven: true, Message: "sent"})
			out.Message = r.scrub(out.Message)
			if out.Result != tc.want || out.Proven != tc.wantProven || !strings.Contains(out.Message, tc.wantMessage) {
				t.Errorf("after: %+v; want %s, proven %v, %q", out, tc.want, tc.wantProven, tc.wantMessage)
			}
		})
	}
}

func TestWhereNobodyKnowsWhatChangedAProofMustBeOfTheContent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		preset     string
		verify     *Endpoint
		wantProven bool
	}{
		"a time of a reload says nothing of the files": {preset: "prometheus"},
		"nor do new workers":                           {preset: "gunicorn"},
		"the server was asked about each file":         {preset: "postgresql", wantProven: true},
		"the user's own URL answers":                   {preset: "prometheus", verify: &Endpoint{}, wantProven: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			r := &Reloader{Plan: Plan{Row: row, VerifyURL: tc.verify}}
			volume := digest.Volume{Path: "/v", Kind: digest.KindFolder, Entries: map[string]digest.Entry{"a": {}}}
			files := r.filesOf(nil, agent.Change{FilesUnknown: true, State: digest.State{Volumes: []digest.Volume{volume}}})
			out := files.after(agent.Outcome{Result: agent.Applied, Proven: true})
			if out.Proven != tc.wantProven || out.Proven == strings.Contains(out.Message, "it is unknown") {
				t.Errorf("%+v, want proven %v, with words when it is not", out, tc.wantProven)
			}
		})
	}
}

func TestADatabaseVouchesForTheFilesThatItReads(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files      []string
		unknown    bool
		wantProven bool
	}{
		"a file that it reads":                        {files: []string{"a.conf"}, wantProven: true},
		"a file that it does not read":                {files: []string{"b.conf"}},
		"any file, and it reads all of them":          {files: []string{"a.conf"}, unknown: true, wantProven: true},
		"any file, and one of them that nobody reads": {files: []string{"a.conf", "b.conf"}, unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := agent.Change{FilesUnknown: tc.unknown}
			volume := digest.Volume{Path: "/v", Kind: digest.KindFolder, Entries: map[string]digest.Entry{}}
			for _, file := range tc.files {
				change.Files = append(change.Files, "/v/"+file)
				volume.Entries[file] = digest.Entry{}
			}
			if tc.unknown {
				change.Files, change.State = nil, digest.State{Volumes: []digest.Volume{volume}}
			}
			s := server{change: change, watched: []string{"/v"}}
			p := &postgres{server: s, superuser: true, sources: map[string]bool{"/v/a.conf": true}}
			b := &pgbouncer{server: s, ini: iniFile{files: []string{"/v/a.conf"}}}
			for name, found := range map[string]finding{"postgresql": p.covered(), "pgbouncer": b.covered(t.Context(), nil)} {
				if found.result != agent.Applied || found.proven != tc.wantProven {
					t.Errorf("%s: %+v, want proven %v", name, found, tc.wantProven)
				}
			}
		})
	}
}

func TestTheConfigurationIsReadThroughTheProcessWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	r, target, dir := runningNginx(t, "", "source/a.conf")
	root := filepath.Join(dir, "proc", strconv.Itoa(target.PID), "root")
	write(t, root+dir+"/etc/nginx.conf", "include "+dir+"/source/a.conf;")
	m := r.mentionsOf(target, []string{dir + "/source/a.conf"})
	if len(m.by) != 1 || m.why != nil && !strings.Contains(m.why.Error(), "a.conf") {
		t.Errorf("named %v, %v; want the file that the application's own configuration names", m.by, m.why)
	}
}

func TestCodeOfGunicornNeedsARestartOnlyWithPreload(t *testing.T) {
	t.Parallel()
	row, err := preset.ByName("gunicorn")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want agent.Result
	}{
		"each worker loads the code": {},
		"the master loads the code":  {args: []string{"--preload"}, want: agent.NeedsRestart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Reloader{Plan: Plan{Row: row}}
			target := process.Process{PID: 7, Comm: "gunicorn", Args: append([]string{"gunicorn", "app:app"}, tc.args...)}
			if out, done := r.filesOf(&target, agent.Change{Files: []string{"/srv/app.py"}}).before(); out.Result != tc.want || done != (tc.want != "") {
				t.Errorf("%+v, want %q", out, tc.want)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	one, two, ca := newPair(t), newPair(t), newCA(t)
	cases := map[string]struct {
		files   map[string]string
		changed string
		want    string
	}{
		"they fit":                       {files: map[string]string{"tls.crt": one[0], "tls.key": one[1]}, changed: "tls.crt"},
		"a key of another certificate":   {files: map[string]string{"tls.crt": one[0], "tls.key": two[1]}, changed: "tls.crt", want: "does not match"},
		"the other one changed":          {files: map[string]string{"tls.crt": one[0], "tls.key": two[1]}, changed: "tls.key", want: "does not match"},
		"both in one file":               {files: map[string]string{"a.pem": one[0] + two[1]}, changed: "a.pem", want: "does not match"},
		"a certificate that is none":     {files: map[string]string{"tls.crt": "x", "tls.key": one[1]}, changed: "tls.crt", want: "no certificate"},
		"a key that is none":             {files: map[string]string{"tls.crt": one[0], "tls.key": "x"}, changed: "tls.key", want: "no key"},
		"a key with a password":          {files: map[string]string{"tls.crt": one[0], "tls.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----"}, changed: "tls.key"},
		"certificates of two names":      {files: map[string]string{"a.crt": one[0], "b.key": two[1]}, changed: "a.crt"},
		"a CA beside them":               {files: map[string]string{"ca.crt": two[0], "tls.crt": one[0], "tls.key": one[1]}, changed: "ca.crt"},
		"a bundle beside them":           {files: map[string]string{"a.crt": one[0], "a.key": one[1], "a.ca-bundle": ca}, changed: "a.key"},
		"a bundle that changed":          {files: map[string]string{"a.crt": one[0], "a.key": one[1], "a.ca-bundle": ca}, changed: "a.ca-bundle"},
		"a chain beside a key":           {files: map[string]string{"a.pem": ca, "a.key": one[1]}, changed: "a.key"},
		"a chain that changed":           {files: map[string]string{"a.pem": ca, "a.key": one[1]}, changed: "a.pem"},
		"a chain beside a good pair":     {files: map[string]string{"a.pem": two[0], "a.crt": one[0], "a.key": one[1]}, changed: "a.pem"},
		"a chain beside a bad pair":      {files: map[string]string{"a.pem": ca, "a.crt": one[0], "a.key": two[1]}, changed: "a.pem", want: "a.crt and key"},
		"of the certificates none fits":  {files: map[string]string{"a.pem": one[0], "a.crt": one[0], "a.key": two[1]}, changed: "a.key", want: "a.crt and key"},
		"what has nothing to do with it": {files: map[string]string{"tls.txt": "x", "tls.key": one[1]}, changed: "tls.txt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, text := range tc.files {
				write(t, filepath.Join(dir, file), text)
			}
			got := pairFaultOf(filepath.Join(dir, tc.changed))
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestACaddyfileSaysWhichFilesAreMissed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body, gone string
		want       bool
	}{
		"its path is named":         {body: "localhost {\n tls DIR/tls.crt DIR/tls.key\n}", gone: "tls.crt", want: true},
		"its name is named":         {body: "tls tls.crt tls.key", gone: "tls.key", want: true},
		"nothing names it":          {body: "tls DIR/tls.crt DIR/tls.key", gone: "ca.crt"},
		"another of a longer name":  {body: "tls DIR/other-ca.crt DIR/tls.key", gone: "ca.crt"},
		"the body cannot be read":   {gone: "tls.crt"},
		"a page that is named, too": {body: "error DIR/page.html", gone: "page.html"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			row, err := preset.ByName("caddy")
			if err != nil {
				t.Fatal(err)
			}
			if tc.body != "" {
				write(t, dir+"/Caddyfile", strings.ReplaceAll(tc.body, "DIR", dir))
			}
			r := &Reloader{Plan: Plan{Row: row, URL: &Endpoint{BodyFile: dir + "/Caddyfile"}}}
			out, done := r.filesOf(nil, agent.Change{Files: []string{filepath.Join(dir, tc.gone)}}).guard()
			if done != tc.want {
				t.Errorf("%v, %+v; want %v", done, out, tc.want)
			}
		})
	}
}

func TestAConfigurationOfAnotherRootIsDoubted(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		watched, root bool
		wantDoubt     bool
	}{
		"the application's own root":          {root: true},
		"what is watched is the same for all": {watched: true},
		"a file of the sidecar's image":       {wantDoubt: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, target, dir := runningNginx(t, "", "source/a.conf")
			if !tc.watched {
				r.Secrets = []string{dir + "/source"}
			}
			if tc.root {
				write(t, filepath.Join(dir, "proc", strconv.Itoa(target.PID), "root", dir, "etc", "nginx.conf"), "")
			}
			if m := r.mentionsOf(target, nil); (m.why != nil) != tc.wantDoubt {
				t.Errorf("%v, want a doubt: %v", m.why, tc.wantDoubt)
			}
		})
	}
}

func TestFilesThatAreReadAtEachUseNeedNoRestart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		preset, conf string
		want         agent.Result
	}{
		"a path of Lua modules":         {preset: "nginx", conf: `lua_package_path "DIR/lua/?.lua;;";`, want: agent.Applied},
		"a block of Lua":                {preset: "nginx", conf: "location / { content_by_lua_block { f() } }", want: agent.Applied},
		"JavaScript":                    {preset: "nginx", conf: "js_import main from /srv/main.js;", want: agent.Applied},
		"Perl":                          {preset: "nginx", conf: "perl_modules /srv/lib;", want: agent.Applied},
		"a certificate with a variable": {preset: "nginx", conf: "server { ssl_certificate $c.crt; }", want: agent.Applied},
		"a root with a variable":        {preset: "nginx", conf: "location / { root /srv/$host; }", want: agent.Applied},
		"variables that name no files":  {preset: "nginx", conf: "try_files $uri $uri/ /index.php?$args; proxy_set_header Host $host;", want: agent.NeedsRestart},
		"PHP as a module":               {preset: "apache2", conf: "LoadModule php_module modules/libphp.so", want: agent.Applied},
		"WSGI as a module":              {preset: "apache2", conf: "loadmodule wsgi_module mod_wsgi.so", want: agent.Applied},
		"a handler of PHP":              {preset: "apache2", conf: "SetHandler application/x-httpd-php", want: agent.Applied},
		"PHP in a process of its own":   {preset: "apache2", conf: `SetHandler "proxy:unix:/run/php.sock|fcgi://localhost"`, want: agent.NeedsRestart},
		"a variable of Apache":          {preset: "apache2", conf: "DocumentRoot ${ROOT}/html", want: agent.Applied},
		"variables of Debian":           {preset: "apache2", conf: "PidFile ${APACHE_PID_FILE}\nErrorLog ${APACHE_LOGS}/error.log", want: agent.NeedsRestart},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, target, dir := runningNginx(t, tc.conf, "data/a.json")
			row, err := preset.ByName(tc.preset)
			if err != nil {
				t.Fatal(err)
			}
			r.Plan.Row = row
			if tc.preset == "apache2" {
				target = process.Process{PID: 7, Comm: "apache2", Args: []string{"apache2", "-f", dir + "/etc/nginx.conf"}}
			}
			files := r.filesOf(&target, agent.Change{Files: []string{dir + "/data/a.json"}})
			files.watch()
			defer files.close()
			if out := files.after(agent.Outcome{Result: agent.Applied, Proven: true}); out.Result != tc.want || out.Proven {
				t.Errorf("%+v, want %s", out, tc.want)
			}
		})
	}
}
