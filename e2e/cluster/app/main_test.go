package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandsPrintWhatTheyAreAskedFor(t *testing.T) {
	t.Setenv("COLOR", "green")
	dir := t.TempDir()
	file := filepath.Join(dir, "conf")
	other := filepath.Join(t.TempDir(), "other")
	for name, content := range map[string]string{file: "v2\n", other: "plain\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(routes())
	defer server.Close()
	cases := map[string]struct {
		args    []string
		want    string
		wantErr string
	}{
		"a file":                      {[]string{"cat", file}, "v2\n", ""},
		"two files":                   {[]string{"cat", file, other}, "v2\nplain\n", ""},
		"a file that is not there":    {[]string{"cat", file + "x"}, "", "no such file"},
		"a folder":                    {[]string{"ls", dir}, "conf\n", ""},
		"a variable":                  {[]string{"env", "COLOR"}, "green\n", ""},
		"a variable that is not set":  {[]string{"env", "NO_SUCH_VARIABLE"}, "", "NO_SUCH_VARIABLE is not set"},
		"what a server says":          {[]string{"get", server.URL}, "ok\n", ""},
		"a variable of a server":      {[]string{"get", server.URL + "/env/COLOR"}, "green\n", ""},
		"a file of a server":          {[]string{"get", server.URL + "/file" + file}, "v2\n", ""},
		"what a server does not have": {[]string{"get", server.URL + "/env/NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is not set\n", "404"},
		"a command that there is not": {[]string{"dog"}, "", "there are: sleep, cat"},
		"a folder too many":           {[]string{"ls", dir, dir}, "", "2 arguments"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), tc.args, &out)
			if out.String() != tc.want {
				t.Errorf("printed %q, want %q", out.String(), tc.want)
			}
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("error is %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}

func TestSleepAndServeEndWhenTheyAreAsked(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"sleep"}, {"serve", "127.0.0.1:0"}} {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- run(ctx, args, &bytes.Buffer{}) }()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestWhatIsPostedIsKept(t *testing.T) {
	server := httptest.NewServer(routes())
	defer server.Close()
	for _, body := range []string{"{\"a\": 1}\n", "two"} {
		response, err := http.Post(server.URL+"/hook", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != http.StatusOK {
			t.Fatal(response.Status)
		}
	}
	var out bytes.Buffer
	if err := run(context.Background(), []string{"get", server.URL + "/hook"}, &out); err != nil || out.String() != "{\"a\": 1}\ntwo\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
