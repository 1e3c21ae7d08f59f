package settings

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"inpod.dev/inpod/internal/logging"
)

// Value is a field of a Config that can be set from text. Its Type is the placeholder in the help. A value that may also be
// written as a list in the configuration file is a [List] too.
type Value = pflag.Value

// List is a [Value] of several entries.
type List interface {
	Value
	// SetList takes the entries of a list in the configuration file.
	SetList(entries []string) error
}

// inOneText is a [Value] whose entries a variable, or one text in the configuration file, has all in one, unlike a flag.
type inOneText interface {
	setOne(text string)
}

func isBool(v Value) bool {
	b, ok := v.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// invalidError is the error of a text that a value cannot be set from.
type invalidError struct{ text, want string }

func (e *invalidError) Error() string { return fmt.Sprintf("%q is not %s", e.text, e.want) }

// scalar is a value made of one piece of text.
type scalar[T any] struct {
	field       *T
	placeholder string
	want        string
	parse       func(string) (T, error)
	format      func(T) string
}

// Scalar is a value made of one piece of text. Its want completes the sentence: "x" is not …
func Scalar[T any](field *T, placeholder, want string, parse func(string) (T, error), format func(T) string) Value {
	return scalar[T]{field, placeholder, want, parse, format}
}

// Set implements [pflag.Value]. Its error names the text and what is allowed instead, and not where the text came from.
func (s scalar[T]) Set(text string) error {
	parsed, err := s.parse(strings.TrimSpace(text))
	if err != nil {
		return &invalidError{text, s.want}
	}
	*s.field = parsed
	return nil
}

func (s scalar[T]) String() string { return s.format(*s.field) }

// Type implements [pflag.Value].
func (s scalar[T]) Type() string { return s.placeholder }

// IsBoolFlag reports whether the flag may stand without a value, which then is true.
func (s scalar[T]) IsBoolFlag() bool { _, is := any(s.field).(*bool); return is }

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

// Level is the lowest level to log.
func Level(field *slog.Level) Value {
	want := "a log level: use one of " + strings.Join(logging.LevelNames(), ", ")
	return scalar[slog.Level]{field, "LEVEL", want, logging.ParseLevel, logging.LevelName}
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

// SetList implements [List].
func (l *list) SetList(entries []string) error { return l.Set(strings.Join(entries, ",")) }

// variableSeparator separates the entries of a repeated flag in one environment variable.
const variableSeparator = ";"

// repeated is a value made of many pieces of text, each of which may hold any character: a flag that is given several times.
type repeated struct {
	field       *[]string
	placeholder string
}

// Repeated is a list whose flag is given once for each entry. In an environment variable, and in one text in the configuration
// file, semicolons separate the entries.
func Repeated(field *[]string, placeholder string) Value {
	return &repeated{field: field, placeholder: placeholder}
}

// Set implements [pflag.Value]. An empty entry, as templates produce it, is dropped.
func (r *repeated) Set(text string) error {
	if text != "" {
		*r.field = append(*r.field, text)
	}
	return nil
}

// SetList implements [List].
func (r *repeated) SetList(entries []string) error {
	*r.field = slices.DeleteFunc(slices.Clone(entries), func(entry string) bool { return entry == "" })
	return nil
}

func (r *repeated) setOne(text string) {
	for entry := range strings.SplitSeq(text, variableSeparator) {
		if entry = strings.TrimSpace(entry); entry != "" {
			*r.field = append(*r.field, entry)
		}
	}
}

func (r *repeated) String() string { return strings.Join(*r.field, variableSeparator) }

// Type implements [pflag.Value].
func (r *repeated) Type() string { return r.placeholder }
