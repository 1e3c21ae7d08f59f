package annotation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/spelling"
)

// Checker finds what does not do what its author believes: keys that inpod does not read, and keys that are not read
// where they stand. Values are the concern of [Read] and [ReadInjection].
type Checker struct {
	keys  Keys
	table map[string]Key
	// selected are labels that mean something as the selectors of the settings have them.
	selected map[string]bool
	// replaced are keys that the settings have others for. Another installation, or Reloader itself, may read them.
	replaced map[string]bool
	// names are those of the table and the replaced ones, each sorted.
	names []string
}

// NewChecker returns a checker of these keys. The labels are keys that selectors of the settings have.
func NewChecker(keys Keys, labels ...string) *Checker {
	c := &Checker{keys: keys, table: map[string]Key{}, selected: map[string]bool{}, replaced: map[string]bool{}}
	for _, key := range keys.Table() {
		c.table[key.Name] = key
	}
	for _, key := range DefaultKeys().Table() {
		if _, known := c.table[key.Name]; !known {
			c.replaced[key.Name] = true
		}
	}
	for _, label := range labels {
		c.selected[label] = true
	}
	c.names = slices.Concat(slices.Sorted(maps.Keys(c.table)), slices.Sorted(maps.Keys(c.replaced)))
	return c
}

// Keys are the keys that the checker knows.
func (c *Checker) Keys() Keys { return c.keys }

// Object is what a [Checker] checks.
type Object struct {
	// At is [AtWorkload], [AtSource] or [AtNamespace].
	At                  Place
	Annotations, Labels map[string]string
	// TemplateAnnotations and TemplateLabels are those of the pod template of a workload.
	TemplateAnnotations, TemplateLabels map[string]string
	// JobTemplateAnnotations and JobTemplateLabels are those that a CronJob gives its Jobs.
	JobTemplateAnnotations, JobTemplateLabels map[string]string
}

// Concerns reports whether a key is inpod's or Reloader's, or can only have been meant to be.
func (c *Checker) Concerns(key string) bool {
	_, known := c.table[key]
	return known || c.isOurs(key)
}

// reloaderDomain is that of most of Reloader's keys; the others are below it.
const reloaderDomain = "reloader.stakater.com"

// isOurs reports whether a key is in a domain that only inpod uses, or in one that is a misspelling of Reloader's.
// Stakater has other tools, with domains of their own below stakater.com.
func (c *Checker) isOurs(key string) bool {
	domain, name, has := strings.Cut(strings.ToLower(key), "/")
	switch {
	case !has || c.replaced[key]:
		return false
	case domain+"/" == Domain, domain == reloaderDomain, strings.HasSuffix(domain, "."+reloaderDomain):
		return true
	case !strings.Contains(domain, "reloader") && !strings.Contains(domain, "stakater"):
		return false
	}
	const most = 2
	for known := range c.table {
		of, its, _ := strings.Cut(known, "/")
		if its == name && strings.HasSuffix(of, reloaderDomain) && spelling.Within(domain, of, most) {
			return true
		}
	}
	return false
}

// mostKeys is how many keys of one object are checked. Those that mean something are fewer.
const mostKeys = 200

// Check returns what does not count, sorted by place and key. The work is bounded, whatever an object carries.
func (c *Checker) Check(o Object) []Problem {
	var problems []Problem
	seen := 0
	check := func(as Problem, all map[string]string, fault func(key string) string) {
		for _, key := range c.ours(all) {
			if seen++; seen > mostKeys || tooMany(problems) {
				return
			}
			p := as
			if p.Fault = fault(key); p.Fault != "" {
				p.Key, p.Value = key, all[key]
				_, p.Misplaced = c.table[key]
				p.Unknown = !p.Misplaced
				problems = append(problems, p)
			}
		}
	}
	check(Problem{}, o.Annotations, func(key string) string { return c.annotation(o, key, o.At) })
	check(Problem{OnTemplate: true}, o.TemplateAnnotations, func(key string) string { return c.annotation(o, key, AtTemplate) })
	check(Problem{IsLabel: true}, o.Labels, func(key string) string { return c.label(o, key, o.At) })
	check(Problem{IsLabel: true, OnTemplate: true}, o.TemplateLabels, func(key string) string {
		if _, both := o.Labels[key]; both { // it is the same mistake
			return ""
		}
		return c.label(o, key, AtTemplate)
	})
	if p, found := c.jobTemplate(o); found && !tooMany(problems) {
		problems = append(problems, p)
	}
	if o.At == AtSource {
		problems = append(problems, c.sourceAnnotations(o.Annotations)...)
	}
	return Few(problems)
}

// most is how many problems of one object are kept and reported.
const most = 8

// tooMany reports whether there are more problems than are reported, so that more need not be found.
func tooMany(problems []Problem) bool { return len(problems) > most }

// Few cuts a list of problems to a length that is of use to its reader; the last one says that there are more.
func Few(problems []Problem) []Problem {
	if !tooMany(problems) {
		return problems
	}
	rest := problems[most-1]
	rest.Fault += " (and there are more mistakes)"
	return append(slices.Clone(problems[:most-1]), rest)
}

// ours returns the keys that concern inpod, sorted; nil in the ordinary case.
func (c *Checker) ours(all map[string]string) []string {
	var keys []string
	for key := range all {
		if c.Concerns(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// annotation says why an annotation does nothing at a place, "" if it does something, or nothing is expected of it.
func (c *Checker) annotation(o Object, key string, at Place) string {
	known, isKnown := c.table[key]
	switch {
	case !isKnown:
		fault := c.unknown(key, at)
		if at == AtTemplate && fault != "" && strings.HasPrefix(key, Domain) {
			fault = sentence(fault) + " Pods that carry it get no sidecar" // the injector guesses nothing
		}
		return fault
	case known.Written:
		return ""
	case known.At&at == 0:
		if c.countsElsewhere(o, known) {
			return ""
		}
		return fmt.Sprintf("has no effect on %s: it counts on %s", at, known.At)
	case at == AtTemplate:
		return c.hidden(o, key)
	}
	return ""
}

// sentence ends what is to be followed by another sentence.
func sentence(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// jobTemplate says of the first key on the template of the Jobs of a CronJob that it is not read there, and how many
// more there are: it is one mistake. Those that count elsewhere as well are none.
func (c *Checker) jobTemplate(o Object) (p Problem, found bool) {
	more, seen := 0, 0
	for _, place := range []struct {
		keys    map[string]string
		isLabel bool
	}{{o.JobTemplateAnnotations, false}, {o.JobTemplateLabels, true}} {
		for _, key := range c.ours(place.keys) {
			if seen++; seen > mostKeys {
				break
			}
			known, isKnown := c.table[key]
			switch {
			case known.Written, isKnown && c.countsElsewhere(o, known), place.isLabel && c.selected[key]:
				continue
			case found:
				more++
				continue
			}
			fault := c.unknown(key, AtTemplate)
			if isKnown {
				fault = fmt.Sprintf("has no effect there: it counts on %s, spec.jobTemplate.spec.template", known.At&^(AsNamespaceLabel|AtNamespace|AtSource))
			}
			if isKnown && place.isLabel {
				fault += ", as an annotation"
			}
			if fault != "" {
				p, found = Problem{Key: key, Value: place.keys[key], IsLabel: place.isLabel, OnJobTemplate: true, Misplaced: isKnown, Unknown: !isKnown, Fault: fault}, true
			}
		}
	}
	if more > 0 {
		p.Fault = fmt.Sprintf("%s; the same goes for %d more keys there", p.Fault, more)
	}
	return p, found
}

// label says why a label does nothing at a place.
func (c *Checker) label(o Object, key string, at Place) string {
	known, isKnown := c.table[key]
	switch {
	case c.selected[key]:
		return ""
	case !isKnown:
		return c.unknown(key, at)
	case known.Written:
		return ""
	case at == AtNamespace && known.At&AsNamespaceLabel != 0:
		if _, understood := parseWish(o.Labels[key]); understood {
			return ""
		}
		return quoted(o.Labels[key]) + ` is not allowed; use "enabled" or "disabled"`
	case c.countsElsewhere(o, known):
		return ""
	case known.At&AsNamespaceLabel != 0:
		return fmt.Sprintf("has no effect as a label here: it counts as an annotation of %s, and as a label of a namespace", known.At&^AsNamespaceLabel)
	}
	return fmt.Sprintf("has no effect as a label: it counts as an annotation of %s", known.At)
}

// countsElsewhere reports whether the object has a key at a place where it counts as well. Tools put the same keys everywhere.
func (c *Checker) countsElsewhere(o Object, key Key) bool {
	for _, place := range []struct {
		at   Place
		keys map[string]string
	}{{o.At, o.Annotations}, {AtTemplate, o.TemplateAnnotations}} {
		if _, has := place.keys[key.Name]; has && key.At&place.at != 0 {
			return true
		}
	}
	return false
}

// hidden says of an annotation of the template that it is not read because the workload has one of those that go together, see
// [Read].
func (c *Checker) hidden(o Object, key string) string {
	if _, same := o.Annotations[key]; same {
		return ""
	}
	by, hidden := "", false
	for _, kind := range source.Kinds() {
		together := []string{c.keys.Named[kind], c.keys.Auto, c.keys.AutoKind[kind], c.keys.Search}
		if !slices.Contains(together, key) {
			continue
		}
		i := slices.IndexFunc(together, func(other string) bool { _, has := o.Annotations[other]; return has })
		if i < 0 {
			return "" // it is read for this kind of source
		}
		by, hidden = together[i], true
	}
	if !hidden {
		return ""
	}
	return fmt.Sprintf("is not read, since the workload itself has %s: move it there", by)
}

// sourceAnnotations reads what a source says of itself.
func (c *Checker) sourceAnnotations(annotations map[string]string) []Problem {
	r := reader{keys: c.keys}
	for _, key := range []string{c.keys.Match, c.keys.Ignore} {
		r.exactly(key, annotations, false)
	}
	return r.problems
}

// unknown says what was meant by a key that is not read, "" for one that another installation may comment on.
func (c *Checker) unknown(key string, at Place) string {
	const where = "is no key of inpod or Reloader"
	meant := c.meant(key, at)
	switch {
	case c.replaced[meant], meant == "" && len(c.replaced) > 0 && !strings.HasPrefix(key, Domain):
		return "" // another installation has Reloader's keys
	case meant != "":
		return where + "; did you mean " + meant + "?"
	}
	return where + "; docs/annotations.md lists all"
}

// meant returns the key that was meant, which may be one that the settings replace; "" if that cannot be guessed. Keys
// that count at the place go first.
func (c *Checker) meant(key string, at Place) string {
	domain, name, _ := strings.Cut(strings.ToLower(key), "/")
	if at&(AtWorkload|AtTemplate) != 0 && (domain == reloaderDomain || domain+"/" == Domain) && slices.Contains(alsoKnownAsAuto(), name) {
		if auto := DefaultKeys().Auto; c.replaced[auto] {
			return auto
		}
		return c.keys.Auto
	}
	type candidate struct {
		name             string
		elsewhere        int // 0 where it counts at the place
		distance, domain int
	}
	var best candidate
	for _, known := range c.names {
		its, named, _ := strings.Cut(known, "/")
		one := candidate{name: known, distance: spelling.Distance(name, named), domain: spelling.Distance(domain, its)}
		if c.table[known].At&at == 0 {
			one.elsewhere = 1
		}
		if c.table[known].Written || !spelling.Near(one.distance, named) {
			continue
		}
		if best.name == "" || cmp.Or(cmp.Compare(one.distance, best.distance), cmp.Compare(one.domain, best.domain), cmp.Compare(one.elsewhere, best.elsewhere)) < 0 {
			best = one
		}
	}
	return best.name
}

// alsoKnownAsAuto are names that users expect of the key that follows everything.
func alsoKnownAsAuto() []string {
	return []string{"enabled", "enable", "reload", "restart", "on", "watch", "triggerrollout", "trigger-rollout", "rollout", "auto-reload"}
}
