//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/e2e/internal/framework"
)

// memory is the resident memory of each program at each sample, in bytes; of several pods the largest.
type memory map[string][]int64

// weigh samples once a minute until the context ends.
func (s *stage) weigh(ctx context.Context) {
	for {
		if err := s.sampleMemory(ctx); err == nil { // else the API server is away
			s.say("memory: %s", s.memory.last())
		}
		if !sleep(ctx, time.Minute) {
			return
		}
	}
}

// sampleMemory asks the kubelet how much memory the containers use.
func (s *stage) sampleMemory(ctx context.Context) error {
	nodes, err := s.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	largest := map[string]int64{}
	for _, node := range nodes.Items {
		if framework.IsHollow(node) {
			continue
		}
		body, err := s.Client.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Name).SubResource("proxy").
			Suffix("stats/summary").DoRaw(ctx)
		if err != nil {
			return fmt.Errorf("memory on node %s: %w", node.Name, err)
		}
		var summary struct {
			Pods []struct {
				PodRef     struct{ Namespace string }
				Containers []struct {
					Name   string
					Memory struct{ RSSBytes int64 }
				}
			}
		}
		if err := json.Unmarshal(body, &summary); err != nil {
			return fmt.Errorf("memory on node %s: %w", node.Name, err)
		}
		for _, pod := range summary.Pods {
			for _, container := range pod.Containers {
				switch {
				case pod.PodRef.Namespace == space && container.Name == "inpod":
					largest["sidecar"] = max(largest["sidecar"], container.Memory.RSSBytes)
				case pod.PodRef.Namespace == s.release.Namespace:
					largest[container.Name] = max(largest[container.Name], container.Memory.RSSBytes)
				}
			}
		}
	}
	for name, bytes := range largest {
		s.memory[name] = append(s.memory[name], bytes)
	}
	return nil
}

func (m memory) names() []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m memory) last() string {
	var parts []string
	for _, name := range m.names() {
		parts = append(parts, fmt.Sprintf("%s %.1f MB", name, mb(m[name][len(m[name])-1])))
	}
	return strings.Join(parts, ", ")
}

func (m memory) print(out io.Writer) {
	for _, name := range m.names() {
		fmt.Fprintf(out, "memory of the %s, a figure a minute in MB:", name)
		for _, bytes := range m[name] {
			fmt.Fprintf(out, " %.1f", mb(bytes))
		}
		fmt.Fprintln(out)
	}
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// growth compares the last quarter with the second one, when everything has warmed up. A leak of a kilobyte for each edit
// would show.
func (m memory) growth() []error {
	const tolerated = 3 << 20
	var problems []error
	for _, name := range m.names() {
		samples := m[name]
		quarter := len(samples) / 4
		if quarter == 0 {
			continue
		}
		early, late := slices.Max(samples[quarter:2*quarter]), slices.Max(samples[len(samples)-quarter:])
		if late > early+tolerated {
			problems = append(problems, fmt.Errorf("the %s has grown from %.1f MB to %.1f MB", name, mb(early), mb(late)))
		}
	}
	return problems
}
