package inplace

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"inpod.dev/inpod/controller/internal/observe"
	"inpod.dev/inpod/internal/confirm"
	"inpod.dev/inpod/internal/source"
)

// conf is the ConfigMap shop/NAME with these keys.
func conf(name string, data map[string]string) source.Use {
	snapshot := source.Snapshot{Ref: refTo(name), Keys: map[string]source.Entry{}}
	for key, value := range data {
		snapshot.Keys[key] = source.Entry{Digest: source.DigestOf([]byte(value))}
	}
	return source.Use{Scope: source.Scope{Ref: snapshot.Ref}, Snapshot: &snapshot}
}

func refTo(name string) source.Ref {
	return source.Ref{Kind: source.ConfigMap, Namespace: "shop", Name: name}
}

func digest(value string) string { return confirm.Digest(source.DigestOf([]byte(value))) }

func TestFilesThatAPodHasToHave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mounts []observe.Mount
		uses   []source.Use
		want   map[string]string
	}{
		"every key is a file of its name": {
			mounts: []observe.Mount{{Ref: refTo("a"), Path: "/etc/a"}},
			uses:   []source.Use{conf("a", map[string]string{"x": "1", "y": "2"})},
			want:   map[string]string{"/etc/a/x": digest("1"), "/etc/a/y": digest("2")},
		},
		"items say which keys, and where": {
			mounts: []observe.Mount{{Ref: refTo("a"), Path: "/etc/a", Items: []corev1.KeyToPath{{Key: "x", Path: "sub/z"}, {Key: "gone", Path: "g"}}}},
			uses:   []source.Use{conf("a", map[string]string{"x": "1", "y": "2"})},
			want:   map[string]string{"/etc/a/sub/z": digest("1"), "/etc/a/g": confirm.Missing},
		},
		"of two sources of a projected volume the later one wins": {
			mounts: []observe.Mount{{Ref: refTo("a"), Path: "/p"}, {Ref: refTo("b"), Path: "/p"}},
			uses:   []source.Use{conf("b", map[string]string{"x": "b"}), conf("a", map[string]string{"x": "a", "y": "a"})},
			want:   map[string]string{"/p/x": digest("b"), "/p/y": digest("a")},
		},
		"what did not change is not asked for": {
			mounts: []observe.Mount{{Ref: refTo("a"), Path: "/a"}, {Ref: refTo("other"), Path: "/o"}},
			uses:   []source.Use{conf("a", map[string]string{"x": "1"})},
			want:   map[string]string{"/a/x": digest("1")},
		},
		"of a source that is gone only the items are known": {
			mounts: []observe.Mount{{Ref: refTo("a"), Path: "/a"}, {Ref: refTo("a"), Path: "/b", Items: []corev1.KeyToPath{{Key: "x", Path: "x"}}}},
			uses:   []source.Use{{Scope: source.Scope{Ref: refTo("a")}}},
			want:   map[string]string{"/b/x": confirm.Missing},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, expected(observe.Pod{Mounts: c.mounts}, c.uses)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHowAPodStands(t *testing.T) {
	t.Parallel()
	now := time.Now()
	want := map[string]string{"/a": digest("new"), "/b": digest("b")}
	with := func(result confirm.Result, files ...string) confirm.Reply {
		reply := confirm.Reply{Result: result, At: now, Changed: now.Add(-time.Minute), Files: maps.Clone(want)}
		for i := 0; i < len(files); i += 2 {
			reply.Files[files[i]] = files[i+1]
		}
		return reply
	}
	for name, c := range map[string]struct {
		reply     confirm.Reply
		age       time.Duration
		want      standing
		refreshed bool
	}{
		"it has the content and was told":                          {with(confirm.Applied), time.Second, confirmed, true},
		"it has had the content since it started":                  {with(confirm.None), time.Second, confirmed, true},
		"the sidecar has not told it yet":                          {with(confirm.Pending), time.Second, waiting, true},
		"it does not accept the content":                           {with(confirm.Rejected), time.Second, rejected, true},
		"it could not be told":                                     {with(confirm.Failed), time.Second, failing, true},
		"it died":                                                  {with(confirm.Died), time.Second, failing, true},
		"it was told of other content":                             {with(confirm.Applied, "/a", digest("old")), time.Second, waiting, false},
		"it rejected other content":                                {with(confirm.Rejected, "/a", digest("old")), time.Second, waiting, false},
		"a file is not there yet":                                  {with(confirm.Applied, "/a", confirm.Missing), time.Second, waiting, false},
		"a token does not count":                                   {with(confirm.Applied, "/b", confirm.Ignored), time.Second, confirmed, true},
		"a file that cannot be read, changed before the content":   {with(confirm.Applied, "/a", confirm.Opaque), 10 * time.Second, waiting, false},
		"a file that cannot be read, changed with the content":     {with(confirm.Applied, "/a", confirm.Opaque), time.Minute, confirmed, true},
		"a file that cannot be read, and nobody saw the change":    {with(confirm.Applied, "/a", confirm.Opaque), 1<<63 - 1, confirmed, true},
		"a file that cannot be read beside one of the old content": {with(confirm.Applied, "/a", confirm.Opaque, "/b", digest("old")), time.Minute, waiting, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, refreshed := judge(c.reply, want, c.age)
			if got != c.want || refreshed != c.refreshed {
				t.Errorf("%s, refreshed %t; want %s, %t", got, refreshed, c.want, c.refreshed)
			}
		})
	}
}
