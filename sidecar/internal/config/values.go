package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Watch is one path to watch.
type Watch struct {
	Path string
	// Keys are the wanted files below it; none means all.
	Keys []string
	// Ignored are files and folders below it whose changes are none.
	Ignored []string
	// Anchors are files below it that count by their set of certificates.
	Anchors []string
}

// ParseWatch understands PATH and PATH:KEY,KEY. The last ":" separates, so a path that itself holds one is written
// with a ":" at its end. A mount path in Kubernetes never holds one.
func ParseWatch(spec string) (Watch, error) {
	i := strings.LastIndexByte(spec, ':')
	if i < 0 {
		i = len(spec)
		spec += ":"
	}
	w := Watch{Path: spec[:i]}
	if w.Path == "" {
		return Watch{}, fmt.Errorf("%q has no path; want PATH or PATH:KEY,KEY", spec)
	}
	if strings.ContainsRune(spec, 0) {
		return Watch{}, fmt.Errorf("%q holds a zero byte", spec)
	}
	if spec[i+1:] == "" {
		return w, nil
	}
	for key := range strings.SplitSeq(spec[i+1:], ",") {
		clean := path.Clean(key)
		if key == "" || path.IsAbs(key) || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") {
			return Watch{}, fmt.Errorf("%q: %q is no key; want a file name, or a path below %s", spec, key, w.Path)
		}
		if !slices.Contains(w.Keys, clean) {
			w.Keys = append(w.Keys, clean)
		}
	}
	return w, nil
}

// list reads a repeated flag, a list in the file, or a variable with separators.
func (r *reader) list(key string) []string {
	var list []string
	switch value := r.v.Get(key).(type) {
	case nil:
	case string:
		for item := range strings.SplitSeq(value, listSep) {
			list = append(list, strings.TrimSpace(item))
		}
	case []string:
		list = append(list, value...)
	case []any:
		for _, item := range value {
			text, ok := item.(string)
			if !ok {
				r.fail(key, fmt.Errorf("%v is not a string", item))
			}
			list = append(list, text)
		}
	default:
		r.fail(key, fmt.Errorf("want a list of strings, not %T", value))
	}
	return slices.DeleteFunc(list, func(item string) bool { return item == "" })
}

// boolean, integer and duration refuse what viper would silently take for zero.
func (r *reader) boolean(key string) bool {
	value, err := strconv.ParseBool(r.text(key))
	if err != nil {
		r.fail(key, fmt.Errorf("%q is neither true nor false", r.text(key)))
	}
	return value
}

func (r *reader) integer(key string) int {
	value, err := strconv.Atoi(r.text(key))
	if err != nil || value < 1 {
		r.fail(key, fmt.Errorf("%q is no number of at least 1", r.text(key)))
	}
	return value
}

func (r *reader) duration(key string) time.Duration {
	value, err := time.ParseDuration(r.text(key))
	if err != nil || value <= 0 {
		r.fail(key, fmt.Errorf("%q is no duration above zero, such as 500ms or 3s", r.text(key)))
	}
	return value
}

func (r *reader) oneOf(key string, allowed ...string) string {
	value := r.text(key)
	if !slices.Contains(allowed, value) {
		r.fail(key, fmt.Errorf("unknown value %q; allowed are %s", value, strings.Join(allowed, ", ")))
	}
	return value
}

// command reads a JSON array of strings: no shell is involved, so there is nothing to quote.
func (r *reader) command(key string) []string {
	value := r.v.Get(key)
	if list, ok := value.([]any); ok && len(list) > 0 { // a list in the file needs no JSON in a string
		return r.list(key)
	}
	text := r.text(key)
	if text == "" {
		return nil
	}
	var argv []string
	if err := json.Unmarshal([]byte(text), &argv); err != nil {
		r.fail(key, fmt.Errorf(`want a JSON array of strings, such as ["nginx","-t"]: %w`, err))
		return nil
	}
	if len(argv) == 0 || argv[0] == "" {
		r.fail(key, errors.New("an empty command"))
		return nil
	}
	return argv
}

func (r *reader) text(key string) string { return fmt.Sprint(r.v.Get(key)) }
