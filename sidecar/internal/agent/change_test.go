package agent_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/sidecar/internal/agent"
	"inpod.dev/inpod/sidecar/internal/digest"
)

// folder is a state of one watched folder. Each file is given by its content, "?" for one that may not be read.
func folder(sum byte, contents map[string]string) digest.State {
	v := digest.Volume{Path: "/v", Kind: digest.KindFolder, Sum: digest.Sum{sum}, Entries: map[string]digest.Entry{}}
	for name, content := range contents {
		entry := digest.Entry{Kind: digest.EntryFile}
		copy(entry.Short[:], content)
		if content == "?" {
			entry = digest.Entry{Kind: digest.EntryOpaque}
		}
		v.Entries[name] = entry
	}
	return digest.Combine([]digest.Volume{v})
}

func TestTheTriggerLearnsWhichFilesDiffer(t *testing.T) {
	t.Parallel()
	before := folder(1, map[string]string{"a": "1", "b/c": "1", "key": "?"})
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when a bubble begins
	for name, tc := range map[string]struct {
		states      []digest.State
		outcomes    []agent.Outcome
		changed     time.Time
		loadedAt    time.Time
		wantFiles   []string
		wantUnknown bool
	}{
		"an edited, a deleted and a new file differ": {
			states: []digest.State{before, folder(2, map[string]string{"a": "2", "d": "1", "key": "?"})}, wantFiles: []string{"/v/a", "/v/b/c", "/v/d"},
		},
		"a file that may not be read differs when nothing else does": {
			states: []digest.State{before, folder(2, map[string]string{"a": "1", "b/c": "1", "key": "?"})}, wantFiles: []string{"/v/key"},
		},
		"the files are compared with what was applied, not with what failed before it was sent": {
			states:    []digest.State{before, folder(2, map[string]string{"a": "2", "b/c": "1"}), folder(3, map[string]string{"a": "1", "b/c": "2"})},
			outcomes:  []agent.Outcome{{Result: agent.Failed, Final: true}},
			wantFiles: []string{"/v/b/c", "/v/key"},
		},
		"nobody knows what an application has of the files of a trigger that failed": {
			states: []digest.State{
				before, folder(2, map[string]string{"a": "2", "b/c": "1", "key": "?"}), folder(3, map[string]string{"a": "1", "b/c": "2", "key": "?"}),
			},
			outcomes:  []agent.Outcome{{Result: agent.Failed, Final: true, Triggered: true}},
			wantFiles: []string{"/v/a", "/v/b/c"},
		},
		"nobody knows what an application has of a file that came with a refused content and went": {
			states:    []digest.State{before, folder(2, map[string]string{"a": "1", "b/c": "1", "key": "?", "d": "1"}), folder(3, map[string]string{"a": "2", "b/c": "1", "key": "?"})},
			outcomes:  []agent.Outcome{{Result: agent.Rejected, Triggered: true}},
			wantFiles: []string{"/v/a", "/v/d"},
		},
		"what is applied leaves no doubt": {
			states: []digest.State{
				before, folder(2, map[string]string{"a": "2", "b/c": "1"}), folder(3, map[string]string{"a": "1", "b/c": "1"}), folder(4, map[string]string{"a": "1", "b/c": "2"}),
			},
			outcomes:  []agent.Outcome{{Result: agent.NeedsRestart, Final: true, Triggered: true}, {Result: agent.Applied}},
			wantFiles: []string{"/v/b/c"},
		},
		"nobody knows what an application has that started before the content changed": {
			states: []digest.State{before}, changed: now, loadedAt: now.Add(-time.Hour), wantUnknown: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{outcomes: tc.outcomes, loadedAt: tc.loadedAt}
				first := tc.states[0]
				first.Changed = tc.changed
				_, send := run(t, r, nil, first)
				for _, s := range tc.states[1:] {
					send(s)
					pass(time.Second)
				}
				pass(time.Second)
				if len(r.changes) == 0 {
					t.Fatal("nothing was triggered")
				}
				got := r.changes[len(r.changes)-1]
				if diff := cmp.Diff(tc.wantFiles, got.Files); diff != "" || got.FilesUnknown != tc.wantUnknown {
					t.Errorf("unknown %v, want %v; files (-want +got):\n%s", got.FilesUnknown, tc.wantUnknown, diff)
				}
			})
		})
	}
}
