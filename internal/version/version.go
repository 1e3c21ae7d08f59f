// Package version reports which build of a program is running.
package version

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Build says which build of the program this is.
type Build struct {
	Version   string // release, pseudo-version, or "devel"
	Revision  string // commit, with "-dirty" when the tree was changed; "" when Go stamped none
	GoVersion string
}

// linked is set by the linker (tools/build.sh); "go run" and "go install" leave it empty.
var linked = "" //nolint:gochecknoglobals // what the linker sets has to be one

// Read returns the build of the running program. A version from the linker has precedence over the one that Go stamps.
func Read() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{GoVersion: runtime.Version()}
	}
	return buildFrom(linked, info)
}

func buildFrom(version string, info *debug.BuildInfo) Build {
	build := Build{Version: version, GoVersion: info.GoVersion}
	if build.Version == "" {
		build.Version = info.Main.Version
	}
	if build.Version == "" || build.Version == "(devel)" {
		build.Version = "devel"
	}
	dirty := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			build.Revision = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if dirty && build.Revision != "" {
		build.Revision += "-dirty"
	}
	return build
}

// String is the answer to --version.
func (b Build) String() string {
	if b.Revision == "" {
		return fmt.Sprintf("%s (%s)", b.Version, b.GoVersion)
	}
	return fmt.Sprintf("%s (revision %s, %s)", b.Version, b.Revision, b.GoVersion)
}
