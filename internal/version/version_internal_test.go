package version

import (
	"runtime/debug"
	"testing"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	settings := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: modified}}
	}
	for name, tc := range map[string]struct {
		version string
		info    debug.BuildInfo
		want    string
	}{
		"the version of the Makefile goes first": {
			version: "1.2.3",
			info:    debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v0.0.1"}},
			want:    "1.2.3 (go1.26)",
		},
		"go install stamps a version": {
			info: debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v0.0.1"}, Settings: settings("false")},
			want: "v0.0.1 (revision abc, go1.26)",
		},
		"a changed tree shows": {
			info: debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "(devel)"}, Settings: settings("true")},
			want: "devel (revision abc-dirty, go1.26)",
		},
		"nothing is known": {info: debug.BuildInfo{GoVersion: "go1.26"}, want: "devel (go1.26)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := buildFrom(tc.version, &tc.info).String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
