package act

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// object is a JSON object under construction. encoding/json sorts its keys.
type object = map[string]any

// metadataOf is the metadata of a patch. The UID makes the server refuse it (409 Conflict) when the workload was deleted
// and made again meanwhile: the decision was about another object. No text removes an annotation.
func metadataOf(view workload.View, annotations map[string]string) object {
	values := object{}
	for key, text := range annotations {
		values[key] = text
		if text == "" {
			values[key] = nil
		}
	}
	return object{"uid": view.UID, "annotations": values}
}

// annotatePatch is a JSON merge patch that writes annotations.
func annotatePatch(view workload.View, annotations map[string]string) ([]byte, error) {
	return encode(object{"metadata": metadataOf(view, annotations)})
}

// restartPatch is a JSON merge patch that makes the controller of a workload restart its pods, with annotations. The
// template stays as it is: that the pods have the content is in the baseline alone.
func restartPatch(kind workload.Kind) func(workload.View, config.Strategy, decide.Decision, map[string]string, time.Time) ([]byte, error) {
	return func(view workload.View, _ config.Strategy, _ decide.Decision, annotations map[string]string, now time.Time) ([]byte, error) {
		if kind.Restart == nil {
			return nil, fmt.Errorf("a %s cannot be restarted", kind.Name)
		}
		patch := object{"metadata": metadataOf(view, annotations)}
		at, last := patch, len(kind.Restart)-1
		for _, field := range kind.Restart[:last] {
			below := object{}
			at[field] = below
			at = below
		}
		at[kind.Restart[last]] = now.UTC().Format(time.RFC3339)
		return encode(patch)
	}
}

// rolloutPatch is a strategic merge patch: it names our variable in our container and leaves all others alone.
func rolloutPatch(view workload.View, strategy config.Strategy, decision decide.Decision, annotations map[string]string, now time.Time) ([]byte, error) {
	if len(decision.ConfigHashes) == 0 {
		return nil, fmt.Errorf("a rollout without a config hash (%s)", decision.Reason) // the baseline alone would hide the change
	}
	template := object{}
	containers := map[string][]any{}
	if strategy == config.Annotations {
		value, err := lastReloadedFrom(decision.ConfigHashes, now)
		if err != nil {
			return nil, err
		}
		template["metadata"] = object{"annotations": object{annotation.LastReloadedFrom: value}}
	} else {
		for _, hash := range decision.ConfigHashes {
			containers[hash.Container] = append(containers[hash.Container], object{
				// A variable of this name that takes its value from elsewhere is taken over: the API server allows one of both.
				"name": hash.Variable, "value": hash.Hash, "valueFrom": nil,
			})
		}
	}
	for _, stale := range decision.Stale {
		container, variable, _ := strings.Cut(stale, "/")
		containers[container] = append(containers[container], object{"name": variable, "$patch": "delete"})
	}
	if len(containers) > 0 {
		var list []any
		for _, name := range view.Containers {
			if env, ok := containers[name]; ok {
				list = append(list, object{"name": name, "env": env})
			}
		}
		template["spec"] = object{"containers": list}
	}
	return encode(object{
		"metadata": metadataOf(view, annotations),
		"spec":     object{"template": template},
	})
}

// reloadedFrom is the value of the annotation, with Reloader's fields (internal/pkg/callbacks, ReloadSource).
type reloadedFrom struct {
	Type          string   `json:"type"`
	Name          string   `json:"name"`
	Namespace     string   `json:"namespace"`
	Hash          string   `json:"hash"`
	ContainerRefs []string `json:"containerRefs"`
	ObservedAt    int64    `json:"observedAt"` // Unix time in seconds
}

// lastReloadedFrom names one changed source, as Reloader's format has room for one. The event names all of them.
func lastReloadedFrom(hashes []decide.ConfigHash, now time.Time) (string, error) {
	hash := hashes[len(hashes)-1]
	value, err := encode(reloadedFrom{
		Type: hash.Type, Name: hash.Ref.Name, Namespace: hash.Ref.Namespace, Hash: hash.Hash,
		ContainerRefs: []string{hash.Container}, ObservedAt: now.Unix(),
	})
	return string(value), err
}

func encode(value any) ([]byte, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encoding a patch: %w", err)
	}
	return body, nil
}
