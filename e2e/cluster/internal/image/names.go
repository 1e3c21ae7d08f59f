package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Names reads the names of the images in an archive, of the format of docker or of OCI.
func Names(archive string) ([]string, error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var names []string
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return slices.Compact(names), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s is no image archive: %w", archive, err)
		}
		var found []string
		switch header.Name {
		case "manifest.json":
			found, err = dockerNames(reader)
		case "index.json":
			found, err = ociNames(reader)
		}
		if err != nil {
			return nil, fmt.Errorf("%s in %s: %w", header.Name, archive, err)
		}
		names = append(names, found...)
	}
}

func dockerNames(content io.Reader) ([]string, error) {
	var images []struct{ RepoTags []string }
	if err := json.NewDecoder(content).Decode(&images); err != nil {
		return nil, err
	}
	var names []string
	for _, image := range images {
		names = append(names, image.RepoTags...)
	}
	return names, nil
}

func ociNames(content io.Reader) ([]string, error) {
	var index struct {
		Manifests []struct{ Annotations map[string]string }
	}
	if err := json.NewDecoder(content).Decode(&index); err != nil {
		return nil, err
	}
	var names []string
	for _, manifest := range index.Manifests {
		// The second annotation often holds only a tag, which names nothing.
		for _, key := range []string{"io.containerd.image.name", "org.opencontainers.image.ref.name"} {
			if name := manifest.Annotations[key]; strings.Contains(name, "/") {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
