package reload

import (
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/process"
)

func TestExpand(t *testing.T) {
	t.Parallel()
	plain := &process.Process{Comm: "nats-server", Args: []string{"nats-server", "-c", "/a", "--config=/b", "-c", "/c"}}
	nginx := &process.Process{Comm: "nginx", Args: []string{"nginx: master process nginx -c /etc/n.conf"}}
	fpm := &process.Process{Comm: "php-fpm8.2", Args: []string{"php-fpm: master process (/etc/fpm.conf)"}}
	script := &process.Process{Comm: "gunicorn", Args: []string{"/usr/bin/python3", "/usr/bin/gunicorn", "-w", "2", "app"}}
	module := &process.Process{Comm: "python3", Args: []string{"python3", "-m", "gunicorn", "-w", "2", "app"}}
	cases := map[string]struct {
		template []string
		target   *process.Process
		want     []string
	}{
		"nothing to fill":                {template: []string{"a", "-t"}, want: []string{"a", "-t"}},
		"every value of a flag":          {template: []string{"a", "{-c=}"}, target: plain, want: []string{"a", "-c", "/a", "-c", "/c"}},
		"the value alone, joined":        {template: []string{"a", "--x={--config}"}, target: plain, want: []string{"a", "--x=/b"}},
		"a flag that is not there":       {template: []string{"a", "{-p=}"}, target: plain, want: []string{"a"}},
		"arguments in a title":           {template: []string{"nginx", "{-c=}"}, target: nginx, want: []string{"nginx", "-c", "/etc/n.conf"}},
		"the parentheses of a title":     {template: []string{"{comm}", "-y", "{title}"}, target: fpm, want: []string{"php-fpm8.2", "-y", "/etc/fpm.conf"}},
		"a title without parentheses":    {template: []string{"a", "{title}"}, target: nginx},
		"the arguments of a script":      {template: []string{"a", "{args}"}, target: script, want: []string{"a", "-w", "2", "app"}},
		"the arguments of a module":      {template: []string{"a", "{args}"}, target: module, want: []string{"a", "-w", "2", "app"}},
		"arguments hidden by a title":    {template: []string{"a", "{args}"}, target: fpm},
		"the name of nobody":             {template: []string{"{comm}", "-t"}},
		"no process, so no value":        {template: []string{"a", "{-c}"}, want: []string{"a"}},
		"braces that are the user's own": {template: []string{"a", "{", "x{y}z"}, want: []string{"a", "{", "x{y}z"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := new(Reloader).expand(tc.template, tc.target); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("loading a module\n", 50) + "FATAL: line 7\n"
	if got := clip(long); got != "FATAL: line 7" {
		t.Errorf("got %q, want the useful line", got)
	}
	if got := clip("a\x1b[31m\nb\n"); got != "a; [31m; b" {
		t.Errorf("got %q, want one line without control characters", got)
	}
	if got := clip(strings.Repeat("é", 500)); len(got) > 410 {
		t.Errorf("%d bytes, want about 400", len(got))
	}
}

func FuzzGauge(f *testing.F) {
	f.Add([]byte("# HELP a b\na 1\nab 2\na{x=\"y\"} 3\n"), "a")
	f.Fuzz(func(_ *testing.T, text []byte, name string) { _, _ = gauge(text, name) })
}

func TestGauge(t *testing.T) {
	t.Parallel()
	text := []byte("# TYPE a gauge\nab 2\na{x=\"y\"} 3\na 1.5e+09 1700000000\n")
	if got, ok := gauge(text, "a"); !ok || got != 1.5e9 {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := gauge(text, "b"); ok {
		t.Error("found what is not there")
	}
}
