package source

import (
	"maps"
	"slices"
)

// SourceUsages is how one workload uses one source, over all of its usages.
type SourceUsages struct {
	Ref    Ref
	Usages []Usage
}

// SourceState is a source as one workload uses it: how, and what is there. Snapshot is
// nil if the source does not exist.
type SourceState struct {
	Usages   SourceUsages
	Snapshot *Snapshot
	// Unseen reports whether a source without a Snapshot may exist: its kind is not watched, or it may lack the label
	// that is asked for.
	Unseen bool
}

// OfChanges returns the source with those keys alone that changes name.
func (s SourceState) OfChanges(changes []Change) SourceState {
	if s.Snapshot == nil || slices.ContainsFunc(changes, func(c Change) bool { return c.Key == "" }) {
		return s
	}
	only := *s.Snapshot
	only.Keys = make(map[string]Entry, len(changes))
	for _, change := range changes {
		if entry, exists := s.Snapshot.Keys[change.Key]; exists {
			only.Keys[change.Key] = entry
		}
	}
	s.Snapshot = &only
	return s
}

// GroupUsages groups usages by source, ordered by [Ref.Compare].
func GroupUsages(usages []Usage) []SourceUsages {
	var scopes []SourceUsages
	for _, u := range usages {
		at, found := slices.BinarySearchFunc(scopes, u.Ref, func(s SourceUsages, ref Ref) int { return s.Ref.Compare(ref) })
		if !found {
			scopes = slices.Insert(scopes, at, SourceUsages{Ref: u.Ref})
		}
		scopes[at].Usages = append(scopes[at].Usages, u)
	}
	return scopes
}

// Reach returns in which ways a key arrives in the pods: live, frozen, both or, for a key that is not used, neither.
func (s SourceUsages) Reach(key string, binary bool) (live, frozen bool) {
	return s.reach(func(u Usage) bool { return u.consumes(key, binary) })
}

// reach reports whether there are live and frozen ones among the usages that count.
func (s SourceUsages) reach(counts func(Usage) bool) (live, frozen bool) {
	for _, u := range s.Usages {
		if !counts(u) {
			continue
		}
		if u.Live() {
			live = true
		} else {
			frozen = true
		}
	}
	return live, frozen
}

// Required reports whether a new pod could not start without the source.
func (s SourceUsages) Required() bool {
	return slices.ContainsFunc(s.Usages, Usage.required)
}

// StartedWith reports whether the source was there when a container started: without a volume none of them starts, and
// without a variable only the one that has it does not.
func (s SourceUsages) StartedWith(container string) bool {
	return slices.ContainsFunc(s.Usages, func(u Usage) bool {
		return u.required() && (!u.inEnvironment() || u.Container == container)
	})
}

func (u Usage) required() bool { return !u.Optional && u.Via != ViaNamed }

// MissingKeys returns the keys that the source does not have and without
// which a new pod could not do what the running ones do, sorted.
func (s SourceUsages) MissingKeys(snapshot *Snapshot, before Record) []string {
	missing := map[string]struct{}{}
	for _, u := range s.Usages {
		if !u.required() {
			continue
		}
		for _, key := range u.needs(before) {
			if entry, ok := snapshot.Keys[key]; !ok || entry.Binary && u.inEnvironment() {
				missing[key] = struct{}{}
			}
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

// needs returns the keys without which a pod does not start, or not as before.
// A subPath that leads to nothing does not keep a pod from starting (the
// kubelet makes an empty directory), so that it counts only if the key was
// there before, and not if the file may come from another source.
func (u Usage) needs(before Record) []string {
	switch {
	case u.Via == ViaEnv:
		return u.Keys
	case u.Items != nil:
		return u.Items
	case u.Via == ViaSubPath && !u.Shared:
		return slices.DeleteFunc(slices.Clone(u.Keys), func(key string) bool { return before.Keys[key] == "" })
	}
	return nil
}

// present returns the keys that are used and exist, sorted.
func (s SourceUsages) present(snapshot *Snapshot) []string {
	var keys []string
	for key, entry := range snapshot.Keys {
		if live, frozen := s.Reach(key, entry.Binary); live || frozen {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// keySet is which keys a scope covers, whether they exist or not.
type keySet struct {
	// all reports whether every key counts; binary that this includes binaryData.
	all, binary bool
	// named are the keys that count one by one, sorted.
	named []string
}

func (s SourceUsages) keySet() keySet {
	var sel keySet
	named := map[string]struct{}{}
	for _, u := range s.Usages {
		if u.Keys == nil {
			sel.all = true
			sel.binary = sel.binary || u.consumes("", true)
			continue
		}
		for _, key := range u.Keys {
			named[key] = struct{}{}
		}
	}
	sel.named = slices.Sorted(maps.Keys(named))
	return sel
}
