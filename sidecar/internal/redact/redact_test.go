package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"inpod.dev/inpod/sidecar/internal/redact"
)

func clean(text string, legible redact.Legible, secrets ...string) string {
	r := redact.New(text, legible)
	for _, secret := range secrets {
		r.Hide(secret)
	}
	return r.String()
}

func TestValuesAreTakenOut(t *testing.T) {
	t.Parallel()
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.MEUCIQDx-Qm3Pz_7Kd4vT1sYw"
	for name, tc := range map[string]struct {
		secret, said, want string
	}{
		"the whole of it":              {"hunter2hunter2\n", `bad value "hunter2hunter2" on line 1`, `bad value "[redacted]" on line 1`},
		"a word of it":                 {"alice:\"s3cr3t-word\"\nab\n", "unknown user alice with s3cr3t-word in line 7", "unknown user [redacted] with [redacted] in line 7"},
		"a short one, where it stands": {"123", `pin "123" is wrong, see line 1234 or a123`, `pin "[redacted]" is wrong, see line 1234 or a123`},
		"one character":                {"x\n", "x is no number, exit: x", "[redacted] is no number, exit: [redacted]"},
		"several words of a line":      {"it is me\n", `bad phrase: it is me`, `bad phrase: [redacted]`},
		"what a line sets":             {"user = a b\n", `cannot parse "a b"`, `cannot parse "[redacted]"`},
		"a short thing that is set":    {"pin: 42\n", `no number: 42, line 142`, `no number: [redacted], line 142`},
		"the longest first":            {"abcd\nabcdefgh\n", "abcdefgh, abcd", "[redacted], [redacted]"},
		"nothing of it":                {"hunter2", "unknown directive", "unknown directive"},
		"an empty file":                {"\n", "unknown directive", "unknown directive"},
		"five characters in a word":    {"ab1cd", "xab1cdx", "[redacted]"},

		"the beginning, cut by the server":          {token, `cannot parse "eyJhb..." as a key`, `cannot parse "[redacted]..." as a key`},
		"the beginning, cut with one character":     {token, `cannot parse ` + "`eyJhb…`", "cannot parse `[redacted]…`"},
		"four characters before a cut in quotes":    {token, `cannot parse "eyJh"...`, `cannot parse "[redacted]"...`},
		"the end, after a cut":                      {token, `cannot parse ...sYw1 and ...1sYw`, `cannot parse ...sYw1 and ...[redacted]`},
		"beginning and end":                         {token, `token eyJhbGci...1sYw is bad`, `token [redacted] is bad`},
		"a cut that says how much":                  {token, `token eyJh [truncated] is bad`, `token [redacted] [truncated] is bad`},
		"the text ends in the middle":               {token, "token eyJh", "token [redacted]"},
		"an escape is cut":                          {"pä55wört-längst", `"p\u00e455\u00…`, `"[redacted]…`},
		"a part out of the middle":                  {token, "see zdWIiOiJ", "see [redacted]"},
		"wrapped over lines":                        {"hunter2hunter3", "hunter\n2hunter3", "[redacted]"},
		"wrapped with a gutter":                     {token, "| eyJhbGciOi\n| JFUzI1NiJ9", "| [redacted]\n| [redacted]"},
		"in capitals":                               {"hunter2hunter2", "no HUNTER2HUNTER2", "no [redacted]"},
		"spaces made one":                           {"correct  horse\tbattery", "no correct horse battery!", "no [redacted]!"},
		"escaped as in Go":                          {"tab\tand\"quote\" §", fmt.Sprintf("no %q!", "tab\tand\"quote\" §"), `no "[redacted]"!`},
		"escaped as in JSON":                        {"<a&b>\u2028§12", `no "\u003ca\u0026b\u003e\u2028§12"!`, `no "[redacted]"!`},
		"escaped in octal":                          {"§12§34", `no \302\24712\302\24734!`, `no [redacted]!`},
		"escaped twice":                             {`a"b"c"d"e"f"`, fmt.Sprintf("no %q!", fmt.Sprintf("%q", `a"b"c"d"e"f"`)), `no "\"[redacted]\\\"\""!`},
		"escaped by a shell":                        {"it's-m3-y0u", `no 'it'\''s-m3-y0u'!`, `no '[redacted]'!`},
		"escaped for HTML":                          {"<a&b'c>\"1", "no " + html.EscapeString("<a&b'c>\"1") + "!", "no [redacted]!"},
		"escaped for a URL":                         {"p@ss/wörd!", "no " + url.PathEscape("p@ss/wörd!") + "!", "no [redacted]!"},
		"escaped for a URL in small letters":        {"p@ss/wörd!", "no " + strings.ToLower(url.QueryEscape("p@ss/wörd!")), "no [redacted]"},
		"a space in a form":                         {"ab cd ef", "no " + url.QueryEscape("ab cd ef"), "no [redacted]"},
		"base64":                                    {"hunter2hunter2", "no " + base64.StdEncoding.EncodeToString([]byte("hunter2hunter2")) + "!", "no [redacted]!"},
		"base64 after one other byte":               {"hunter2hunter2", "no " + base64.StdEncoding.EncodeToString([]byte(":hunter2hunter2")) + "!", "no [redacted]!"},
		"base64 after two other bytes":              {"hunter2hunter2", "no " + base64.RawURLEncoding.EncodeToString([]byte("u:hunter2hunter2")) + "!", "no [redacted]!"},
		"base64 that is cut":                        {"hunter2hunter2", "no aHVudGV…", "no [redacted]…"},
		"the Secret has base64, the server decodes": {"aHVudGVyMmh1bnRlcjI=", "no hunter2hunter2!", "no [redacted]!"},
		"hexadecimal":                               {"hunter2hunter2", "no " + hex.EncodeToString([]byte("hunter2hunter2")) + "!", "no [redacted]!"},
		"hexadecimal with colons":                   {"hunter2", "no 68:75:6e:74:65:72:32!", "no [redacted]!"},
		"a list of numbers":                         {"hunter2", "no " + numbers("hunter2"), "no [[redacted]]"},
		"no text":                                   {"abc\xffdefg\xfe", "no abc?defg?", "no [redacted]"},
		"a key in PEM, wrapped otherwise":           {"-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\nByqGSM49AgEG\n-----END PRIVATE KEY-----\n", "PRIVATE KEY: gEAMBMGByq", "PRIVATE KEY: [redacted]"},
		"a common word beside what is secret":       {"listen hunter2\n", `unknown "listen" before hunter2`, `unknown "listen" before [redacted]`},
		"a common word that is a whole value":       {"password = password\n", `unknown "password"`, `unknown "[redacted]"`},
		"a common word inside of a value":           {"my-password-1\n", `unknown my-password-1`, `unknown [redacted]`},
		"a line of dashes":                          {"----------\n", `----------`, `----------`},
		"a value that ends as a cut begins":         {"ab:1*.7", `no ab:1*....!`, `no [redacted]...!`},
		"a value that ends as a marker begins":      {"x>?(09zz", `no x>?(0[truncated]`, `no [redacted][truncated]`},
		"a list of numbers that is wrapped":         {"hunter2", "no 104 117 1\n10 116 10\n1 114 50!", "no [redacted]!"},
		"an escape that is wrapped":                 {"hunter2", "no \\x68\\x75\\x\n6e\\x74\\x65\\x72!", "no [redacted]!"},
		"bytes that were taken for characters":      {"пароль", "no &#208;&#191;&#208;&#176;&#209;&#128;&#208;&#190;!", "no [redacted]!"},
		"a short word before a space in a form":     {"efc ib e a2", "no efc+ib+x", "no [redacted]"},
		"wrapped within a word before a space":      {"xb2be 31he", "no b\n2be 3!", "no [redacted]!"},
		"a value of quotes":                         {`x"'"'"'"'"'y`, `no x"'"'"'"'"'y!`, `no [redacted]!`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := clean(tc.said, redact.Legible{}, tc.secret); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestWhereAMistakeIsStaysLegible(t *testing.T) {
	t.Parallel()
	const config = "worker_processes 2;\nhttp {\n  server_name shop.example;\n  include /etc/nginx/conf.d/shop.conf;\n  lisen 8080;\n}\n"
	legible := redact.Legible{Paths: []string{"/etc/nginx/conf.d", "/etc/nginx/conf.d/shop.conf"}, Names: []string{"shop.conf", "nginx"}}
	for said, want := range map[string]string{
		`nginx: [emerg] unknown directive "lisen" in /etc/nginx/conf.d/shop.conf:12`: `nginx: [emerg] unknown directive "[redacted]" in /etc/nginx/conf.d/shop.conf:12`,
		`invalid number of arguments in "server_name" directive in shop.conf:3`:      `invalid number of arguments in "server_name" directive in shop.conf:3`,
	} {
		if got := clean(said, legible, config); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func numbers(text string) string { return fmt.Sprintf("%v", []byte(text)) }
