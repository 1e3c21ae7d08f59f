package settings

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"

	"inpod.dev/inpod/internal/telemetry"
)

// Value is a field of a Config that can be set from text. Its Type is the placeholder in the help.
type Value interface {
	pflag.Value
	isBool() bool
	isList() bool
}

// scalar is a value made of one piece of text.
type scalar[T any] struct {
	field       *T
	placeholder string
	want        string // completes the sentence: "x" is not …
	parse       func(string) (T, error)
	format      func(T) string
}

// Set implements [pflag.Value]. Its error names the text and what is allowed instead, and not where the text came from.
func (s scalar[T]) Set(text string) error {
	parsed, err := s.parse(strings.TrimSpace(text))
	if err != nil {
		return fmt.Errorf("%q is not %s", text, s.want)
	}
	*s.field = parsed
	return nil
}

func (s scalar[T]) String() string { return s.format(*s.field) }
func (s scalar[T]) Type() string   { return s.placeholder }
func (s scalar[T]) isBool() bool   { _, is := any(s.field).(*bool); return is }
func (s scalar[T]) isList() bool   { return false }

// Text is any text.
func Text(field *string, placeholder string) Value {
	same := func(s string) string { return s }
	return scalar[string]{field, placeholder, "text", func(s string) (string, error) { return s, nil }, same}
}

// Boolean is true or false.
func Boolean(field *bool) Value {
	return scalar[bool]{field, "", "a boolean: use true or false", strconv.ParseBool, strconv.FormatBool}
}

// Integer is a whole number; want says which, and completes the sentence: "x" is not …
func Integer(field *int, want string) Value {
	return scalar[int]{field, "N", want, strconv.Atoi, strconv.Itoa}
}

// Decimal is a number; want says which, and completes the sentence: "x" is not …
func Decimal(field *float64, want string) Value {
	parse := func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }
	format := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return scalar[float64]{field, "N", want, parse, format}
}

// Duration is a time with its unit.
func Duration(field *time.Duration) Value {
	return scalar[time.Duration]{
		field, "DURATION", "a duration: use a number with a unit, such as 500ms, 2s or 1m30s",
		time.ParseDuration, time.Duration.String,
	}
}

// Level is the least level of the log.
func Level(field *slog.Level) Value {
	want := "a log level: use one of " + strings.Join(telemetry.LevelNames(), ", ")
	return scalar[slog.Level]{field, "LEVEL", want, telemetry.ParseLevel, telemetry.LevelName}
}

// OneOf is a closed set. An alias is read as the value it stands for.
func OneOf[T ~string](field *T, placeholder string, aliases map[string]T, allowed ...T) Value {
	names := make([]string, 0, len(allowed)+len(aliases))
	for _, a := range allowed {
		names = append(names, string(a))
	}
	want := "allowed: use " + strings.Join(names, " or ")
	parse := func(s string) (T, error) {
		if alias, ok := aliases[s]; ok {
			return alias, nil
		}
		if i := slices.Index(allowed, T(s)); i >= 0 {
			return allowed[i], nil
		}
		return "", strconv.ErrSyntax
	}
	return scalar[T]{field, placeholder, want, parse, func(t T) string { return string(t) }}
}

// list is a value made of many pieces of text, separated by commas. The first Set replaces what was there, and later
// ones add to it, because a flag may be repeated.
type list struct {
	field       *[]string
	placeholder string
	changed     bool
}

// Names is a list of names, separated by commas.
func Names(field *[]string, placeholder string) Value {
	return &list{field: field, placeholder: placeholder}
}

// Set implements [pflag.Value]. Blanks around an entry and empty entries are dropped (Reloader keeps them, so that
// its "a, b" never means b).
func (l *list) Set(text string) error {
	if !l.changed {
		*l.field, l.changed = nil, true
	}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" && !slices.Contains(*l.field, entry) {
			*l.field = append(*l.field, entry)
		}
	}
	return nil
}

func (l *list) String() string { return strings.Join(*l.field, ",") }
func (l *list) Type() string   { return l.placeholder }
func (l *list) isBool() bool   { return false }
func (l *list) isList() bool   { return true }

// Quantity is an amount of processor time or memory, as Kubernetes writes it.
func Quantity(field *resource.Quantity) Value {
	parse := func(s string) (resource.Quantity, error) {
		q, err := resource.ParseQuantity(s)
		if err == nil && q.Sign() < 0 {
			err = strconv.ErrRange
		}
		return q, err
	}
	format := func(q resource.Quantity) string { return q.String() }
	return scalar[resource.Quantity]{field, "QUANTITY", "a quantity: use such as 5m for processors, 64Mi for memory, or 0 for none", parse, format}
}
