package source

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// longestPath is how long a path can be, in bytes: PATH_MAX of Linux.
const longestPath = 4096

// mountSubPath returns the path of files inside the volume that a mount shows. exact
// is false if it is known only inside a pod: a subPathExpr with a variable
// whose value is not written in the template.
func mountSubPath(c *corev1.Container, mount *corev1.VolumeMount) (subPath string, exact bool) {
	if mount.SubPathExpr == "" {
		return filePath(mount.SubPath), true
	}
	literals := make(map[string]string, len(c.Env))
	for _, env := range c.Env {
		if env.ValueFrom == nil && !strings.Contains(env.Value, "$") {
			literals[env.Name] = env.Value
		} else {
			delete(literals, env.Name)
		}
	}
	expanded, ok := expand(mount.SubPathExpr, literals)
	return filePath(expanded), ok
}

// expand replaces $(NAME) from values; $$ stands for one dollar sign, as in
// k8s.io/kubernetes/third_party/forked/golang/expansion. It reports false at
// the first name without a value, and where the path is too long to exist: an expression that repeats a long value
// would make one of gigabytes.
func expand(text string, values map[string]string) (string, bool) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		if rest, escaped := strings.CutPrefix(after, "$"); escaped {
			out.WriteByte('$')
			text = rest
			continue
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "("), ")")
		if !strings.HasPrefix(after, "(") || !closed {
			out.WriteByte('$')
			text = after
			continue
		}
		value, known := values[name]
		if !known || out.Len()+len(value) > longestPath {
			return "", false
		}
		out.WriteString(value)
		text = rest
	}
}

// filePath is [cleanPath] of the files themselves: a folder of the kubelet, such as ..data, has all files of the volume in it.
func filePath(p string) string {
	clean := cleanPath(p)
	if first, rest, _ := strings.Cut(clean, "/"); strings.HasPrefix(first, "..") {
		return rest
	}
	return clean
}

// cleanPath makes a path inside a volume comparable: no leading or trailing
// slash, "" for the root.
func cleanPath(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}
