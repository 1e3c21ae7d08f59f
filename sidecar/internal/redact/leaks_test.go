package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
	"inpod.dev/inpod/sidecar/internal/process"
	"inpod.dev/inpod/sidecar/internal/redact"
	"inpod.dev/inpod/sidecar/internal/reload"
	"inpod.dev/inpod/sidecar/internal/status"
	"inpod.dev/inpod/sidecar/internal/watch"
)

// pemLines is what PEM puts around every key, and is no secret.
const pemLines = "-----BEGIN PRIVATE KEY-----END PRIVATE KEY-----"

// FuzzNothingOfASecretLeaves makes Secrets, and a server whose words quote them: cut, abbreviated, encoded once or twice,
// wrapped, amid other words. Of what the sidecar shows of that in its log, on /status and to the controller, no six
// characters in a row stand in a secret, in whatever encoding, and no four beside a cut.
func FuzzNothingOfASecretLeaves(f *testing.F) {
	f.Add([]byte("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJzaG9wIn0.MEUCIQDx-Qm3Pz_7Kd4vT1sYwZ0aB9cD8eF7gH6iJ5k"), []byte("token "), uint64(1))
	f.Add([]byte("hunter2hunter2"), []byte("yaml: line 1: cannot unmarshal !!str `hunter2...` into int"), uint64(2))
	f.Add([]byte("correct horse battery staple"), []byte("error: "), uint64(3))
	f.Add([]byte("p\xe4ssw\xf6rd-\xff\xfe\xfd-12345"), []byte("\x02\x03\x1b[31m"), uint64(4))
	f.Add([]byte("пароль-очень-тайный-1"), []byte(`{"error":"`), uint64(5))
	f.Add([]byte(`q"u'o\t"e's\n"'"'"'x`), []byte(`"`), uint64(6))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\nCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n"), []byte("a; b; c "), uint64(7))
	f.Add([]byte("a b c d e f g h i j"), []byte("%41%"), uint64(8))
	for i := range uint64(40) {
		f.Add([]byte(fmt.Sprint("seed-", i*i*7919, "-secret")), []byte("unknown directive in line 7: "), i<<8)
	}
	server := newEcho(f)
	f.Fuzz(func(t *testing.T, secret, around []byte, choice uint64) {
		if len(secret) > 1<<12 || len(around) > 1<<12 {
			t.Skip("longer than what is of interest")
		}
		random := rand.New(rand.NewPCG(choice, uint64(len(secret)+len(around)<<16)))
		for range 8 { // since a new input costs more than a case
			c := newCase(t, random, string(secret), string(around))
			c.check(t, c.run(t, server))
		}
	})
}

// echo is a server that refuses each reload with the words of the present case.
type echo struct {
	*httptest.Server

	answer func() string
}

func newEcho(f *testing.F) *echo {
	f.Helper()
	e := &echo{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(e.answer()))
	}))
	f.Cleanup(e.Close)
	return e
}

// secretCase is one set of Secrets and what a server says about them.
type secretCase struct {
	random *rand.Rand
	around string
	// values are what must not be shown.
	values []string
	// files are the Secrets by name, changed what they become while the server works.
	files, changed map[string]string
	header, query  string
	// said is what the server says; abbreviated holds what it shows beside a cut.
	said        string
	abbreviated []string
}

func newCase(t *testing.T, random *rand.Rand, secret, around string) *secretCase {
	t.Helper()
	c := &secretCase{random: random, around: around, files: map[string]string{}, changed: map[string]string{}}
	c.files["raw"] = secret
	c.values = append(c.values, secret)
	password, inJSON, listed, renewed := c.value(), c.value(), c.value(), c.value()
	c.values = append(c.values, password, inJSON, listed)
	c.files["app.ini"] = "[main]\nuser = shop\npassword = " + password + "\nport: 8080\n"
	text, err := json.Marshal(map[string]any{"debug": true, "token": inJSON})
	if err != nil {
		t.Fatal(err)
	}
	c.files["app.json"] = string(text)
	c.files["users"] = "alice:" + listed + "\nbob:x\n"
	if random.IntN(4) == 0 {
		c.changed["users"] = "alice:" + renewed + "\n"
		c.values = append(c.values, renewed)
	}
	if random.IntN(4) == 0 {
		c.header = c.letters(8 + random.IntN(40))
		c.values = append(c.values, c.header)
	}
	if random.IntN(4) == 0 {
		c.query = c.value()
		c.values = append(c.values, c.query)
	}
	c.say()
	return c
}

// value makes a value of one line.
func (c *secretCase) value() string {
	alphabets := []string{
		"abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", "0123456789abcdef",
		"abcdefghij0123456789-_.", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~abcXYZ019", "äöüßéèçñøåαβγδжзийабвг漢字かな🙂🔑abc12", "abc def ghi 123",
	}
	alphabet := []rune(alphabets[c.random.IntN(len(alphabets))])
	value := make([]rune, 4+c.random.IntN(60))
	for i := range value {
		value[i] = alphabet[c.random.IntN(len(alphabet))]
	}
	return strings.TrimSpace(string(value)) + "7"
}

func (c *secretCase) letters(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[c.random.IntN(len(alphabet))]
	}
	return string(b)
}

// say makes the words of the server.
func (c *secretCase) say() {
	var said strings.Builder
	if c.random.IntN(3) == 0 {
		said.WriteString(strings.Repeat(c.pick("all is well\n", "x", " ", "é", "error in "), c.random.IntN(500)))
	}
	for range 1 + c.random.IntN(4) {
		value := c.values[c.random.IntN(len(c.values))]
		if c.random.IntN(2) == 0 {
			said.WriteString(c.around)
		}
		said.WriteString(c.pick("unknown directive \"", "error: cannot parse '", "invalid value ", "line 12: `", "user@", "\n"))
		said.WriteString(c.quoted(value))
		said.WriteString(c.pick("\" in /etc/app/app.ini:12", "'", " ", "`\n", " (7 more)", "!", ""))
	}
	c.said = said.String()
	if c.random.IntN(6) == 0 {
		c.said = strings.Repeat(c.pick("well.\n", "z", "warning: none\n"), c.random.IntN(20<<10/7)) + c.said
	}
}

func (c *secretCase) pick(texts ...string) string { return texts[c.random.IntN(len(texts))] }

// quoted is a value as a server quotes it: a part of it, or abbreviated, or encoded, or wrapped.
func (c *secretCase) quoted(value string) string {
	runes := []rune(value)
	switch c.random.IntN(4) {
	case 0: // as it is
	case 1: // a part
		from := c.random.IntN(len(runes) + 1)
		to := from + c.random.IntN(len(runes)-from+1)
		value = string(runes[from:to])
	case 2: // the beginning
		to := c.random.IntN(len(runes) + 1)
		cut := c.pick("...", "…", "..", "****", "[truncated]", " (truncated)", "\"...")
		value = string(runes[:to])
		if to >= 4 {
			shown := string(runes[to-4 : to])
			if revealing(shown) == 4 && !alike(shown) && !strings.Contains(pemLines, shown) {
				c.abbreviated = append(c.abbreviated, shown+cut)
			}
		}
		return value + cut
	case 3: // beginning and end
		from := c.random.IntN(len(runes) + 1)
		value = string(runes[:from]) + "..." + string(runes[from+c.random.IntN(len(runes)-from+1):])
	}
	for range c.random.IntN(3) {
		encode := encodings()[c.random.IntN(len(encodings()))]
		value = encode(value)
	}
	switch c.random.IntN(8) {
	case 0:
		prefix := strings.Repeat("u", c.random.IntN(4))
		encoding := []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}[c.random.IntN(4)]
		value = encoding.EncodeToString([]byte(prefix + value))
	case 1:
		value = wrap(value, 6+c.random.IntN(70))
	case 2:
		value = value[:c.random.IntN(len(value)+1)]
	}
	return value
}

func wrap(text string, width int) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	return b.String() + text
}

// encodings are those that encode each character by itself.
func encodings() []func(string) string {
	inner := func(quoted string) string { return quoted[1 : len(quoted)-1] }
	each := func(format string) func(string) string {
		return func(text string) string {
			var b strings.Builder
			for _, c := range []byte(text) {
				fmt.Fprintf(&b, format, c)
			}
			return b.String()
		}
	}
	return []func(string) string{
		func(text string) string { return text },
		strings.ToUpper, strings.ToLower,
		func(text string) string { return inner(strconv.Quote(text)) },
		func(text string) string { return inner(strconv.QuoteToASCII(text)) },
		func(text string) string { j, _ := json.Marshal(text); return inner(string(j)) },
		html.EscapeString, url.PathEscape, url.QueryEscape,
		func(text string) string { return strings.ToLower(url.QueryEscape(text)) },
		func(text string) string { return strings.ReplaceAll(text, "'", `'\''`) },
		func(text string) string { return strings.ReplaceAll(text, "'", `''`) },
		each("%02x"), each("%02X"), each(`\x%02x`), each(`\%03o`), each("%%%02X"), each("&#%d;"), each("&#x%x;"), each("%02x:"), each("%d "),
	}
}

// run makes one attempt to reload, and returns what is shown of it.
func (c *secretCase) run(t *testing.T, server *echo) map[string]string {
	t.Helper()
	dir := secretDir(t)
	for name, content := range c.files {
		write(t, filepath.Join(dir, name), content)
	}
	r := &reload.Reloader{
		Secrets: []string{dir}, Now: time.Now, Table: process.Table{Root: "/proc", Self: os.Getpid()}, Log: slog.New(slog.DiscardHandler),
		Plan: reload.Plan{CommandTimeout: time.Minute, VerifyTimeout: time.Millisecond},
	}
	change := func() {
		for name, content := range c.changed {
			write(t, filepath.Join(dir, ".new"), content)
			if err := os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
	}
	server.answer = func() string { change(); return c.said }
	e := &reload.Endpoint{URL: server.URL, Timeout: time.Minute, Attempts: 1, HeaderFiles: map[string]string{}}
	if c.query != "" {
		e.URL = strings.Replace(e.URL, "//", "//u:"+url.PathEscape(c.query)+"@", 1) + "/reload?token=" + url.QueryEscape(c.query)
	}
	if c.header != "" {
		e.HeaderFiles["Authorization"] = filepath.Join(t.TempDir(), "header")
		write(t, e.HeaderFiles["Authorization"], c.header+"\n")
	}
	r.Plan.URL = e
	if c.random.IntN(16) == 0 && c.query == "" && c.header == "" && len(c.changed) == 0 {
		file := filepath.Join(t.TempDir(), "said")
		write(t, file, c.said)
		r.Plan.URL, r.Plan.Command = nil, []string{"sh", "-c", `cat "$0"; exit 1`, file}
	}
	return shownOf(t, r, dir)
}

// shownOf makes an attempt, and returns all that is shown of it.
func shownOf(t *testing.T, r *reload.Reloader, dir string) map[string]string {
	t.Helper()
	var logged, plain bytes.Buffer
	state, err := (&watch.Watcher{Targets: []watch.Target{{Path: dir}}, Log: r.Log}).Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := &agent.Agent{
		Trigger: r, Memory: other{}, Now: time.Now, Timing: agent.DefaultTiming(time.Millisecond),
		Log: slog.New(slog.NewMultiHandler(slog.NewJSONHandler(&logged, nil), slog.NewTextHandler(&plain, nil))),
	}
	r.Hold()
	a.Start(t.Context(), state)
	logged.Reset()
	plain.Reset()
	out := a.Attempt(t.Context())
	var line struct{ Message, Proof, Trigger string }
	if err := json.Unmarshal(logged.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, logged.String())
	}
	page, reply := pages(t, a)
	shown := map[string]string{
		"the outcome": out.Message + "\n" + out.Proof + "\n" + out.Trigger,
		"the log":     line.Message + "\n" + line.Proof + "\n" + line.Trigger, "the log as text": plain.String(), "/status": page, "/query": reply,
	}
	if !strings.Contains(reply, "500") && !strings.Contains(reply, "exit status 1") {
		t.Errorf("the controller is not shown what happened: %q", reply)
	}
	return shown
}

// pages are what /status and /query say of an agent.
func pages(t *testing.T, a *agent.Agent) (page, reply string) {
	t.Helper()
	key := bytes.Repeat([]byte{7}, 32)
	text, err := sidecarapi.PublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := sidecarapi.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	handler := status.Handler(status.Source{
		Agent: a.Status, Mode: func() watch.Mode { return watch.Mode{} }, Errors: func() int64 { return 0 }, Now: time.Now, ControllerKey: public,
	})
	var body struct {
		Last struct{ Message, Proof, Trigger string }
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/status", http.NoBody))
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	page = body.Last.Message + "\n" + body.Last.Proof + "\n" + body.Last.Trigger + "\n" + answer.Body.String()
	request, err := sidecarapi.NewRequest(nil)
	if err != nil {
		t.Fatal(err)
	}
	question, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	answer = httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, sidecarapi.Path, bytes.NewReader(question)))
	opened, err := sidecarapi.Open(key, request.Nonce, answer.Body.Bytes())
	if err != nil {
		t.Fatal(err, answer.Body.String())
	}
	return page, opened.Message
}

// other is a memory of another content, so that there is something to reload.
type other struct{}

func (other) Applied(digest.Sum) (recorded, same bool) { return true, false }
func (other) NeedsRestart(digest.Sum) bool             { return false }
func (other) Record(_, _ digest.Sum) error             { return nil }

const window = 6

// check fails the test when something of a value is shown.
func (c *secretCase) check(t *testing.T, shown map[string]string) {
	t.Helper()
	all := changing.ReplaceAllString(strings.Join(slices.Collect(maps.Values(shown)), "\n"), "")
	texts := []string{all, strings.ReplaceAll(all, "; ", "")}
	for _, value := range c.values {
		for _, form := range forms(frames.ReplaceAllString(strings.ToValidUTF8(value, "?"), "\n")) {
			for _, text := range texts {
				if strings.Contains(text, form) && !strings.Contains(strings.ToLower(ours), strings.ToLower(form)) {
					t.Fatalf("%q of %q is shown:\n%q\nof what was said:\n%q", form, value, shown, c.said)
				}
			}
		}
	}
	for _, part := range c.abbreviated {
		if strings.Contains(all, part) && !excused(part) {
			t.Fatalf("%q is shown:\n%q\nof what was said:\n%q", part, shown, c.said)
		}
	}
}

// changing is what inpod shows of numbers that are others in each run.
var changing = regexp.MustCompile(`(leaks|127\.0\.0\.1:|took=|tookSeconds": |\d{4}-\d\d-\d\dT\d\d:\d\d:)[0-9.]+`)

// frames are lines that are the same in every file in PEM.
var frames = regexp.MustCompile(`(?m)^\s*-----(BEGIN|END) (PRIVATE|KEY| )+-----\s*$`)

// ours is the text of inpod itself.
const ours = "[redacted] POST http://127.0.0.1: 500 Internal Server Error: sh: exit status 1: level=ERROR msg=\"reload ended\" result=rejected " +
	"message= proof=answer trigger= took= retryAt= time= 0123456789 last result changedAt watching volumes missing polling version preset " +
	"phase pending settling retrying assumed changes tookSeconds kind volume directory files unreadable tokensIgnored linksOutside watches /dev/shm/leaks /reload"

var common = strings.Join(redact.CommonWords(), " ")

// excused reports whether a part of a value is none: it is in common words, or little but spaces and quotes.
func excused(part string) bool {
	if revealing(part) < 4 || strings.ContainsFunc(part, unicode.IsControl) || strings.Contains(part, "  ") {
		return true // a row of spaces counts as one
	}
	if alike(part) {
		return true
	}
	for field := range strings.FieldsSeq(strings.ToLower(part)) {
		field = strings.Trim(field, ":;,=.\"'`")
		if !strings.Contains(common, field) {
			return false
		}
	}
	return true
}

// alike reports whether a part of a value is the same character again and again, such as dots, which reveals nothing.
func alike(part string) bool {
	c, _ := utf8.DecodeRuneInString(part)
	return strings.Trim(part, string(c)) == "" && !unicode.IsLetter(c) && !unicode.IsDigit(c)
}

// revealing counts the characters that are neither spaces nor quotes, nor stand for what is no character.
func revealing(part string) int {
	n := 0
	for _, c := range part {
		if !unicode.IsSpace(c) && !strings.ContainsRune("\"'`\\‘’“”«»", c) && !unicode.Is(unicode.Cf, c) && !unicode.IsControl(c) &&
			c != utf8.RuneError {
			n++
		}
	}
	return n
}

// forms are all ways to write six characters of a value; in base64 it is seven, since the ends share their digits with what
// is beside them.
func forms(value string) []string {
	runes := []rune(value)
	skip := make([]bool, len(runes))
	for i := 0; i+window <= len(runes); i++ {
		skip[i] = excused(string(runes[i : i+window]))
	}
	var all []string
	for _, encode := range encodings() {
		var text strings.Builder
		at := make([]int, 0, len(runes)+1)
		for _, c := range runes {
			at = append(at, text.Len())
			text.WriteString(encode(string(c)))
		}
		at = append(at, text.Len())
		for i := 0; i+window <= len(runes); i++ {
			form := text.String()[at[i]:at[i+window]]
			for _, after := range []string{":", " "} { // what some put after each character, the last one excepted
				if strings.HasSuffix(encode("a"), after) {
					form = strings.TrimSuffix(form, after)
				}
			}
			if !skip[i] {
				all = append(all, form)
			}
		}
	}
	for before := range 3 {
		for i := 0; i+window+1 <= len(runes); i++ {
			if skip[i] {
				continue
			}
			text := []byte(strings.Repeat("\x00", before) + string(runes[i:i+window+1]))
			form := base64.RawStdEncoding.EncodeToString(text)[(before*8+5)/6 : len(text)*8/6]
			all = append(all, form, strings.NewReplacer("+", "-", "/", "_").Replace(form))
		}
	}
	return all
}

// secretDir is a directory such as the kubelet keeps a Secret in.
func secretDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "leaks") //nolint:usetesting // a tmpfs is what is tested
	if err != nil {
		t.Skip("no tmpfs at /dev/shm")
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
