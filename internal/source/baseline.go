package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// baselineVersion is the version of the text form. A text of another version is not understood, and the workload gets a
// baseline again, which rolls nothing.
const baselineVersion = 1

// Baseline is what the pods of one workload are known to have taken up of the
// sources that it follows.
type Baseline struct {
	// Records are by source. The namespace of a source is that of its workload, or none.
	Records map[Ref]Record
	// Named identifies the lists in which the user named sources, so that a source that came to be is distinguished
	// from a name that was added to a list.
	Named KeyedDigest
	// Hides reports whether a source of it may hide another one, and that what hides what counted when it was written.
	// Without that the record of a source that is gone may be older than that rule, and its deletion too: see
	// [Shadowing]. Few workloads need it, and versions that do not know it cannot read such a text.
	Hides bool
}

// baselineText is the JSON form of a Baseline.
type baselineText struct {
	Version int               `json:"v"`
	KeyID   string            `json:"key"`
	Named   KeyedDigest       `json:"named,omitempty"`
	Hides   bool              `json:"hides,omitempty"`
	Sources map[string]Record `json:"sources"`
}

// Encode returns the text of a baseline: JSON with sorted keys, equal for
// equal baselines. No records give "".
func (s Digester) Encode(b Baseline) (string, error) {
	if len(b.Records) == 0 {
		return "", nil
	}
	text := baselineText{Version: baselineVersion, KeyID: s.id, Named: b.Named, Hides: b.Hides, Sources: make(map[string]Record, len(b.Records))}
	for ref, record := range b.Records {
		text.Sources[string(ref.Kind)+"/"+ref.Name] = record
	}
	encoded, err := json.Marshal(text)
	if err != nil {
		return "", fmt.Errorf("encoding a baseline: %w", err)
	}
	return string(encoded), nil
}

// Decode reads the text of a baseline of a workload in a namespace. ok is false if there is none that can be used: no
// text, another version, another digest key, or something that inpod did not write.
func (s Digester) Decode(namespace, text string) (b Baseline, ok bool) {
	if text == "" {
		return Baseline{}, false
	}
	var decoded baselineText
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&decoded); err != nil {
		return Baseline{}, false
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) { // More takes a closing bracket for the end
		return Baseline{}, false
	}
	if decoded.Version != baselineVersion || decoded.KeyID != s.id || len(decoded.Sources) == 0 {
		return Baseline{}, false
	}
	b = Baseline{Records: make(map[Ref]Record, len(decoded.Sources)), Named: decoded.Named, Hides: decoded.Hides}
	for name, record := range decoded.Sources {
		kind, name, found := strings.Cut(name, "/")
		if !found || !slices.Contains(Kinds(), Kind(kind)) || name == "" {
			return Baseline{}, false
		}
		b.Records[Kind(kind).Ref(namespace, name)] = record
	}
	return b, true
}

// NamedLists returns keyed digests of the lists in which the user named sources.
func (s Digester) NamedLists(lists map[Kind][]string) KeyedDigest {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(lists)) {
		if len(lists[kind]) > 0 {
			parts = append(parts, string(kind), strconv.Itoa(len(lists[kind])))
			parts = append(parts, lists[kind]...)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return s.text(append([]string{"named"}, parts...)...)
}
