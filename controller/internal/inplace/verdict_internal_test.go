package inplace

import (
	"context"
	"encoding/pem"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/anchors"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/sidecarapi"
	"inpod.dev/inpod/internal/source"
)

// conf is the ConfigMap shop/NAME with these keys.
func conf(name string, data map[string]string) source.SourceState {
	snapshot := source.Snapshot{Ref: refTo(name), Keys: map[string]source.Entry{}}
	for key, value := range data {
		snapshot.Keys[key] = source.Entry{Digest: source.DigestOf([]byte(value))}
	}
	return source.SourceState{Usages: source.SourceUsages{Ref: snapshot.Ref}, Snapshot: &snapshot}
}

func refTo(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: name}
}

func digest(value string) string { return sidecarapi.Digest(source.DigestOf([]byte(value))) }

// changed is a cause: these keys of a ConfigMap differ.
func changed(name string, keys ...string) decide.Cause {
	cause := decide.Cause{Ref: refTo(name)}
	for _, key := range keys {
		cause.Diff.Changes = append(cause.Diff.Changes, source.Change{Key: key, Live: true})
	}
	return cause
}

func TestWhatAPodHasToHave(t *testing.T) {
	t.Parallel()
	at := func(name, path string, items ...string) observe.Mount {
		mount := observe.Mount{Ref: refTo(name), Path: path}
		if name == "" {
			mount.Ref = source.Ref{} // of no source
		}
		for i := 0; i < len(items); i += 2 {
			mount.Items = append(mount.Items, corev1.KeyToPath{Key: items[i], Path: items[i+1]})
		}
		return mount
	}
	roots := source.ClusterTrustBundle.Ref("", "roots")
	anchored := source.OfTrustBundles(roots, anchors.Of(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("a")})))
	created, deleted := changed("a", ""), changed("a", "")
	created.Diff.Created, deleted.Diff.Deleted = true, true
	absent := source.SourceState{Usages: source.SourceUsages{Ref: refTo("a")}}
	unseen := source.SourceState{Usages: source.SourceUsages{Ref: refTo("hidden")}, Unseen: true}
	for name, c := range map[string]struct {
		mounts []observe.Mount
		uses   []source.SourceState
		causes []decide.Cause
		want   expectation
	}{
		"every key is a file of its name": {
			[]observe.Mount{at("a", "/etc/a")},
			[]source.SourceState{conf("a", map[string]string{"x": "1", "y": "2"})},
			[]decide.Cause{changed("a", "x")},
			expectation{files: map[string]string{"/etc/a/x": digest("1"), "/etc/a/y": digest("2")}, concerned: true},
		},
		"a key that went is a file that has to go": {
			[]observe.Mount{at("a", "/etc/a")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"})},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/etc/a/x": digest("1"), "/etc/a/y": sidecarapi.Missing}, concerned: true},
		},
		"of very many keys it is not known which went": {
			[]observe.Mount{at("a", "/etc/a")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"})},
			[]decide.Cause{changed("a", "")},
			expectation{files: map[string]string{"/etc/a/x": digest("1")}, swapped: true, concerned: true},
		},
		"of a source that was created none can have gone": {
			[]observe.Mount{at("a", "/etc/a")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"})},
			[]decide.Cause{created},
			expectation{files: map[string]string{"/etc/a/x": digest("1")}, concerned: true},
		},
		"items say which keys, and where": {
			[]observe.Mount{at("a", "/etc/a", "x", "sub/z", "gone", "g")},
			[]source.SourceState{conf("a", map[string]string{"x": "1", "y": "2"})},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/etc/a/sub/z": digest("1"), "/etc/a/g": sidecarapi.Missing}, concerned: true},
		},
		"of two sources of a projected volume the later one wins": {
			[]observe.Mount{at("a", "/p"), at("b", "/p")},
			[]source.SourceState{conf("b", map[string]string{"x": "b"}), conf("a", map[string]string{"x": "a", "y": "a"})},
			[]decide.Cause{changed("a", "x", "y"), changed("b", "x")},
			expectation{files: map[string]string{"/p/x": digest("b"), "/p/y": digest("a")}, concerned: true},
		},
		"the later one wins as well when it did not change": {
			[]observe.Mount{at("a", "/p"), at("b", "/p", "x", "x", "gone", "y")},
			[]source.SourceState{conf("a", map[string]string{"x": "a", "y": "a"}), conf("b", map[string]string{"x": "b"})},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/p/x": digest("b"), "/p/y": digest("a")}, concerned: true},
		},
		"behind a key that went an earlier source appears": {
			[]observe.Mount{at("b", "/p"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"y": "a"}), conf("b", map[string]string{"x": "b"})},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/p/x": digest("b"), "/p/y": digest("a")}, concerned: true},
		},
		"behind a source that is gone an earlier one appears, whatever its items were": {
			[]observe.Mount{at("b", "/p"), at("a", "/p", "x", "x", "y", "y")},
			[]source.SourceState{conf("b", map[string]string{"x": "b"}), absent},
			[]decide.Cause{deleted},
			expectation{files: map[string]string{"/p/x": digest("b"), "/p/y": sidecarapi.Missing}, concerned: true},
		},
		"a file that a token hides is nothing to wait for": {
			[]observe.Mount{at("a", "/p"), at("", "/p", "", "x")},
			[]source.SourceState{conf("a", map[string]string{"x": "1", "y": "2"})},
			[]decide.Cause{changed("a", "x", "y", "z")},
			expectation{files: map[string]string{"/p/y": digest("2"), "/p/z": sidecarapi.Missing}, concerned: true},
		},
		"behind a key that went a token appears": {
			[]observe.Mount{at("", "/p", "", "x"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"y": "2"})},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/p/y": digest("2")}, concerned: true},
		},
		"a key that changed has a path that the sidecar leaves out": {
			[]observe.Mount{at("", "/p", "", "ignored"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"ignored": "1"})},
			[]decide.Cause{changed("a", "ignored")},
			expectation{files: map[string]string{"/p/ignored": sidecarapi.Missing}, concerned: true, beyond: refTo("a")},
		},
		"another key than the one that the sidecar leaves out changed": {
			[]observe.Mount{at("", "/p", "", "ignored"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"ignored": "1", "y": "2"})},
			[]decide.Cause{changed("a", "y")},
			expectation{files: map[string]string{"/p/ignored": digest("1"), "/p/y": digest("2")}, concerned: true},
		},
		"an unknown source may hide each file of its volume": {
			[]observe.Mount{at("a", "/p", "x", "x", "y", "sub/y"), at("hidden", "/p"), at("a", "/a")},
			[]source.SourceState{conf("a", map[string]string{"x": "1", "y": "2"}), unseen},
			[]decide.Cause{changed("a", "x", "y", "z")},
			expectation{
				files:     map[string]string{"/p/sub/y": digest("2"), "/a/x": digest("1"), "/a/y": digest("2"), "/a/z": sidecarapi.Missing},
				concerned: true,
			},
		},
		"such a source hides no other file than its items": {
			[]observe.Mount{at("a", "/p"), at("hidden", "/p", "k", "x")},
			[]source.SourceState{conf("a", map[string]string{"x": "1", "y": "2"}), unseen},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/p/y": digest("2")}, concerned: true},
		},
		"such a source hides nothing that comes later": {
			[]observe.Mount{at("hidden", "/p"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"}), unseen},
			[]decide.Cause{changed("a", "x")},
			expectation{files: map[string]string{"/p/x": digest("1")}, concerned: true},
		},
		"behind a key that went such a source may have a file": {
			[]observe.Mount{at("hidden", "/p"), at("a", "/p")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"}), unseen},
			[]decide.Cause{changed("a", "x", "y")},
			expectation{files: map[string]string{"/p/x": digest("1")}, concerned: true},
		},
		"what did not change is not asked for": {
			[]observe.Mount{at("a", "/a"), at("b", "/b")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"}), conf("b", map[string]string{"x": "1"})},
			[]decide.Cause{changed("a", "x")},
			expectation{files: map[string]string{"/a/x": digest("1")}, concerned: true},
		},
		"of a source that is gone only the items are known": {
			[]observe.Mount{at("a", "/a"), at("a", "/b", "x", "x")},
			[]source.SourceState{absent},
			[]decide.Cause{deleted},
			expectation{files: map[string]string{"/b/x": sidecarapi.Missing}, swapped: true, concerned: true},
		},
		"a pod of an older template may have nothing of it": {
			[]observe.Mount{at("b", "/b")},
			[]source.SourceState{conf("a", map[string]string{"x": "1"})},
			[]decide.Cause{changed("a", "x")},
			expectation{files: map[string]string{}},
		},
		"a bundle that is edited": {
			[]observe.Mount{{Ref: roots, Path: "/p", Items: []corev1.KeyToPath{{Key: "trustBundle", Path: "ca.crt"}}}},
			[]source.SourceState{{Usages: source.SourceUsages{Ref: roots}, Snapshot: &anchored}},
			[]decide.Cause{{Ref: roots, Diff: source.Diff{Changes: []source.Change{{Key: "trustBundle", Live: true}}}}},
			expectation{files: map[string]string{"/p/ca.crt": sidecarapi.Digest(anchored.Keys["trustBundle"].Digest)}, concerned: true},
		},
		"a bundle that is gone leaves an empty file": {
			[]observe.Mount{{Ref: roots, Path: "/p", Items: []corev1.KeyToPath{{Key: "trustBundle", Path: "ca.crt"}}}},
			[]source.SourceState{{Usages: source.SourceUsages{Ref: roots}}},
			[]decide.Cause{{Ref: roots, Diff: source.Diff{Deleted: true, Changes: []source.Change{{Live: true}}}}},
			expectation{files: map[string]string{"/p/ca.crt": sidecarapi.Digest(source.NoAnchors())}, concerned: true},
		},
		"what only other containers see is nothing to ask the sidecar for": {
			nil,
			[]source.SourceState{conf("elsewhere", nil)},
			[]decide.Cause{changed("elsewhere", "x")},
			expectation{files: map[string]string{}, beyond: refTo("elsewhere")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := observe.Pod{Mounts: c.mounts, Ignored: []string{"/p/ignored"}, Beyond: []source.Ref{refTo("elsewhere"), refTo("never-changed")}}
			got := expected(pod, c.uses, c.causes)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(expectation{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHowAPodStands(t *testing.T) {
	t.Parallel()
	now := time.Now()
	want := map[string]string{"/a": digest("new"), "/b": digest("b")}
	with := func(result sidecarapi.Result, files ...string) sidecarapi.Response {
		reply := sidecarapi.Response{Result: result, At: now, Changed: now.Add(-time.Minute), Files: maps.Clone(want)}
		for i := 0; i < len(files); i += 2 {
			reply.Files[files[i]] = files[i+1]
		}
		return reply
	}
	for name, c := range map[string]struct {
		reply     sidecarapi.Response
		age       time.Duration
		want      podState
		refreshed bool
	}{
		"it has the content and was reloaded":                      {with(sidecarapi.Applied), time.Second, confirmed, true},
		"it has had the content since it started":                  {with(sidecarapi.None), time.Second, confirmed, true},
		"the sidecar has not reloaded it yet":                      {with(sidecarapi.Pending), time.Second, waiting, true},
		"it does not accept the content":                           {with(sidecarapi.Rejected), time.Second, rejected, true},
		"it has not answered yet":                                  {with(sidecarapi.Late), time.Second, waiting, true},
		"it needs a restart":                                       {with(sidecarapi.NeedsRestart), time.Second, outdated, true},
		"other content needs a restart":                            {with(sidecarapi.NeedsRestart, "/a", digest("old")), time.Second, waiting, false},
		"it could not be reloaded":                                 {with(sidecarapi.Failed), time.Second, failing, true},
		"it died":                                                  {with(sidecarapi.Died), time.Second, failing, true},
		"it was reloaded with other content":                       {with(sidecarapi.Applied, "/a", digest("old")), time.Second, waiting, false},
		"it rejected other content":                                {with(sidecarapi.Rejected, "/a", digest("old")), time.Second, waiting, false},
		"a file is not there yet":                                  {with(sidecarapi.Applied, "/a", sidecarapi.Missing), time.Second, waiting, false},
		"a token does not count":                                   {with(sidecarapi.Applied, "/b", sidecarapi.Ignored), time.Second, confirmed, true},
		"a file that cannot be read, changed before the content":   {with(sidecarapi.Applied, "/a", sidecarapi.Opaque), 10 * time.Second, waiting, false},
		"a file that cannot be read, changed with the content":     {with(sidecarapi.Applied, "/a", sidecarapi.Opaque), time.Minute, confirmed, true},
		"a file that cannot be read, and nobody saw the change":    {with(sidecarapi.Applied, "/a", sidecarapi.Opaque), 1<<63 - 1, confirmed, true},
		"a file that cannot be read beside one of the old content": {with(sidecarapi.Applied, "/a", sidecarapi.Opaque, "/b", digest("old")), time.Minute, waiting, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, refreshed := evaluateReply(c.reply, expectation{files: want}, c.age, now.Add(-time.Hour))
			if got != c.want || refreshed != c.refreshed {
				t.Errorf("%s, refreshed %t; want %s, %t", got, refreshed, c.want, c.refreshed)
			}
		})
	}
}

// What the files do not say, times do.
func TestHowAPodStandsByTimes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		reply   sidecarapi.Response
		swapped bool
		started time.Duration // before now; 0 for unknown
		want    podState
	}{
		"nothing shows that a key went, and the volume is older": {
			sidecarapi.Response{Result: sidecarapi.None, Changed: now.Add(-time.Hour)}, true, 0, waiting,
		},
		"the volume is as new": {sidecarapi.Response{Result: sidecarapi.Applied, Changed: now.Add(-time.Minute)}, true, 0, confirmed},
		"the application started after the volume was as it is": {
			sidecarapi.Response{Result: sidecarapi.None, Assumed: true, Changed: now.Add(-time.Hour)}, false, time.Minute, confirmed,
		},
		"it started within the same second": {
			sidecarapi.Response{Result: sidecarapi.None, Assumed: true, Changed: now.Add(-time.Minute)}, false, time.Minute + 999*time.Millisecond, confirmed,
		},
		"it started before, and the sidecar only after that": {
			sidecarapi.Response{Result: sidecarapi.None, Assumed: true, Changed: now.Add(-time.Minute)}, false, 2 * time.Minute, waiting,
		},
		"it started before, and has said that it has it": {
			sidecarapi.Response{Result: sidecarapi.None, Changed: now.Add(-time.Minute)}, false, 2 * time.Minute, confirmed,
		},
		"nobody knows when it started": {
			sidecarapi.Response{Result: sidecarapi.None, Assumed: true, Changed: now.Add(-time.Minute)}, false, 0, confirmed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := time.Time{}
			if c.started > 0 {
				started = now.Add(-c.started)
			}
			c.reply.At = now
			if got, _ := evaluateReply(c.reply, expectation{swapped: c.swapped}, time.Minute, started); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A workload may have thousands of pods, and each of them hundreds of files.
func TestNoFilesAreKeptOfAReply(t *testing.T) {
	t.Parallel()
	c := &reloadTask{uses: []source.SourceState{conf("a", map[string]string{"x": "1"})}, causes: []decide.Cause{changed("a", "x")}, started: time.Now()}
	c.reloader = New(Options{
		Ask: func(context.Context, observe.Pod, Question) (sidecarapi.Response, error) {
			return sidecarapi.Response{Result: sidecarapi.Applied, Proof: "metrics", Files: map[string]string{"/a/x": digest("1")}}, nil
		},
		NudgeRate: 1, Registerer: prometheus.NewRegistry(),
	})
	s := &podReload{pod: observe.Pod{Running: true, Address: "10.0.0.1", Mounts: []observe.Mount{{Ref: refTo("a"), Path: "/a"}}}}
	c.checkPod(t.Context(), s)
	if s.state != confirmed || s.reply.Proof != "metrics" || s.reply.Files != nil {
		t.Errorf("the pod is %s, and its reply %+v; want it confirmed, and the reply without files", s.state, s.reply)
	}
}
