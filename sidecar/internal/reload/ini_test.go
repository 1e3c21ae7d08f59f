package reload

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadINI(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files     map[string]string
		want      map[string]map[string]string
		wantFiles []string
		wantError string
	}{
		"comments and empty lines say nothing, and the last of a key counts": {
			files: map[string]string{"/d/a": "; x\n# y\n\n[s]\na = 1\na=2 ; not a comment\n"},
			want:  map[string]map[string]string{"s": {"a": "2 ; not a comment"}}, wantFiles: []string{"/d/a"},
		},
		"an included file goes on in the same section": {
			files: map[string]string{"/d/a": "[s]\n%include sub/b\nc = 3\n", "/d/sub/b": "b = 2\n[t]\n"},
			want:  map[string]map[string]string{"s": {"b": "2"}, "t": {"c": "3"}}, wantFiles: []string{"/d/a", "/d/sub/b"},
		},
		"a line that is nothing is an error":       {files: map[string]string{"/d/a": "[s]\nnonsense\n"}, wantError: "/d/a line 2"},
		"a section that is not closed is an error": {files: map[string]string{"/d/a": "[s\n"}, wantError: "line 1"},
		"a file that includes itself is an error":  {files: map[string]string{"/d/a": "%include a\n"}, wantError: "include each other"},
		"a file that is not there is an error":     {files: map[string]string{"/d/a": "%include b\n"}, wantError: "not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read := func(path string) ([]byte, error) {
				if text, ok := tc.files[path]; ok {
					return []byte(text), nil
				}
				return nil, os.ErrNotExist
			}
			got, err := readINI(read, "/d", "a")
			if tc.wantError != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantError) {
					t.Fatalf("%v, want %q", err, tc.wantError)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got.sections) + cmp.Diff(tc.wantFiles, got.files); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestConnectionSettings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text    string
		want    map[string]string
		wantBad bool
	}{
		"nothing is no setting":                {text: " ", want: map[string]string{}},
		"settings are separated by spaces":     {text: "host=a  port = 1", want: map[string]string{"host": "a", "port": "1"}},
		"two quotes in quotes stand for one":   {text: "password='it''s x' user=u", want: map[string]string{"password": "it's x", "user": "u"}},
		"a word without a value is bad":        {text: "nonsense", wantBad: true},
		"a quote that is not closed is bad":    {text: "password='x", wantBad: true},
		"a word before a setting makes it bad": {text: "a b=c", wantBad: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := connectionSettings(tc.text)
			if tc.wantBad != (err != nil) {
				t.Fatalf("%v, want bad %v", err, tc.wantBad)
			}
			if err != nil && strings.Contains(err.Error(), tc.text[:1]+"onsense") {
				t.Errorf("%v shows what may be a password", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" && !tc.wantBad {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzConnectionSettings(f *testing.F) {
	f.Add("host=a port=1 password='it''s'")
	f.Add("=='")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = connectionSettings(text) })
}

func TestSettingsArePgbouncersSame(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		file, shown string
		want        bool
	}{
		"the same word":                       {"session", "session", true},
		"a word in capitals":                  {"Session", "session", true},
		"an octal number that is shown plain": {"0777", "511", true},
		"a time with a fraction":              {"60.0", "60", true},
		"another number":                      {"1", "2", false},
		"another word":                        {"session", "statement", false},
	} {
		if got := sameSetting(tc.file, tc.shown); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
