package kubevalue

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"inpod.dev/inpod/internal/settings"
)

// Selector is a label selector, as kubectl reads it; "" selects everything. What a repeated flag says has to match too.
// Reloader's older forms are read as well: "key:value" is "key=value", "key:*" and "key=*" are "key".
func Selector(field *string) settings.Value { return &selector{field: field} }

type selector struct {
	field   *string
	changed bool
}

// Set implements [pflag.Value].
func (s *selector) Set(text string) error {
	parsed, err := labels.Parse(modern(text))
	if err != nil {
		return fmt.Errorf("%q is not a label selector: %w; write it like 'team=shop,tier in (web,api),!legacy'", text, err)
	}
	if canonical := parsed.String(); !s.changed || *s.field == "" {
		*s.field = canonical
	} else if canonical != "" {
		*s.field += "," + canonical
	}
	s.changed = true
	return nil
}

// modern rewrites Reloader's older forms (internal/pkg/util, ParseSelector). A colon is in no key and no value.
func modern(text string) string {
	parts := strings.Split(text, ",")
	for i, part := range parts {
		if key, value, old := strings.Cut(part, ":"); old && !strings.ContainsAny(part, "=!()") {
			parts[i] = strings.TrimSpace(key) + "=" + strings.TrimSpace(value)
		}
		if key, star := strings.CutSuffix(strings.TrimSpace(parts[i]), "=*"); star {
			parts[i] = strings.TrimSuffix(key, "=")
		}
	}
	return strings.Join(parts, ",")
}

func (s *selector) String() string { return *s.field }

// Type implements [pflag.Value].
func (s *selector) Type() string { return "SELECTOR" }

// SetList implements [settings.List].
func (s *selector) SetList(entries []string) error { return s.Set(strings.Join(entries, ",")) }
