package annotation

import (
	"slices"

	"inpod.dev/inpod/internal/source"
)

// Selection is why a workload follows a source, or why it does not.
type Selection string

// The selections. The first three mean that the workload follows the source.
const (
	// Named: a list names it. The template need not reference it.
	Named Selection = "Named"
	// Search: the workload searches and the source carries the match annotation.
	Search Selection = "Search"
	// Auto: the workload follows everything it references.
	Auto Selection = "Auto"

	// OptedOut: the workload carries the ignore annotation.
	OptedOut Selection = "OptedOut"
	// Ignored: the source carries the ignore annotation.
	Ignored Selection = "Ignored"
	// Excluded: the workload excludes it by name.
	Excluded Selection = "Excluded"
	// NotSelected: nothing asks for it.
	NotSelected Selection = "NotSelected"
)

// Follows reports whether a change of the source matters to the workload.
func (s Selection) Follows() bool { return s == Named || s == Search || s == Auto }

// Select decides on one source in the order of Reloader's ShouldReload (pkg/common/common.go). referenced reports
// whether the template references the source; autoAll is the option to follow everything where nothing is said.
//
//	ignore on the workload              no
//	ignore on the source                no
//	excluded by name                    no
//	an item of the named list matches   yes, no reference needed
//	not referenced                      no
//	search, and match on the source     yes
//	auto, or auto of the kind           yes
//	nothing said, and autoAll           yes
//	nothing said, and injected          yes
func (p Policy) Select(ref source.Ref, ignore, match, referenced, autoAll bool) Selection {
	k := p.of(ref.Kind)
	switch {
	case p.OptedOut:
		return OptedOut
	case ignore:
		return Ignored
	case k.excluded.match(ref.Name):
		return Excluded
	case k.named.match(ref.Name):
		return Named
	case !referenced:
		return NotSelected
	case k.search && match:
		return Search
	case k.auto, !k.said && (autoAll || p.Injected):
		return Auto
	}
	return NotSelected
}

// Lists returns the items of the named lists as the user wrote them, by kind of source.
func (p Policy) Lists() map[source.Kind][]string {
	lists := map[source.Kind][]string{}
	for _, kind := range source.Kinds() {
		k := p.of(kind)
		for _, item := range k.named.items {
			lists[kind] = append(lists[kind], item.text)
		}
	}
	return lists
}

// Excluded returns what the exclude lists name, by kind of source, sorted. A kind without a list is not in it.
func (p Policy) Excluded() map[source.Kind][]string {
	lists := map[source.Kind][]string{}
	for _, kind := range source.Kinds() {
		k := p.of(kind)
		for name := range k.excluded.exact {
			lists[kind] = append(lists[kind], name)
		}
		for _, pattern := range k.excluded.patterns {
			lists[kind] = append(lists[kind], pattern.String())
		}
		slices.Sort(lists[kind])
	}
	return lists
}

// Literals returns the names in the list of a kind that can be the name of an object, sorted.
func (p Policy) Literals(kind source.Kind) []string {
	var literals []string
	for name := range p.of(kind).named.exact {
		literals = append(literals, name)
	}
	slices.Sort(literals)
	return literals
}

// HasPatterns reports whether the list of a kind has items that are not plain names, so that any source of the
// namespace may be meant.
func (p Policy) HasPatterns(kind source.Kind) bool {
	return len(p.of(kind).named.patterns) > 0
}

// Asks reports whether the workload itself asks for anything, whatever it may use.
func (p Policy) Asks() bool {
	if p.OptedOut {
		return false
	}
	for _, kind := range source.Kinds() {
		k := p.of(kind)
		if k.auto || k.search || len(k.named.items) > 0 {
			return true
		}
	}
	return p.Injected
}

// Searches reports whether the workload searches sources of a kind by their match annotation.
func (p Policy) Searches(kind source.Kind) bool { return p.of(kind).search }

// mostIdle is how many items of a list are reported to match nothing.
const mostIdle = 100

// Idle returns the items of the list of a kind that match none of these names, as the user wrote them, the first of them where there
// are many. Those that can match no object at all are left out: a [Problem] says so.
func (p Policy) Idle(kind source.Kind, names []string) []string {
	items := p.of(kind).named.items
	if len(items) == 0 {
		return nil
	}
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	var idle []string
	seen := 0
	for _, item := range items {
		switch {
		case item.text == isTrue, known[item.text], item.pattern != nil && slices.ContainsFunc(names, item.pattern.MatchString):
			continue
		case item.left:
			continue
		case seen == mostIdle:
			return idle
		}
		seen++
		if itemFault(kind, item.text) == "" {
			idle = append(idle, item.text)
		}
	}
	return idle
}
