package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/viper"
)

// fileKinds are the file name endings that say how to read a configuration file.
const fileKinds = "yaml, yml, json or toml"

// readFile reads the configuration file. viper knows the languages; everything else about it is left aside: it reads
// the environment of the process by itself, drops an unknown key without a word, and turns "2 seconds" into 2 ns.
// What it could read is returned together with every problem.
func (p Program) readFile(path string) (layer, []error) {
	kind := strings.TrimPrefix(filepath.Ext(path), ".")
	switch kind {
	case "yaml", "yml", "json", "toml":
	case "":
		kind = "yaml" // a key of a mounted ConfigMap often has no ending
	default:
		return nil, []error{fmt.Errorf("file %s: the name must end with %s", path, fileKinds)}
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, []error{fmt.Errorf("file %s: is not a regular file", path)} // a named pipe would be waited for
	}
	// A setting has no dots in its name, so a key with one is not taken apart.
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"))
	v.SetConfigFile(path)
	v.SetConfigType(kind)
	if err := v.ReadInConfig(); err != nil {
		if pathError, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, []error{fmt.Errorf("file %s: cannot be read: %w", path, pathError.Err)}
		}
		return nil, []error{fmt.Errorf("file %s: is not valid %s%s", path, strings.ToUpper(kind), lineOf(err))}
	}
	found := layer{}
	var problems []error
	for _, key := range slices.Sorted(slices.Values(v.AllKeys())) {
		key = strings.ReplaceAll(key, "\x00", ".")
		origin := fmt.Sprintf("file %s: key %s", path, key)
		i := slices.IndexFunc(p.Table, func(s Setting) bool { return s.Name == key })
		if i < 0 {
			problems = append(problems, p.unknown(origin, key, func(name string) string { return name }))
			continue
		}
		value, err := givenIn(v.Get(key), p.Table[i].Value)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", origin, err))
			continue
		}
		value.origin = origin
		found[key] = value
	}
	return found, problems
}

// lineOf is where a parser stopped, as far as its error says. What else it says may quote the file, and a URL there may hold a
// password.
func lineOf(err error) string {
	where := ""
	if line := regexp.MustCompile(`\bline \d+`).FindString(err.Error()); line != "" {
		where = " at " + line
	}
	if strings.Contains(err.Error(), "already defined") {
		where += ": a key is already defined"
	}
	return where
}

// givenIn returns a value of the file as it would be written elsewhere, so that there is one parser for all.
func givenIn(value any, into Value) (given, error) {
	entries, isList := value.([]any)
	if !isList {
		text, err := textOf(value)
		return given{text: text}, err
	}
	if _, ok := into.(List); !ok {
		return given{}, errors.New("is a list, and one value is wanted")
	}
	texts := make([]string, 0, len(entries))
	for _, entry := range entries {
		text, err := textOf(entry)
		if err != nil {
			return given{}, err
		}
		texts = append(texts, text)
	}
	return given{entries: texts}, nil
}

// textOf writes one value of the file as it would be written on the command line.
func textOf(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		return "", errors.New("is a list, and one value is wanted")
	case nil:
		return "", errors.New("has no value; give it one or remove the line")
	default:
		return "", errors.New("has a value that is neither text, number, boolean nor list")
	}
}
