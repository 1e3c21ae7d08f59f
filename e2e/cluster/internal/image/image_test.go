package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestArchiveIsWhatRuntimesLoad(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "bin", "app"), []byte("program"), 0o755))
	must(t, os.Link(filepath.Join(root, "bin", "app"), filepath.Join(root, "bin", "same")))
	must(t, os.Symlink("app", filepath.Join(root, "bin", "link")))
	archive := filepath.Join(t.TempDir(), "image.tar")
	must(t, Write(archive, "inpod.test/app:1", root, Config{Entrypoint: []string{"/bin/app"}, User: "7:7"}))

	names, err := Names(archive)
	if must(t, err); !slices.Equal(names, []string{"inpod.test/app:1"}) {
		t.Errorf("names are %q", names)
	}

	files := readTar(t, mustRead(t, archive))
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	must(t, json.Unmarshal(files["manifest.json"], &manifest))
	if len(manifest) != 1 || !slices.Equal(manifest[0].RepoTags, []string{"inpod.test/app:1"}) || len(manifest[0].Layers) != 1 {
		t.Fatalf("manifest is %+v", manifest)
	}
	var config struct {
		Config Config
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	must(t, json.Unmarshal(files[manifest[0].Config], &config))
	layer := files[manifest[0].Layers[0]]
	sum := sha256.Sum256(layer)
	if want := []string{"sha256:" + hex.EncodeToString(sum[:])}; !slices.Equal(config.Rootfs.DiffIDs, want) {
		t.Errorf("the layer's digest is %q, the configuration says %q", want, config.Rootfs.DiffIDs)
	}
	if config.Config.User != "7:7" || !slices.Equal(config.Config.Entrypoint, []string{"/bin/app"}) {
		t.Errorf("configuration is %+v", config.Config)
	}

	types := map[string]byte{}
	for _, header := range headers(t, layer) {
		types[header.Name] = header.Typeflag
		if !header.ModTime.Equal(epoch) || header.Uname != "" {
			t.Errorf("%s carries the time or a name of this machine: %+v", header.Name, header)
		}
	}
	want := map[string]byte{"bin/": tar.TypeDir, "bin/app": tar.TypeReg, "bin/same": tar.TypeLink, "bin/link": tar.TypeSymlink}
	for name, kind := range want {
		if types[name] != kind {
			t.Errorf("%s has type %q, want %q", name, types[name], kind)
		}
	}
}

func TestEqualFoldersGiveEqualArchives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var archives [2][]byte
	for i := range archives {
		root := t.TempDir()
		must(t, os.WriteFile(filepath.Join(root, "a"), []byte("content"), 0o644))
		file := filepath.Join(dir, "image.tar")
		must(t, Write(file, "x:1", root, Config{}))
		archives[i] = mustRead(t, file)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the archives differ")
	}
}

func TestRecipeChangesWithTheProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "app")
	inputs := func(content string) string {
		must(t, os.WriteFile(program, []byte(content), 0o755))
		recipe, err := FromProgram("x:1", program, Config{})
		must(t, err)
		return recipe.Inputs
	}
	if first := inputs("one"); first == inputs("two") || first != inputs("one") {
		t.Error("the key does not follow the program")
	}
}

func readTar(t *testing.T, content []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must(t, err)
		files[header.Name], err = io.ReadAll(reader)
		must(t, err)
	}
}

func headers(t *testing.T, content []byte) []*tar.Header {
	t.Helper()
	var all []*tar.Header
	reader := tar.NewReader(bytes.NewReader(content))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, header)
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	return content
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
