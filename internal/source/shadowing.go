package source

import (
	"slices"
	"strings"
)

// Shadowing is which keys of the sources of one template hide which others: in a projected volume and in the environment a
// later source wins over an earlier one that gives the same file or variable. A change of what is hidden reaches nobody, and
// what was hidden and shows now is a change, although it is as old as before.
//
// It is a function of the template, of what is there, and of what is recorded: records have the hidden keys as well, so that
// they say the same whatever hides them later.
type Shadowing struct {
	digester Digester
	uses     map[Ref]SourceState
	before   map[Ref]Record
	// own is the source whose changes are asked for, and record that of it.
	own    Ref
	record Record
	known  *known
}

// known is what a Shadowing has worked out and needs for each key again: a source and a layer may have very many.
type known struct {
	folds  map[Ref]KeyedDigest
	layers map[*Layer]index
	// folded and indexed are how often either was worked out.
	folded, indexed int
}

// index is the Names of a layer by key and by name.
type index struct {
	names, keys map[string][]string
}

// Shadowing returns which keys hide which others, of all sources of a template, followed or not, and what is recorded of
// them. Of a source without a record, and of a key that its record does not cover, it is taken that they were as they are;
// and of one that is not seen, that it is as it was.
func (s Digester) Shadowing(uses []SourceState, before map[Ref]Record) Shadowing {
	h := Shadowing{digester: s, uses: make(map[Ref]SourceState, len(uses)), before: before}
	h.known = &known{folds: map[Ref]KeyedDigest{}, layers: map[*Layer]index{}}
	for _, use := range uses {
		h.uses[use.Usages.Ref] = use
	}
	return h
}

// Diff is [Digester.Diff] without the changes of what is and was hidden.
func (h Shadowing) Diff(use SourceState, record Record) Diff {
	if !use.Usages.meets() {
		return h.digester.Diff(use, record)
	}
	h.own, h.record = use.Usages.Ref, record
	diff := h.digester.diff(use, record, h.counts)
	if diff.Deleted && record.Fold != "" {
		diff.Replaces = slices.ContainsFunc(use.Usages.Usages, h.uncovers)
	}
	return diff
}

// uncovers reports whether, where a source is gone and its keys are not known, something shows which it may have
// hidden.
func (h Shadowing) uncovers(u Usage) bool {
	if u.Place == nil {
		return false
	}
	shows := func(name string) bool {
		f := h.winner(u.Place, name, h.is)
		return f.presence != absent && f.layer < u.Layer
	}
	own := &u.Place[u.Layer]
	if !own.All {
		return slices.ContainsFunc(own.Names, func(n Name) bool { return shows(n.Name) })
	}
	for at := range u.Place[:u.Layer] {
		below := &u.Place[at]
		if slices.ContainsFunc(below.Names, func(n Name) bool { return len(h.keys(own, n.Name)) > 0 && shows(n.Name) }) {
			return true
		}
		snapshot := h.uses[below.Ref].Snapshot
		if !below.All || snapshot == nil {
			continue
		}
		for key := range snapshot.Keys {
			if name := below.Prefix + key; len(h.keys(own, name)) > 0 && shows(name) {
				return true
			}
		}
	}
	return false
}

// counts reports whether a change of a key of a usage reaches the pods, and whether it replaces the content of
// something else.
func (h Shadowing) counts(u Usage, key string) (counts, replaces bool) {
	if u.Place == nil {
		return true, false
	}
	names := h.names(&u.Place[u.Layer], key)
	if len(names) == 0 {
		return true, false // where it meets others is not known
	}
	for _, name := range names {
		c, r := h.countsAt(u.Place, u.Layer, key, name)
		counts, replaces = counts || c, replaces || r
		for at := u.Layer + 1; at < len(u.Place); at++ {
			for _, read := range u.Place[at].Reads {
				if read == name {
					c, r := h.countsAt(u.Place[:at], u.Layer, key, name)
					counts, replaces = counts || c, replaces || r
				}
			}
		}
	}
	return counts, replaces
}

// countsAt is counts for one name: who had it, who has it, and whether these differ.
func (h Shadowing) countsAt(place Place, layer int, key, name string) (counts, replaces bool) {
	was, is := h.winner(place, name, h.was), h.winner(place, name, h.is)
	own := func(f found) bool { return f.layer == layer && f.key == key }
	switch {
	case was.presence == unknown:
		return true, false
	case !own(was) && !own(is), !h.differ(was, is):
		return false, false
	}
	return true, was.presence == present && is.presence == present && (was.layer != is.layer || was.key != is.key)
}

// found is what a name of a Place leads to.
type found struct {
	presence presence
	layer    int
	ref      Ref
	key      string
	// keyed is of content that is recorded, also for what is not seen now, and entry of content that is there.
	keyed KeyedDigest
	entry Entry
}

type presence uint8

const (
	absent presence = iota
	present
	unknown
)

// winner returns what has a name, seen from the last layer; absent for nothing.
func (h Shadowing) winner(place Place, name string, read func(Layer, string) found) found {
	for at := range slices.Backward(place) {
		layer := &place[at]
		for _, key := range slices.Backward(h.keys(layer, name)) {
			if f := read(*layer, key); f.presence != absent {
				f.layer, f.ref, f.key = at, layer.Ref, key
				return f
			}
		}
	}
	return found{layer: -1}
}

// is says what a layer has of a key.
func (h Shadowing) is(l Layer, key string) found {
	if l.Ref.Name == "" {
		return found{presence: present}
	}
	if l.isAlwaysThere() && (h.unseen(l) || h.uses[l.Ref].Snapshot == nil) {
		return found{presence: present, entry: Entry{Digest: NoAnchors()}}
	}
	if h.unseen(l) {
		return h.recorded(l, key)
	}
	snapshot := h.uses[l.Ref].Snapshot
	if snapshot == nil {
		return found{}
	}
	entry, exists := snapshot.Keys[key]
	if !exists || l.Environment && entry.Binary {
		return found{}
	}
	return found{presence: present, entry: entry}
}

// was says what a layer had of a key, as it is recorded.
func (h Shadowing) was(l Layer, key string) found {
	record, recorded := h.before[l.Ref]
	if l.Ref == h.own {
		record, recorded = h.record, true
	}
	use := h.uses[l.Ref]
	switch {
	case !recorded || h.unseen(l):
		return h.is(l, key)
	case l.isAlwaysThere() && (record.Absent || record.Keys[key] == ""):
		return found{presence: present, entry: Entry{Digest: NoAnchors()}}
	case record.Absent:
		return found{}
	case record.Fold != "" && (use.Snapshot == nil || record.Fold != h.fold(use)):
		return found{presence: unknown}
	case record.Fold != "":
		return h.is(l, key)
	case record.saysNothing() && h.is(l, key).presence == present:
		return found{presence: unknown}
	}
	keyed, covered := record.Keys[key]
	if !covered && (!record.All || !record.Binary && h.is(l, key).entry.Binary) {
		return h.is(l, key)
	}
	if keyed == "" || l.Environment && keyed.binary() {
		return found{}
	}
	return found{presence: present, keyed: keyed}
}

// unseen reports whether a layer is of another source than the one that is asked for, and may be there without being seen.
func (h Shadowing) unseen(l Layer) bool {
	return h.uses[l.Ref].Unseen && l.Ref != h.own
}

// isAlwaysThere reports whether the kubelet writes the file whether there is a source or not: that of an optional bundle is
// empty then, and one that is not optional has to be there. So it hides what it hides even where nobody looks at bundles.
func (l Layer) isAlwaysThere() bool { return l.Ref.Kind == ClusterTrustBundle }

// recorded says what a layer has of a key whose source is not seen: what is recorded, and nothing is known without that.
func (h Shadowing) recorded(l Layer, key string) found {
	record, recorded := h.before[l.Ref]
	keyed, covered := record.Keys[key]
	switch {
	case record.Absent:
		return found{}
	case !recorded || record.Fold != "" || record.saysNothing():
		return found{presence: unknown}
	case covered && keyed != "" && (!l.Environment || !keyed.binary()):
		return found{presence: present, keyed: keyed}
	case covered || record.All && (record.Binary || l.Environment):
		return found{}
	}
	return found{presence: unknown}
}

// differ reports whether two contents of a name differ. One that is recorded is compared by making the record that it
// would have: a keyed digest is of a source and a key as much as of content.
func (h Shadowing) differ(was, is found) bool {
	switch {
	case was.presence != is.presence:
		return true
	case was.presence == absent:
		return false
	case was.ref.Name == "" || is.ref.Name == "":
		return was.ref != is.ref
	case is.keyed != "" && was.keyed == "":
		return h.digester.keyed(is.ref, is.key, was.entry).plain() != is.keyed.plain()
	case is.keyed != "":
		return was.ref != is.ref || was.key != is.key || was.keyed.plain() != is.keyed.plain()
	case was.keyed == "":
		return was.entry.Digest != is.entry.Digest
	}
	return was.keyed.plain() != h.digester.keyed(was.ref, was.key, is.entry).plain()
}

// fold is [Digester.fold], worked out once.
func (h Shadowing) fold(use SourceState) KeyedDigest {
	fold, done := h.known.folds[use.Usages.Ref]
	if !done {
		fold = h.digester.fold(use.Usages, use.Snapshot)
		h.known.folds[use.Usages.Ref] = fold
		h.known.folded++
	}
	return fold
}

// names returns what a key of a layer is called.
func (h Shadowing) names(l *Layer, key string) []string {
	if l.All {
		return []string{l.Prefix + key}
	}
	return h.index(l).names[key]
}

// keys returns the keys that a layer has for a name, in their order; those of the source need not exist.
func (h Shadowing) keys(l *Layer, name string) []string {
	if l.All {
		if key, cut := strings.CutPrefix(name, l.Prefix); cut {
			return []string{key}
		}
		return nil
	}
	if len(l.Texts) > 0 && slices.Contains(l.Texts, hashOf(name)) {
		return []string{""} // such a layer has no Names
	}
	if len(l.Names) == 0 {
		return nil
	}
	return h.index(l).keys[name]
}

// index returns the Names of a layer, worked out once.
func (h Shadowing) index(l *Layer) index {
	at, done := h.known.layers[l]
	if !done {
		at = index{names: make(map[string][]string, len(l.Names)), keys: make(map[string][]string, len(l.Names))}
		for _, n := range l.Names {
			at.names[n.Key] = append(at.names[n.Key], n.Name)
			at.keys[n.Name] = append(at.keys[n.Name], n.Key)
		}
		h.known.layers[l] = at
		h.known.indexed++
	}
	return at
}

// Hides reports whether anything of the source may hide something else.
func (s SourceUsages) Hides() bool {
	return slices.ContainsFunc(s.Usages, func(u Usage) bool { return u.Place != nil && u.Layer > 0 })
}

// meets reports whether anything of the source may hide, or be hidden by, something else.
func (s SourceUsages) meets() bool {
	for _, u := range s.Usages {
		if u.Place != nil {
			return true
		}
	}
	return false
}
