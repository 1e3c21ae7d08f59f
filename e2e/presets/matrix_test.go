//go:build presets

package presets

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/preset"
)

// The matrix: for each server, each kind of file that it takes, edited in each way. A server is an app, described in a
// file of its own (servers_NAME_test.go), and listed in matrix_web_test.go or matrix_data_test.go. What was observed is
// kept in testdata/matrix/NAME.json, from which docs/presets.md is generated; -update writes it.

var update = flag.Bool("update", false, "keep what was observed in testdata/matrix, then run go test ./internal/preset -update")

// app is a server with all kinds of files that it takes. Of the server within, files, shows, bad and wantProof are not
// used: the kinds have their own.
type app struct {
	server
	// variant distinguishes several apps of one preset ("by SIGHUP"); "" for the usual one.
	variant string
	// version is what the server calls itself, for the table: the output of this command, cut at the first line.
	version []string
	// kinds are the kinds of files. The first is the main configuration, with which others are mixed.
	kinds []fileKind
}

// fileKind is one kind of file: what is in it, what the server shows of it, and what is wanted of each edit.
type fileKind struct {
	// name is the kind as users call it; where the preset has a FileRule for it, the rule's name.
	name string
	// text are the files of a version ("v1" at the start, "v2" after a good edit), by their paths below env.conf. Files
	// in a folder ("sub/a.conf") are allowed.
	text func(e env, version string) map[string]string
	// shows is the version of these files that the server really uses now: "v1", "v2", or "" for none.
	shows func(e env) (string, error)
	// bad are the files with a mistake, restart those with a value that only a restart takes; nil where the kind has none,
	// and then the cell says why.
	bad, restart func(e env) map[string]string
	// mixed replaces what "mixed" is made of: see changeOf.
	mixed func(e env) map[string]string
	// cells are what is wanted of each edit; all edits must be there.
	cells map[editKind]want
}

// editKind is a way to change files.
type editKind string

// The edits.
const (
	good        editKind = "good"
	bad         editKind = "bad"
	restartOnly editKind = "restart-only"
	deleted     editKind = "deleted"
	mixed       editKind = "mixed"
)

func edits() []editKind { return []editKind{good, bad, restartOnly, deleted, mixed} }

// want is what must come of an edit.
type want struct {
	// result is the sidecar's: one of the constants below.
	result string
	// serves is what the server uses of this kind afterwards, main what it uses of the main file, when both were changed.
	serves, main string
	// proof and message must be in the sidecar's log line, if not empty.
	proof, message string
	// not is why the cell is not tried; then nothing else is set.
	not string
}

// The results of a cell.
const (
	proven       = "applied, proven"
	unproven     = "applied, unproven"
	rejected     = "rejected"
	needsRestart = "needs restart"
	failed       = "failed"
	died         = "died"
	late         = "late"
)

// What a server uses afterwards.
const (
	newOne  = "new"
	oldOne  = "old"
	nothing = "nothing" // it does not answer, or has no such thing any more
)

// not is a cell that is not tried, with the reason.
func not(why string) want { return want{not: why} }

// resultOf is the word for an outcome in the matrix.
func resultOf(o outcome) string {
	switch {
	case o.Result != "applied":
		return o.Result
	case o.Proven:
		return proven
	}
	return unproven
}

// observed is what testdata/matrix keeps of an app. The file names are for the rules of the preset to be checked against.
type observed struct {
	Preset  string         `json:"preset"`
	Variant string         `json:"variant,omitempty"`
	Version string         `json:"version"`
	Kinds   []observedKind `json:"kinds"`
}

type observedKind struct {
	Name  string                    `json:"name"`
	Files []string                  `json:"files"`
	Cells map[editKind]observedCell `json:"cells"`
}

type observedCell struct {
	Result string `json:"result,omitempty"`
	Proof  string `json:"proof,omitempty"`
	Serves string `json:"serves,omitempty"`
	Main   string `json:"main,omitempty"`
	Not    string `json:"not,omitempty"`
}

func apps() []app { return append(webApps(), dataApps()...) }

// TestMatrix tries every cell with a server and a sidecar of its own.
func TestMatrix(t *testing.T) {
	for _, a := range apps() {
		t.Run(a.title(), func(t *testing.T) {
			t.Parallel()
			need(t, a.program)
			saw := a.observe(t)
			if !t.Failed() && !t.Skipped() {
				a.compare(t, saw)
			}
		})
	}
}

// TestMatrixIsComplete finds kinds without a cell for each edit, and presets without an app.
func TestMatrixIsComplete(t *testing.T) {
	for _, a := range apps() {
		if _, err := preset.ByName(a.preset); err != nil {
			t.Error(err)
		}
		for _, k := range a.kinds {
			for _, e := range edits() {
				if w, ok := k.cells[e]; !ok || (w.not == "") == (w.result == "") {
					t.Errorf("%s: kind %s, edit %s: %+v; want a result or a reason", a.title(), k.name, e, w)
				}
			}
		}
	}
	for _, row := range preset.All() {
		has := slices.ContainsFunc(apps(), func(a app) bool { return a.preset == row.Name })
		if _, why := withoutMatrix()[row.Name]; row.Refusal == "" && has == why {
			t.Errorf("preset %s: in the matrix %v, reason for not being there %v; want one of them", row.Name, has, why)
		}
	}
}

// withoutMatrix are the presets that cannot be tried, with the reasons.
func withoutMatrix() map[string]string {
	return map[string]string{
		"fluent-bit": "it is not in Debian 12",
		"vector":     "it is not in Debian 12",
	}
}

func (a app) title() string { return strings.TrimSuffix(a.preset+" "+a.variant, " ") }

// observe runs all cells, as subtests beside each other, and returns what was seen.
func (a app) observe(t *testing.T) observed {
	saw := observed{Preset: a.preset, Variant: a.variant}
	if out, err := output(a.version...); err == nil {
		saw.Version, _, _ = strings.Cut(strings.TrimSpace(out), "\n")
	}
	type place struct {
		kind int
		edit editKind
	}
	cells := make(chan func(), len(a.kinds)*len(edits()))
	t.Run("cells", func(t *testing.T) {
		for i, k := range a.kinds {
			for _, e := range edits() {
				w := k.cells[e]
				at := place{i, e}
				t.Run(k.name+"/"+string(e), func(t *testing.T) {
					t.Parallel()
					if w.not != "" {
						t.Logf("not tried: %s", w.not)
						cells <- func() { saw.Kinds[at.kind].Cells[at.edit] = observedCell{Not: w.not} }
						return
					}
					seen := a.try(t, k, e, w)
					cells <- func() { saw.Kinds[at.kind].Cells[at.edit] = seen }
				})
			}
		}
	})
	close(cells)
	some := env{conf: "/conf", data: "/data", port: 1, port2: 2, port3: 3}
	for _, k := range a.kinds {
		files := slices.Sorted(maps.Keys(k.text(some, "v1")))
		saw.Kinds = append(saw.Kinds, observedKind{Name: k.name, Files: files, Cells: map[editKind]observedCell{}})
	}
	n := 0
	for put := range cells {
		put()
		n++
	}
	if n != cap(cells) {
		t.Skipf("only %d of %d cells were run (-run?), so nothing is compared", n, cap(cells))
	}
	return saw
}

// compare holds what was seen against what is kept, from which the documentation is made.
func (a app) compare(t *testing.T, saw observed) {
	t.Helper()
	path := filepath.Join("testdata", "matrix", strings.ReplaceAll(a.title(), " ", "-")+".json")
	text, err := json.MarshalIndent(saw, "", "  ")
	must(t, err)
	text = append(text, '\n')
	if *update {
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, text, 0o644))
		return
	}
	var kept observed
	if old, err := os.ReadFile(path); err != nil {
		t.Errorf("nothing is kept of this server: %v; run with -update", err)
	} else if err := json.Unmarshal(old, &kept); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	kept.Version = saw.Version // another Debian may behave the same
	if diff := cmp.Diff(kept, saw); diff != "" {
		t.Errorf("%s is not what was seen; run with -update (-kept +seen):\n%s", path, diff)
	}
}

// changeOf are the files that an edit writes, and those that it removes.
//
// A mixed edit is a good one of the main file beside the worst one of this kind: bad, else restart-only, else good. For
// the main file itself it is the worst of it beside a good one of the second kind.
func (a app) changeOf(e env, k fileKind, how editKind) (write map[string]string, remove []string) {
	switch how {
	case good:
		return k.text(e, "v2"), nil
	case bad:
		return k.bad(e), nil
	case restartOnly:
		return k.restart(e), nil
	case deleted:
		return nil, slices.Collect(maps.Keys(k.text(e, "v1")))
	}
	if k.mixed != nil {
		return k.mixed(e), nil
	}
	other := a.kinds[0]
	if other.name == k.name && len(a.kinds) > 1 {
		other = a.kinds[1]
	}
	write = maps.Clone(other.text(e, "v2"))
	worst := k.bad
	if worst == nil {
		worst = k.restart
	}
	if worst == nil {
		worst = func(e env) map[string]string { return k.text(e, "v2") }
	}
	maps.Copy(write, worst(e))
	return write, nil
}

// try runs one cell.
func (a app) try(t *testing.T, k fileKind, how editKind, w want) observedCell {
	e := newEnv(t)
	all := map[string]string{}
	for _, other := range a.kinds {
		maps.Copy(all, other.text(e, "v1"))
	}
	swap(t, e.conf, all)
	if a.setup != nil {
		a.setup(t, e)
	}
	afterTheStart() // a server that starts at once would not be younger than its files
	a.start(t, e)
	for _, other := range a.kinds {
		wantUsed(t, e, other, oldOne)
	}
	afterTheStart()
	flags := []string{"--verify-timeout", "60s"}
	if w.result != proven && w.result != unproven {
		flags[1] = "4s" // the proof does not come
	}
	if a.sidecar != nil {
		flags = append(flags, a.sidecar(e)...)
	}
	s := a.server
	s.sidecar = func(env) []string { return flags }
	ended := s.watch(t, e)

	write, remove := a.changeOf(e, k, how)
	maps.Copy(all, write)
	for _, name := range remove {
		delete(all, name)
	}
	swap(t, e.conf, all)
	got := next(t, ended)
	for got.Result == late && w.result != late {
		got = next(t, ended)
	}
	t.Logf("%s (%s) after %s: %s", resultOf(got), got.Proof, got.Took, got.Message)
	if resultOf(got) != w.result || !strings.Contains(got.Proof, w.proof) || !strings.Contains(got.Message, w.message) {
		t.Errorf("%s; want %+v", resultOf(got), w)
	}
	if w.serves == "" {
		w.serves = oldOne
		if strings.HasPrefix(w.result, "applied") {
			w.serves = newOne
		}
	}
	wantUsed(t, e, k, w.serves)
	if w.main != "" {
		wantUsed(t, e, a.kinds[0], w.main)
	}
	return observedCell{Result: resultOf(got), Proof: got.Proof, Serves: w.serves, Main: w.main}
}

// wantUsed waits until the server uses these files in a version. What must stay as it is, is observed for a moment.
func wantUsed(t *testing.T, e env, k fileKind, want string) {
	t.Helper()
	const calm, poll = 700 * time.Millisecond, 30 * time.Millisecond
	var got, shown string
	var err error
	since := time.Time{}
	begin := time.Now()
	for ; time.Since(begin) < patience; time.Sleep(poll) {
		shown, err = k.shows(e)
		switch {
		case err != nil || shown == "":
			got = nothing
		case shown == "v1":
			got = oldOne
		case shown == "v2":
			got = newOne
		default:
			got = fmt.Sprintf("unknown %q", shown)
		}
		switch {
		case got != want:
			since = time.Time{}
		case want == newOne:
			return
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > calm:
			return
		}
	}
	t.Errorf("the server uses of %s: %s (%q, %v); want %s", k.name, got, shown, err, want)
}
