package reloadspec_test

import (
	"slices"
	"strings"
	"testing"

	"inpod.dev/inpod/internal/reloadspec"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"http://127.0.0.1:9090/-/reload", "https://x/", "http://user:p%40ss@x/?a=b",
		"unix:/run/a.sock", "unix:/run/a.sock:/reload", "unix:///run/a.sock:/reload",
	} {
		if err := reloadspec.CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "127.0.0.1:9090", "ftp://secret/", "http://", "http://%zz", "http://user:secret/x@h/", "secret",
		"unix:", "unix:/", "unix:secret", "unix:/a/../secret", "unix:/a:secret", "unix://secret/a.sock",
	} {
		err := reloadspec.CheckURL(bad)
		if err == nil {
			t.Errorf("%q: no error", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error %q repeats it", bad, err)
		}
	}
}

func TestSplitUnix(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"unix:/run/a.sock":         {"/run/a.sock", "/"},
		"unix:/run/a.sock:/reload": {"/run/a.sock", "/reload"},
		"unix:///run/a.sock:/x:y":  {"/run/a.sock", "/x:y"},
	} {
		socket, inRequest, ok := reloadspec.SplitUnix(text)
		if got := [2]string{socket, inRequest}; !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, ok, want)
		}
	}
	if _, _, ok := reloadspec.SplitUnix("http://x/"); ok {
		t.Error("http is taken for a socket")
	}
}

// Every reader takes what is written down for it, and refuses the rest with a way out.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		read func(text string) error
		good []string
		bad  []string
		says string
	}{
		"signal":   {of(reloadspec.ParseSignal), []string{"HUP", "sighup", " SIGUSR2 "}, []string{"", "KILL", "SEGV", "1"}, "HUP, USR1"},
		"pattern":  {of(reloadspec.ParsePattern), []string{"", "^a|b$"}, []string{"(", strings.Repeat("a", reloadspec.MaxPattern+1)}, "regular expression"},
		"method":   {reloadspec.CheckMethod, []string{"POST", "PUT"}, []string{"", "post", "PO ST", "PÖST"}, "capitals"},
		"statuses": {of(reloadspec.ParseStatuses), []string{"200", "200, 204", "200-299,304"}, []string{"", "x", "99", "600", "300-200", "200,", "200-"}, "200-299"},
		"command":  {of(reloadspec.ParseCommand), []string{`["nginx"]`, `["nginx","-t"]`}, []string{"", "nginx -t", "[]", `[""]`, `[1]`, `{}`, "null"}, "JSON"},
		"header":   {header, []string{"A=/b", "A=/b=c"}, []string{"", "A", "A=", "=/b", "A=b", "A: /b", "A=/b/../c", "Bearer x=/b"}, "NAME=FILE"},
		"duration": {of(reloadspec.ParseDuration), []string{"1s", "500ms"}, []string{"", "0", "0s", "-1s", "5"}, "above zero"},
		"count":    {of(reloadspec.ParseCount), []string{"1", "30"}, []string{"", "0", "-1", "1.5", "x"}, "at least 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range tc.good {
				if err := tc.read(text); err != nil {
					t.Errorf("%q: %v", text, err)
				}
			}
			for _, text := range tc.bad {
				if err := tc.read(text); err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%q: error %v, want one that says %q", text, err, tc.says)
				}
			}
		})
	}
}

func of[T any](parse func(text string) (T, error)) func(text string) error {
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}

func header(text string) error {
	_, _, err := reloadspec.ParseHeader(text)
	return err
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	list, err := reloadspec.ParseStatuses("200-204,304")
	if err != nil {
		t.Fatal(err)
	}
	var in []int
	for code := 100; code < 600; code++ {
		if list.Contain(code) {
			in = append(in, code)
		}
	}
	if want := []int{200, 201, 202, 203, 204, 304}; !slices.Equal(in, want) {
		t.Errorf("%v, want %v", in, want)
	}
	if none := reloadspec.Statuses(nil); !none.Contain(299) || none.Contain(300) || none.Contain(199) {
		t.Error("no list is not 200 to 299")
	}
}

func FuzzParseStatuses(f *testing.F) {
	f.Add("200-299,304")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := reloadspec.ParseStatuses(text)
		if err == nil && len(list) == 0 {
			t.Error("an empty list without an error")
		}
	})
}
