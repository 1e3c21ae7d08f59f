package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Key is a short hash of the build settings and of every file that the program of a folder is built from: sources and the
// two module files, which are those of the folder above it where it is no module of its own. Tests do not count, so editing
// one does not rebuild Kubernetes.
func Key(dir string, settings ...string) (string, error) {
	hash := sha256.New()
	for _, setting := range settings {
		fmt.Fprintf(hash, "%d:%s", len(setting), setting)
	}
	add := func(path string) error {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%d:%s%d:", len(name), name, len(content))
		_, err = hash.Write(content)
		return err
	}
	if !exists(filepath.Join(dir, "go.mod")) {
		for _, name := range []string{"go.mod", "go.sum"} {
			if err := add(filepath.Join(dir, "..", name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
	}
	// WalkDir visits in lexical order, so equal folders give equal hashes.
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !isSource(entry.Name()) {
			return err
		}
		return add(path)
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:6]), nil
}

func isSource(name string) bool {
	if name == "go.mod" || name == "go.sum" {
		return true
	}
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
}

// RequiredVersion reads from a module file which version of a module it requires.
func RequiredVersion(goMod, module string) (string, error) {
	content, err := os.ReadFile(goMod)
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(module) + `\s+(v\S+)`).FindSubmatch(content)
	if found == nil {
		return "", fmt.Errorf("%s does not require %s", goMod, module)
	}
	return string(found[1]), nil
}

// FileKey is a short hash of a file's content.
func FileKey(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)[:6]), nil
}
