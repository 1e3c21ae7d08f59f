package decide_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	obj "inpod.dev/inpod/internal/objtest"
)

// root is the folder of the repository.
const root = "../../"

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	text := page(t, "docs/decisions.md")
	for _, reason := range decide.Reasons() {
		if !strings.Contains(text, "`"+string(reason)+"`") {
			t.Errorf("docs/decisions.md does not say when the reason %q is given", reason)
		}
	}
}

// outcomes are the boxes of the diagram in the README, as "Action: Reason". A box is an action and below it its reasons.
func outcomes(t *testing.T, page string) []string {
	t.Helper()
	_, rest, ok1 := strings.Cut(page, "```mermaid\n")
	diagram, _, ok2 := strings.Cut(rest, "```")
	if !ok1 || !ok2 {
		t.Fatal("README.md has no diagram")
	}
	var all []string
	for _, box := range regexp.MustCompile(`\["([^"]*)"\]`).FindAllStringSubmatch(diagram, -1) {
		lines := strings.Split(box[1], "<br>")
		for _, reason := range lines[1:] {
			all = append(all, lines[0]+": "+reason)
		}
	}
	slices.Sort(all)
	return all
}

// The diagram in the README names what the code decides: each box is reached by an edit, and has the action and reason of that
// decision.
func TestTheDiagramIsWhatTheCodeDecides(t *testing.T) {
	t.Parallel()
	env, volume := following(obj.Env(obj.CM("a"), "k")), injected(obj.Mount(obj.CM("a")))
	pacing := func(p annotation.Pacing) func(*fakeCluster) {
		return func(w *fakeCluster) { w.inputs = func(in *decide.Input) { in.Policy.Pacing = p } }
	}
	sidecars := func(verdict decide.Verdict) func(*fakeCluster) {
		return func(w *fakeCluster) { w.input.InPlace = decide.InPlace{Sidecar: true, Verdict: verdict, Pod: "web-1"} }
	}
	edits := map[string]struct {
		parts []obj.Part
		key   string             // of the ConfigMap, which is edited
		also  func(*fakeCluster) // what else is the case
	}{
		"it is not followed": {[]obj.Part{obj.Env(obj.CM("a"), "k")}, "k", func(*fakeCluster) {}},
		"another key":        {env, "other", func(*fakeCluster) {}},
		"the template was edited later": {env, "k", func(w *fakeCluster) {
			w.sources[cmRef("a")].Changed.Version, w.input.Workload.TemplateChanged.Version = 8, 9
		}},
		"a Secret is missing":         {slices.Concat(env, []obj.Part{obj.Env(obj.Sec("b"), "k")}), "k", func(w *fakeCluster) { w.remove(secRef("b")) }},
		"within the pause-period":     {env, "k", pacing(annotation.Pacing{PausePeriod: new(time.Minute), PausedAt: now})},
		"outside of the window":       {env, "k", func(w *fakeCluster) { w.input.Options.Windows = windows(t, "22:00-04:00") }},
		"rolled often":                {env, "k", func(w *fakeCluster) { w.input.NotBefore = now.Add(time.Minute) }},
		"a variable":                  {env, "k", func(*fakeCluster) {}},
		"a file, without the sidecar": {volume, "k", func(*fakeCluster) {}},
		"a file, with the sidecar":    {volume, "k", sidecars(decide.Unknown)},
		"reloaded":                    {volume, "k", sidecars(decide.Confirmed)},
		"not accepted":                {volume, "k", sidecars(decide.Rejected)},
		"not re-read":                 {volume, "k", sidecars(decide.NeedsRestart)},
		"the reload failed":           {volume, "k", sidecars(decide.Failed)},
	}
	decided := map[string]bool{}
	for name, edit := range edits {
		w := newFakeCluster(t, edit.parts, cm("a", "k", "1"), obj.Secret("b", "k", "1"))
		w.apply(w.decide())
		if edit.key == "k" {
			w.set(cm("a", "k", "2"))
		} else {
			w.set(cm("a", "k", "1", edit.key, "2"))
		}
		edit.also(w)
		d := w.decide()
		outcome := string(d.Action) + ": " + string(d.Reason)
		if decided[outcome] {
			t.Errorf("%s: another edit has the outcome %s", name, outcome)
		}
		decided[outcome] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(decided)), outcomes(t, page(t, "README.md"))); diff != "" {
		t.Errorf("the diagram in README.md (-decided +drawn):\n%s", diff)
	}
}

// The README shows what inpod says in its example. The words are those of the code.
func TestTheExampleShowsWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	readme := page(t, "README.md")
	for name, tc := range map[string]struct {
		after   []string // the content that is edited
		inPlace decide.InPlace
	}{
		"the file": {[]string{"GREETING", "1", "default.conf", "2"}, decide.InPlace{
			Verdict: decide.Confirmed, Proven: true, Trigger: "SIGHUP to nginx (PID 36)", Proof: "workers renewed",
		}},
		"the variable": {after: []string{"GREETING", "2", "default.conf", "1"}},
		"a mistake": {[]string{"GREETING", "1", "default.conf", "3"}, decide.InPlace{
			Verdict: decide.Rejected, Pod: "web-699bc85fff-4r7ml", Container: "nginx", Message: `no proof (workers renewed) within 5s: ` +
				`the application kept its old configuration; nginx: exit status 1: 2026/12/01 05:05:49 [emerg] 51#51: unknown directive "retrun" in ` +
				`/etc/nginx/conf.d/default.conf:3; nginx: configuration file /etc/nginx/nginx.conf test failed`,
		}},
	} {
		w := withBaseline(t, injected(obj.Env(obj.CM("web"), "GREETING"), obj.Mount(obj.CM("web").Items("default.conf"))), cm("web", "GREETING", "1", "default.conf", "1"))
		w.set(cm("web", tc.after...))
		w.input.InPlace = tc.inPlace
		w.input.InPlace.Sidecar = true
		message := strings.ReplaceAll(w.decide().Message, "-n "+obj.Namespace, "-n default")
		if message == "" || !strings.Contains(readme, "   "+message+"\n") {
			t.Errorf("%s: README.md does not show %q", name, message)
		}
	}
}
