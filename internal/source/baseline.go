package source

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	// baselineVersion is the version of the text form.
	baselineVersion = 2
	// Budget is how long the text of a baseline may be, in bytes. All annotations of an object together may have 256 KiB
	// (k8s.io/apimachinery/pkg/api/validation), and kubectl apply keeps a copy of what the user writes.
	Budget = 32 << 10
)

// Baseline is what the pods of one workload are known to run with, and what was asked of them since.
type Baseline struct {
	// UID is that of the workload; "" if the text does not say. A copy of the annotation on another object says nothing
	// about that one.
	UID string
	// Template is a keyed digest of the pod template without what inpod writes, as it was when this was written; "" if the
	// text does not say.
	Template KeyedDigest
	// References identifies the sources that the pod template references; "" if the text does not say.
	References KeyedDigest
	// Records are what every pod is known to run with, by source. The namespace of a source is that of its workload, or
	// none.
	Records map[Ref]Record
	// Asked is what was asked for and is not known to be taken up by every pod; nil if nothing is under way.
	Asked *Asked
	// Seen are the sources that had other content while a change was held back, with the time at which that began, in
	// seconds since 1970.
	Seen map[Ref]int64
	// Named identifies the lists in which the user named or excluded sources, so that a source that came to be is
	// distinguished from an edit of a list.
	Named KeyedDigest
	// Hides reports whether a source of it may hide another one, and that what hides what counted when it was written.
	// Without that the record of a source that is gone may be older than that rule, and its deletion too: see
	// [Shadowing]. Few workloads need it, and versions that do not know it cannot read such a text.
	Hides bool
	// Partial reports whether records are missing because they did not fit.
	Partial bool
	// Version is that of the text, 0 for a baseline that was not read from one.
	Version int
	// Unknown are the fields that another version has written, by name; and UnknownSources its records of other kinds.
	Unknown, UnknownSources map[string]json.RawMessage
}

// Known returns the content that pods have or were asked to take up.
func (b Baseline) Known() map[Ref]Record {
	if b.Asked == nil {
		return b.Records
	}
	records := maps.Clone(b.Records)
	maps.Copy(records, b.Asked.Records)
	return records
}

// Asked is what was asked for.
type Asked struct {
	// Action is what was done, such as Rollout.
	Action string
	// Hashes are the beginnings of the config hashes that the pod template got, sorted.
	Hashes []string
	// Batch is the batch that was reached; 0 where all pods take part at once.
	Batch int
	// Records are the content that was asked for, of the sources that had changed.
	Records map[Ref]Record
	// Unknown are the fields that another version has written, by name.
	Unknown map[string]json.RawMessage
}

// baselineText is the JSON form of a Baseline.
type baselineText struct {
	Version    int                        `json:"v"`
	KeyID      string                     `json:"key"`
	UID        string                     `json:"uid,omitempty"`
	Template   KeyedDigest                `json:"template,omitempty"`
	References KeyedDigest                `json:"references,omitempty"`
	Named      KeyedDigest                `json:"named,omitempty"`
	Hides      bool                       `json:"hides,omitempty"`
	Partial    bool                       `json:"partial,omitempty"`
	Sources    map[string]json.RawMessage `json:"sources"`
	Asked      json.RawMessage            `json:"asked,omitempty"`
	Seen       map[string]int64           `json:"seen,omitempty"`
}

// askedText is the JSON form of an Asked.
type askedText struct {
	Action  string            `json:"action"`
	Hashes  []string          `json:"hashes,omitempty"`
	Batch   int               `json:"batch,omitempty"`
	Sources map[string]Record `json:"sources"`
}

// Unreadable says why the text of a baseline is of no use.
type Unreadable string

// The reasons why a text is of no use. Readable is none.
const (
	Readable   Unreadable = ""
	NoText     Unreadable = "absent"  // there is no text
	NotJSON    Unreadable = "invalid" // it is not the text of a baseline
	OtherKey   Unreadable = "key"     // its digests were made with another key
	NoRecord   Unreadable = "empty"   // it has no records that this version can read
	OldVersion Unreadable = "version" // it has a version that there never was
)

// Encode returns the text of a baseline: JSON with sorted keys, equal for
// equal baselines. No records give "".
func (s Digester) Encode(b Baseline) (string, error) {
	if len(b.Records) == 0 {
		return "", nil
	}
	text := baselineText{
		Version: max(baselineVersion, b.Version), KeyID: s.id, UID: b.UID, Template: b.Template, References: b.References, Named: b.Named,
		Hides: b.Hides, Partial: b.Partial, Sources: maps.Clone(b.UnknownSources),
	}
	if text.Sources == nil {
		text.Sources = make(map[string]json.RawMessage, len(b.Records))
	}
	for ref, record := range b.Records {
		encoded, err := json.Marshal(record)
		if err != nil {
			return "", fmt.Errorf("encoding a baseline: %w", err)
		}
		text.Sources[textOf(ref)] = encoded
	}
	for ref, since := range b.Seen {
		if text.Seen == nil {
			text.Seen = map[string]int64{}
		}
		text.Seen[textOf(ref)] = since
	}
	if a := b.Asked; a != nil {
		asked := askedText{Action: a.Action, Hashes: a.Hashes, Batch: a.Batch, Sources: make(map[string]Record, len(a.Records))}
		for ref, record := range a.Records {
			asked.Sources[textOf(ref)] = record
		}
		var err error
		if text.Asked, err = withUnknown(asked, a.Unknown); err != nil {
			return "", fmt.Errorf("encoding a baseline: %w", err)
		}
	}
	encoded, err := withUnknown(text, b.Unknown)
	if err != nil {
		return "", fmt.Errorf("encoding a baseline: %w", err)
	}
	return string(encoded), nil
}

func textOf(ref Ref) string { return string(ref.Kind) + "/" + ref.Name }

// refOf reads what textOf has written; ok is false for a kind that this version does not know.
func refOf(namespace, text string) (ref Ref, ok bool) {
	kind, name, found := strings.Cut(text, "/")
	if !found || name == "" || !slices.Contains(Kinds(), Kind(kind)) {
		return Ref{}, false
	}
	return Kind(kind).Ref(namespace, name), true
}

// Decode reads the text of a baseline of a workload in a namespace. ok is false if there is none that can be used.
func (s Digester) Decode(namespace, text string) (b Baseline, ok bool) {
	b, fault := s.Read(namespace, text)
	return b, fault == Readable
}

// Read reads the text of a baseline of a workload in a namespace, as far as this version understands it. It returns why
// the text is of no use, if it is of none. Of a text of [OtherKey] the sources, the times and the hashes are of use, and
// the keyed digests are not.
func (s Digester) Read(namespace, text string) (Baseline, Unreadable) {
	if text == "" {
		return Baseline{}, NoText
	}
	var decoded baselineText
	unknown, err := splitUnknown([]byte(text), &decoded,
		"v", "key", "uid", "template", "references", "named", "hides", "partial", "sources", "asked", "seen")
	switch {
	case err != nil:
		return Baseline{}, NotJSON
	case decoded.Version < 1:
		return Baseline{}, OldVersion
	}
	b, fault := decoded.baseline(namespace)
	if fault == Readable {
		b.Unknown = unknown
	}
	if decoded.KeyID != s.id {
		fault = OtherKey
	}
	return b, fault
}

// baseline returns the baseline of a text, or why it is of no use.
func (t baselineText) baseline(namespace string) (Baseline, Unreadable) {
	b := Baseline{
		UID: t.UID, Template: t.Template, References: t.References, Named: t.Named, Hides: t.Hides,
		Partial: t.Partial, Version: t.Version, Records: make(map[Ref]Record, len(t.Sources)),
	}
	for name, encoded := range t.Sources {
		ref, known := refOf(namespace, name)
		if !known {
			if b.UnknownSources == nil {
				b.UnknownSources = map[string]json.RawMessage{}
			}
			b.UnknownSources[name] = encoded
			continue
		}
		var record Record
		if err := json.Unmarshal(encoded, &record); err != nil {
			return Baseline{}, NotJSON
		}
		b.Records[ref] = record
	}
	if len(b.Records) == 0 {
		return Baseline{}, NoRecord
	}
	for name, since := range t.Seen {
		if ref, known := refOf(namespace, name); known {
			if b.Seen == nil {
				b.Seen = map[Ref]int64{}
			}
			b.Seen[ref] = since
		}
	}
	var err error
	if b.Asked, err = readAsked(namespace, t.Asked); err != nil {
		return Baseline{}, NotJSON
	}
	return b, Readable
}

func readAsked(namespace string, text json.RawMessage) (*Asked, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil //nolint:nilnil // nothing is under way
	}
	var decoded askedText
	unknown, err := splitUnknown(text, &decoded, "action", "hashes", "batch", "sources")
	if err != nil {
		return nil, err
	}
	asked := &Asked{
		Action: decoded.Action, Hashes: decoded.Hashes, Batch: decoded.Batch, Unknown: unknown,
		Records: make(map[Ref]Record, len(decoded.Sources)),
	}
	for name, record := range decoded.Sources {
		if ref, known := refOf(namespace, name); known {
			asked.Records[ref] = record
		}
	}
	return asked, nil
}

// Equal reports whether two answers to what was asked for are the same.
func (a *Asked) Equal(other *Asked) bool {
	if a == nil || other == nil {
		return a == other
	}
	return a.Action == other.Action && a.Batch == other.Batch && slices.Equal(a.Hashes, other.Hashes) &&
		maps.EqualFunc(a.Records, other.Records, Record.Equal)
}

// Fit returns a baseline whose text is within a budget: the largest records are folded first, then times in Seen are left
// out, and then records, which sets Partial. uses say how the workload uses the sources.
func (s Digester) Fit(b Baseline, uses []SourceUsages, budget int) (Baseline, error) {
	if b.atMost() <= budget {
		return b, nil
	}
	text, err := s.Encode(b)
	if err != nil || len(text) <= budget {
		return b, err
	}
	b.Records = maps.Clone(b.Records)
	if b.Asked != nil {
		asked := *b.Asked
		asked.Records = maps.Clone(asked.Records)
		b.Asked = &asked
	}
	scopes := map[Ref]SourceUsages{}
	for _, use := range uses {
		scopes[use.Ref] = use
	}
	all := []map[Ref]Record{b.Records}
	if b.Asked != nil {
		all = append(all, b.Asked.Records)
	}
	size := len(text)
	for _, entry := range largestFirst(all) {
		if size <= budget {
			break
		}
		folded := s.Fold(entry.record, scopes[entry.ref])
		if saved := entry.size - lengthOf(folded); saved > 0 {
			all[entry.of][entry.ref] = folded
			size -= saved
		}
	}
	if b, size = withoutTimes(b, size, budget); size <= budget {
		return b, nil
	}
	return s.leaveOut(b, size, budget), nil
}

// withoutTimes drops times since when changes are held back, from the end of the order of references, until the rest
// fits. Without its time a change that waits is still known; without its record it is lost.
func withoutTimes(b Baseline, size, budget int) (fit Baseline, left int) {
	refs := slices.SortedFunc(maps.Keys(b.Seen), Ref.Compare)
	if size <= budget || len(refs) == 0 {
		return b, size
	}
	b.Seen = maps.Clone(b.Seen)
	for i := len(refs) - 1; i >= 0 && size > budget; i-- {
		size -= len(textOf(refs[i])) + len(`"":,`) + len(strconv.FormatInt(b.Seen[refs[i]], 10))
		delete(b.Seen, refs[i])
	}
	return b, size
}

// atMost is how long the text of a baseline is at the very most, without encoding it: a byte of a text may become six.
// What is of another version is of unknown length.
func (b Baseline) atMost() int {
	const fields, longest = 1 << 10, 6 // the names of the fields, the key and the number
	if len(b.Unknown)+len(b.UnknownSources) > 0 || b.Asked != nil && len(b.Asked.Unknown) > 0 {
		return math.MaxInt
	}
	size := fields + longest*(len(b.UID)+len(b.Template)+len(b.References)+len(b.Named))
	for ref := range b.Seen {
		size += longest*(len(ref.Kind)+len(ref.Name)) + 32
	}
	of := func(records map[Ref]Record) {
		for ref, record := range records {
			if len(record.Unknown) > 0 {
				size = math.MaxInt / 2
				return
			}
			size += longest*(len(ref.Kind)+len(ref.Name)+len(record.Fold)+len(record.Folded)) + 160
			for key, digest := range record.Keys {
				size += longest*(len(key)+len(digest)) + 8
			}
		}
	}
	of(b.Records)
	if b.Asked != nil {
		size += longest * len(b.Asked.Action)
		for _, hash := range b.Asked.Hashes {
			size += longest*len(hash) + 8
		}
		of(b.Asked.Records)
	}
	return size
}

// leaveOut drops records from the end of the order of references until the rest fits.
func (s Digester) leaveOut(b Baseline, size, budget int) Baseline {
	b.Partial = true
	size += len(`"partial":true,`)
	refs := slices.SortedFunc(maps.Keys(b.Records), Ref.Compare)
	for i := len(refs) - 1; i > 0 && size > budget; i-- {
		ref := refs[i]
		name := len(textOf(ref)) + len(`"":,`)
		size -= name + lengthOf(b.Records[ref])
		delete(b.Records, ref)
		if b.Asked == nil {
			continue
		}
		if record, has := b.Asked.Records[ref]; has {
			size -= name + lengthOf(record)
			delete(b.Asked.Records, ref)
		}
	}
	return b
}

type sized struct {
	of, size int // of is which of several maps has it
	ref      Ref
	record   Record
}

func largestFirst(all []map[Ref]Record) []sized {
	var entries []sized
	for i, records := range all {
		for ref, record := range records {
			entries = append(entries, sized{of: i, size: lengthOf(record), ref: ref, record: record})
		}
	}
	slices.SortFunc(entries, func(a, b sized) int {
		return cmp.Or(cmp.Compare(b.size, a.size), a.ref.Compare(b.ref), cmp.Compare(a.of, b.of))
	})
	return entries
}

func lengthOf(record Record) int {
	text, err := json.Marshal(record)
	if err != nil {
		return 0
	}
	return len(text)
}

// withUnknown encodes a value, and fields that are not among its own.
func withUnknown(value any, unknown map[string]json.RawMessage) ([]byte, error) {
	encoded, err := json.Marshal(value)
	if err != nil || len(unknown) == 0 {
		return encoded, err
	}
	more, err := json.Marshal(unknown)
	if err != nil {
		return nil, err
	}
	if string(encoded) == "{}" {
		return more, nil
	}
	return slices.Concat(encoded[:len(encoded)-1], []byte(","), more[1:]), nil
}

// splitUnknown decodes one JSON object and returns the fields that are not among the known ones.
func splitUnknown(text []byte, into any, known ...string) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("no JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) { // More takes a closing bracket for the end
		return nil, errors.New("more than one JSON object")
	}
	own := map[string]json.RawMessage{}
	for _, name := range known {
		if value, has := fields[name]; has {
			own[name] = value
			delete(fields, name)
		}
	}
	encoded, err := json.Marshal(own) // so that names in other cases are not taken for known ones
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(encoded, into); err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return fields, nil
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

// References returns a keyed digest of references to sources. Their order and number make no difference.
func (s Digester) References(refs []Ref) KeyedDigest {
	parts := []string{"references"}
	for _, ref := range slices.CompactFunc(slices.SortedFunc(slices.Values(refs), Ref.Compare), func(a, b Ref) bool { return a == b }) {
		parts = append(parts, string(ref.Kind), ref.Name)
	}
	return s.text(parts...)
}

// TemplateDigest returns the keyed form of a digest of a pod template.
func (s Digester) TemplateDigest(digest []byte) KeyedDigest {
	return s.text("template", string(digest))
}
