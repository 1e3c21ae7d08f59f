package source

import (
	"encoding/json"
	"maps"
	"slices"
)

// foldAbove is the number of keys from which a record keeps one keyed digest for all of them together. 100 keys take
// about 3 kB of the 256 kB that the annotations of an object may have (k8s.io/apimachinery/pkg/api/validation).
const foldAbove = 100

// Record is what a workload is known to have taken up of one source.
type Record struct {
	// Absent reports whether there was no such source. Nothing else is set then.
	Absent bool `json:"absent,omitempty"`
	// All reports whether every key was covered, also such as did not exist.
	All bool `json:"all,omitempty"`
	// Binary reports whether All includes binaryData.
	Binary bool `json:"binary,omitempty"`
	// Keys are the covered keys with their keyed digests. The keyed digest is empty for a key that was named and did
	// not exist.
	Keys map[string]KeyedDigest `json:"keys,omitempty"`
	// Fold replaces Keys for a source with more than 100 used keys.
	Fold KeyedDigest `json:"fold,omitempty"`
	// Folded identifies the selection of keys that Fold covers.
	Folded KeyedDigest `json:"folded,omitempty"`
	// Immutable reports whether the source could not be edited: other content is then that of another object of the name.
	Immutable bool `json:"immutable,omitempty"`
	// Ignored reports whether the source carried the ignore annotation. Nothing else is set then.
	Ignored bool `json:"ignored,omitempty"`
	// Unknown are the fields that another version has written, by name.
	Unknown map[string]json.RawMessage `json:"-"`
}

// Record returns what a pod that starts now takes up of the source.
func (s Digester) Record(use SourceState) Record {
	if use.Snapshot == nil {
		return Record{Absent: true}
	}
	scope, snapshot := use.Usages, use.Snapshot
	present, sel := scope.present(snapshot), scope.keySet()
	if len(present) > foldAbove {
		return Record{Fold: s.fold(scope, snapshot), Folded: s.selection(sel), Immutable: snapshot.Immutable}
	}
	return s.unfolded(use, present, sel)
}

// unfolded is a record of each key.
func (s Digester) unfolded(use SourceState, present []string, sel keySet) Record {
	scope, snapshot := use.Usages, use.Snapshot
	record := Record{All: sel.all, Binary: sel.binary, Immutable: snapshot.Immutable}
	if len(present)+len(sel.named) > 0 {
		record.Keys = make(map[string]KeyedDigest, len(present))
	}
	for _, key := range sel.named {
		record.Keys[key] = ""
		if entry, ok := snapshot.Keys[key]; ok { // also in binaryData, where the environment does not see it
			record.Keys[key] = s.keyed(scope.Ref, key, entry)
		}
	}
	for _, key := range present {
		record.Keys[key] = s.keyed(scope.Ref, key, snapshot.Keys[key])
	}
	return record
}

// ByKey reports whether a record says of each key what was taken up.
func (r Record) ByKey() bool { return !r.Absent && !r.Ignored && r.Fold == "" && !r.saysNothing() }

// RecordChanges returns a record, which is one by key, with the present content of those keys that changes name.
func (s Digester) RecordChanges(use SourceState, record Record, changes []Change) Record {
	now := s.unfolded(use, use.Usages.present(use.Snapshot), use.Usages.keySet())
	record.Keys = maps.Clone(record.Keys)
	for _, change := range changes {
		digest, has := now.Keys[change.Key]
		if !has && record.All { // which covers keys that do not exist
			delete(record.Keys, change.Key)
			continue
		}
		if record.Keys == nil {
			record.Keys = map[string]KeyedDigest{}
		}
		record.Keys[change.Key] = digest
	}
	return record
}

// Fold returns a record that keeps one keyed digest for all keys together. What it covers is what the workload uses.
func (s Digester) Fold(record Record, scope SourceUsages) Record {
	if len(record.Keys) == 0 {
		return record
	}
	return Record{
		Fold: s.foldKeys(record.Keys), Folded: s.selection(scope.keySet()), Immutable: record.Immutable, Unknown: record.Unknown,
	}
}

// matchesFold reports whether a folded record is one of the present content, in either form of folding.
func (s Digester) matchesFold(use SourceState, record Record) bool {
	if record.Fold == s.fold(use.Usages, use.Snapshot) {
		return true
	}
	now := s.unfolded(use, use.Usages.present(use.Snapshot), use.Usages.keySet())
	return record.Fold == s.foldKeys(now.Keys)
}

// foldKeys returns one keyed digest of the keyed digests of keys.
func (s Digester) foldKeys(keys map[string]KeyedDigest) KeyedDigest {
	parts := []string{"fold of keys"}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if keys[key] != "" {
			parts = append(parts, key, string(keys[key].plain()))
		}
	}
	return s.text(parts...)
}

func (s Digester) selection(sel keySet) KeyedDigest {
	parts := []string{"some"}
	switch {
	case sel.binary:
		parts[0] = "all"
	case sel.all:
		parts[0] = "data"
	}
	return s.text(append(parts, sel.named...)...)
}

// Change is one key whose content differs from a record.
type Change struct {
	// Key is the name, or "" where only the source as a whole is known to have changed.
	Key string
	// Live and Frozen say how the key arrives in the pods.
	Live, Frozen bool
}

// Diff is how a source differs from a record of it.
type Diff struct {
	// Changes are the changed keys, sorted by name.
	Changes []Change
	// Uncovered reports whether the workload uses something of the source that the record says nothing about.
	Uncovered bool
	// Created and Deleted report that the source came to be or ceased to be. Changes then has one entry without a name,
	// or none if the workload sees nothing of it: an optional key that the source does not have either.
	Created, Deleted bool
	// Replaces reports whether a file or variable has content of something else than before, which one hid the other.
	// That the source came to be or ceased to be is then an edit of what is there.
	Replaces bool
	// Hidden reports whether there is a change which is not among Changes, since something else hides it and did
	// before.
	Hidden bool
}

// Diff compares a source with a record of it, like with like: only keys that
// are used now and that the record covers count.
func (s Digester) Diff(use SourceState, record Record) Diff {
	return s.diff(use, record, func(Usage, string) (bool, bool) { return true, false })
}

// counting reports whether a change of a key reaches the pods by a usage, and whether it replaces the content of
// something else.
type counting func(u Usage, key string) (counts, replaces bool)

func (s Digester) diff(use SourceState, record Record, counts counting) Diff {
	switch {
	case use.Snapshot == nil && record.Absent:
		return Diff{}
	case use.Snapshot == nil && record.Fold != "":
		return Diff{Deleted: true, Changes: use.Usages.Whole()}
	case use.Snapshot == nil:
		gone := s.diffKeys(SourceState{Usages: use.Usages, Snapshot: &Snapshot{}}, record, counts)
		return Diff{Deleted: true, Changes: use.Usages.together(gone.Changes), Replaces: gone.Replaces, Hidden: gone.Hidden}
	case record.Absent:
		come := s.diffKeys(use, Record{All: true, Binary: true}, counts)
		return Diff{Created: true, Changes: use.Usages.together(come.Changes), Replaces: come.Replaces, Hidden: come.Hidden}
	case record.Fold != "":
		if record.Folded != s.selection(use.Usages.keySet()) {
			return Diff{Uncovered: true}
		}
		if s.matchesFold(use, record) {
			return Diff{}
		}
		return Diff{Changes: use.Usages.Whole()}
	}
	return s.diffKeys(use, record, counts)
}

func (s Digester) diffKeys(use SourceState, record Record, counts counting) Diff {
	var diff Diff
	sel := use.Usages.keySet()
	if (sel.all && !record.All) || (sel.binary && !record.Binary) {
		diff.Uncovered = true
	}
	candidates := map[string]struct{}{}
	for key := range record.Keys {
		candidates[key] = struct{}{}
	}
	for key := range use.Snapshot.Keys {
		candidates[key] = struct{}{}
	}
	for _, key := range sel.named {
		candidates[key] = struct{}{}
	}
	for _, key := range slices.Sorted(maps.Keys(candidates)) {
		entry, exists := use.Snapshot.Keys[key]
		before, covered := record.Keys[key]
		if !covered && (!record.All || (exists && entry.Binary && !record.Binary)) {
			live, frozen := use.Usages.Reach(key, entry.Binary)
			diff.Uncovered = diff.Uncovered || live || frozen
			continue
		}
		var now KeyedDigest
		if exists {
			now = s.keyed(use.Usages.Ref, key, entry)
		}
		use.Usages.differs(&diff, key, before, now, counts)
	}
	return diff
}

// differs notes by which ways two contents of a key, "" for none, differ to the
// pods. They need not differ in all: a key that moves from data to binaryData
// leaves the environment and stays in volumes.
func (s SourceUsages) differs(diff *Diff, key string, before, now KeyedDigest, counts counting) {
	if before == now {
		return
	}
	live, frozen := s.reach(func(u Usage) bool {
		if u.sees(key, before) == u.sees(key, now) {
			return false
		}
		isSeen, replaces := counts(u, key)
		diff.Replaces = diff.Replaces || replaces
		diff.Hidden = diff.Hidden || !isSeen
		return isSeen
	})
	if live || frozen {
		diff.Changes = append(diff.Changes, Change{Key: key, Live: live, Frozen: frozen})
	}
}

// sees returns what of a key arrives by a usage, "" for nothing.
func (u Usage) sees(key string, content KeyedDigest) KeyedDigest {
	if content == "" || !u.consumes(key, content.binary()) {
		return ""
	}
	return content.plain()
}

// Whole is a change of a source when no more is known.
func (s SourceUsages) Whole() []Change {
	live, frozen := s.reach(func(Usage) bool { return true })
	return []Change{{Live: live, Frozen: frozen}}
}

// together is one change in place of several. Of a source that an annotation
// names it is not known what the pods see, so that its being there is a change.
func (s SourceUsages) together(changes []Change) []Change {
	if slices.ContainsFunc(s.Usages, func(u Usage) bool { return u.Via == ViaNamed }) {
		return s.Whole()
	}
	if len(changes) == 0 {
		return nil
	}
	var all Change
	for _, c := range changes {
		all.Live = all.Live || c.Live
		all.Frozen = all.Frozen || c.Frozen
	}
	return []Change{all}
}

// saysNothing reports whether a record may say nothing about what the pods have: it covers all and has no key, and so
// differs from any content.
func (r Record) saysNothing() bool {
	return r.All && r.Binary && len(r.Keys) == 0 && r.Fold == ""
}

// Equal reports whether two records say the same.
func (r Record) Equal(other Record) bool {
	return r.Absent == other.Absent && r.All == other.All && r.Binary == other.Binary &&
		r.Fold == other.Fold && r.Folded == other.Folded && r.Immutable == other.Immutable && r.Ignored == other.Ignored &&
		maps.Equal(r.Keys, other.Keys)
}

// recordFields are the fields of a [Record] without its methods.
type recordFields Record

// MarshalJSON implements [json.Marshaler].
func (r Record) MarshalJSON() ([]byte, error) { return withUnknown(recordFields(r), r.Unknown) }

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Record) UnmarshalJSON(text []byte) error {
	var fields recordFields
	unknown, err := splitUnknown(text, &fields, "absent", "all", "binary", "keys", "fold", "folded", "immutable", "ignored")
	fields.Unknown = unknown
	*r = Record(fields)
	return err
}
