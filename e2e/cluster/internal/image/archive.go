// Package image makes container images without a registry, a daemon or a builder: one layer and a little JSON, in the
// archive format that `docker save` writes and every runtime loads.
package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Config is the part of an image's configuration that a runtime reads.
type Config struct {
	User         string              `json:"User,omitempty"`
	Env          []string            `json:"Env,omitempty"`
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
}

// epoch is the time of every file, so that equal content gives an equal image.
var epoch = time.Unix(0, 0).UTC() //nolint:gochecknoglobals // a constant

// Write writes an image whose only layer holds a folder, under the given name.
func Write(archive, name, root string, config Config) error {
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	layer, err := os.CreateTemp(filepath.Dir(archive), ".layer-")
	if err != nil {
		return err
	}
	defer os.Remove(layer.Name())
	defer layer.Close()

	hash := sha256.New()
	if err := writeLayer(io.MultiWriter(layer, hash), root); err != nil {
		return fmt.Errorf("layer of %s: %w", name, err)
	}
	layerDigest := hex.EncodeToString(hash.Sum(nil))
	configJSON, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      epoch,
		"config":       config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + layerDigest}},
		"history":      []any{map[string]any{"created": epoch, "comment": "inpod test cluster"}},
	})
	if err != nil {
		return err
	}
	configDigest := sha256.Sum256(configJSON)
	configName, layerName := hex.EncodeToString(configDigest[:])+".json", layerDigest+"/layer.tar"
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": configName, "RepoTags": []string{name}, "Layers": []string{layerName},
	}})
	if err != nil {
		return err
	}

	size, err := layer.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return err
	}
	out := tar.NewWriter(file)
	if err := add(out, layerName, layer, size); err != nil {
		return err
	}
	if err := add(out, configName, strings.NewReader(string(configJSON)), int64(len(configJSON))); err != nil {
		return err
	}
	if err := add(out, "manifest.json", strings.NewReader(string(manifest)), int64(len(manifest))); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return file.Close()
}

func add(out *tar.Writer, name string, content io.Reader, size int64) error {
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: epoch}); err != nil {
		return err
	}
	_, err := io.Copy(out, content)
	return err
}

// writeLayer archives a folder with owners, modes and links. Sockets and device files are left out: a runtime makes the
// ones that a container needs.
func writeLayer(to io.Writer, root string) error {
	out := tar.NewWriter(to)
	hardLinks := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
			return err
		}
		return writeEntry(out, path, name, info, hardLinks)
	})
	if err != nil {
		return err
	}
	return out.Close()
}

func writeEntry(out *tar.Writer, path, name string, info fs.FileInfo, hardLinks map[uint64]string) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.ModTime, header.AccessTime, header.ChangeTime = epoch, time.Time{}, time.Time{}
	header.Uname, header.Gname = "", "" // names of this machine, not of the image
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && stat.Nlink > 1 {
		if first, seen := hardLinks[stat.Ino]; seen {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return out.WriteHeader(header)
		}
		hardLinks[stat.Ino] = name
	}
	if err := out.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}
