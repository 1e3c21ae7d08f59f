package reload

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// iniFile is a configuration in pgbouncer's format: sections of "key = value", the last of a key counts, and a line
// "%include file" stands for that file.
type iniFile struct {
	sections map[string]map[string]string
	// files are all that were read, absolute.
	files []string
}

// readINI reads a file and all that it includes. dir is where relative names begin.
func readINI(read func(string) ([]byte, error), dir, name string) (iniFile, error) {
	ini := iniFile{sections: map[string]map[string]string{}}
	section := ""
	err := ini.add(read, dir, name, &section, 0)
	return ini, err
}

func (i *iniFile) add(read func(string) ([]byte, error), dir, name string, section *string, depth int) error {
	const deepest = 10
	if depth > deepest {
		return fmt.Errorf("%s: files include each other", name)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	i.files = append(i.files, filepath.Clean(name))
	text, err := read(name)
	if err != nil {
		return err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		key, value, pair := strings.Cut(line, "=")
		included, isInclude := strings.CutPrefix(line, "%include")
		switch {
		case line == "" || line[0] == ';' || line[0] == '#':
		case isInclude:
			if err := i.add(read, dir, strings.TrimSpace(included), section, depth+1); err != nil {
				return err
			}
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			*section = line[1 : len(line)-1]
		case pair && *section != "":
			if i.sections[*section] == nil {
				i.sections[*section] = map[string]string{}
			}
			i.sections[*section][strings.TrimSpace(key)] = strings.TrimSpace(value)
		default:
			return fmt.Errorf("%s line %d is no section, no setting and no comment", name, n)
		}
	}
	return nil
}

// connectionSettings splits a connection string of pgbouncer, "host=a port=1 password='a b'", into its settings.
func connectionSettings(text string) (map[string]string, error) {
	settings := map[string]string{}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		key, rest, ok := strings.Cut(text, "=")
		key, rest = strings.TrimSpace(key), strings.TrimLeft(rest, " \t")
		if !ok || key == "" || strings.ContainsAny(key, " \t'") {
			return nil, fmt.Errorf("%d characters before its end, a database's settings are not key=value", len(text))
		}
		if !strings.HasPrefix(rest, "'") {
			end := strings.IndexAny(rest, " \t")
			if end < 0 {
				end = len(rest)
			}
			settings[key], text = rest[:end], rest[end:]
			continue
		}
		value, after, err := quoted(rest[1:])
		if err != nil {
			return nil, err
		}
		settings[key], text = value, after
	}
	return settings, nil
}

// quoted reads up to the quote that ends a value; two quotes stand for one.
func quoted(text string) (value, after string, err error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "'")
		if !ok {
			return "", "", errors.New("a quote of a database's settings is not closed")
		}
		b.WriteString(before)
		if !strings.HasPrefix(rest, "'") {
			return b.String(), rest, nil
		}
		b.WriteByte('\'')
		text = rest[1:]
	}
}
