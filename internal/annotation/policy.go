package annotation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"inpod.dev/inpod/internal/source"
)

// Policy is what the user asked for on one workload.
type Policy struct {
	// OptedOut reports whether the workload itself carries the ignore annotation.
	OptedOut bool
	// Injected reports whether the template asks for the sidecar. Such a workload is followed like auto where nothing
	// else is said.
	Injected bool
	// OnFailure is what follows a reload that fails; "" where nothing is said.
	OnFailure OnFailure
	// RolloutStrategy is how a Rollout of Argo Rollouts is rolled; "" where nothing is said.
	RolloutStrategy RolloutStrategy
	// Pacing says when it may be rolled.
	Pacing Pacing

	kinds [kindsOfSources]*kindPolicy // nil for nothing
}

// kindsOfSources is how many kinds of sources there are.
const kindsOfSources = 4

// of returns the policy for a kind of source, which is read-only.
func (p Policy) of(kind source.Kind) *kindPolicy {
	if i := slices.Index(source.Kinds(), kind); i >= 0 && p.kinds[i] != nil {
		return p.kinds[i]
	}
	return &plain[0]
}

// RolloutStrategy is how a Rollout of Argo Rollouts is rolled. The values are Reloader's.
type RolloutStrategy string

// The strategies.
const (
	Rollout RolloutStrategy = "rollout" // by an edit of its template
	Restart RolloutStrategy = "restart" // by a restart of its pods
)

// OnFailure is what follows a reload that fails.
type OnFailure string

// The values of [OnFailure].
const (
	FailureRollout OnFailure = "rollout" // new pods for the workload
	FailureEvict   OnFailure = "evict"   // new pods in the place of those that failed
	FailureNone    OnFailure = "none"    // a Warning event alone
)

// kindPolicy is a policy for one kind of source.
type kindPolicy struct {
	auto bool
	// said reports whether auto or its form for one kind is there and not empty, so that the option to follow
	// everything does not apply.
	said     bool
	search   bool
	named    names
	excluded names
}

// plain are the policies without lists, which most workloads have and share.
var plain = func() (all [8]kindPolicy) { //nolint:gochecknoglobals // a constant
	for i := range all {
		all[i] = kindPolicy{auto: i&1 != 0, said: i&2 != 0, search: i&4 != 0}
	}
	return all
}()

// shared returns one of [plain] for a policy without lists, and otherwise a copy.
func (k kindPolicy) shared() *kindPolicy {
	if !k.named.isEmpty() || !k.excluded.isEmpty() {
		return &k
	}
	i := 0
	for bit, is := range []bool{k.auto, k.said, k.search} {
		if is {
			i |= 1 << bit
		}
	}
	return &plain[i]
}

// Problem is a value that cannot be understood. It concerns the workload that
// carries it and nothing else.
type Problem struct {
	Key, Value string
	// OnTemplate reports whether the annotation is on the pod template, OnJobTemplate that it is on what a CronJob
	// gives its Jobs, and IsLabel that it is a label.
	OnTemplate, OnJobTemplate, IsLabel bool
	// Misplaced reports whether the key would count somewhere else.
	Misplaced bool
	// Unknown reports whether the key is none of inpod's.
	Unknown bool
	// Fault completes the sentence: annotation KEY: …
	Fault string
}

// String is one line for an event.
func (p Problem) String() string {
	what, where := "annotation", ""
	if p.IsLabel {
		what = "label"
	}
	switch {
	case p.OnTemplate:
		where = " on the pod template"
	case p.OnJobTemplate:
		where = " on the job template"
	}
	return fmt.Sprintf("%s %s%s: %s", what, p.Key, where, p.Fault)
}

// Read returns what the annotations of a workload and of its pod template ask
// for, and what cannot be understood in them.
//
// The four values {named list of a kind, auto, auto of the kind, search} come
// from the workload if it has any of them, else from the template: all or
// nothing, per kind of source, and presence counts, also of "" or "false".
// Exclude lists and ignore count in both places.
func Read(keys Keys, workload, template map[string]string) (Policy, []Problem) {
	r := reader{keys: keys}
	var p Policy
	for i, kind := range source.Kinds() {
		from, onTemplate := workload, false
		own := []string{keys.Named[kind], keys.Auto, keys.AutoKind[kind], keys.Search}
		if !slices.ContainsFunc(own, func(key string) bool { _, ok := workload[key]; return ok }) {
			from, onTemplate = template, true
		}
		k := r.kind(kind, from, onTemplate)
		k.excluded = r.excluded(kind, workload, template)
		p.kinds[i] = k.shared()
	}
	p.OptedOut = r.exactly(keys.Ignore, workload, false) || r.exactly(keys.Ignore, template, true)
	p.Injected = template[keys.Inject] == "enabled" || template[keys.Inject] == isTrue
	p.OnFailure = r.onFailure(workload, template)
	p.RolloutStrategy = r.rolloutStrategy(workload, template)
	p.Pacing = r.pacing(workload, template)
	return p, r.problems
}

type reader struct {
	keys     Keys
	compiler compiler
	problems []Problem
}

// report notes a problem once: a value that counts for several kinds of source is read several times. It notes no more than it takes
// to say that there are too many.
func (r *reader) report(p Problem) {
	if !tooMany(r.problems) && !slices.Contains(r.problems, p) {
		r.problems = append(r.problems, p)
	}
}

func (r *reader) kind(kind source.Kind, from map[string]string, onTemplate bool) kindPolicy {
	var k kindPolicy
	for _, key := range []string{r.keys.Auto, r.keys.AutoKind[kind]} {
		if from[key] == "" {
			continue
		}
		k.said = true
		k.auto = r.boolean(key, from[key], onTemplate) || k.auto
	}
	k.search = r.exactly(r.keys.Search, from, onTemplate)

	key := r.keys.Named[kind]
	list := r.names(kind, key, from[key], onTemplate, false)
	if _, yes := list.exact[isTrue]; yes {
		r.report(Problem{Key: key, Value: from[key], OnTemplate: onTemplate, Fault: fmt.Sprintf(
			`"true" is read as the name of a %s; to follow every %s use %s: "true"`, kind, kind, r.keys.AutoKind[kind])})
	}
	k.named = list
	return k
}

// names reads a list, and reports what in it can be the name of no object, nor match one as a pattern.
func (r *reader) names(kind source.Kind, key, text string, onTemplate, literal bool) names {
	list := r.compiler.names(text, literal)
	for _, item := range list.items {
		if tooMany(r.problems) {
			return list
		}
		fault := itemFault(kind, item.text)
		if item.left {
			fault = shortened(item.text) + " and patterns after it do not count, since those of the object are too many or repeat too much; use names, or fewer patterns"
		}
		if fault != "" {
			r.report(Problem{Key: key, Value: text, OnTemplate: onTemplate, Fault: fault})
		}
		if item.left {
			return list
		}
	}
	return list
}

// boolean reads what Go's ParseBool accepts, without trimming, as Reloader does. What cannot be read is false.
func (r *reader) boolean(key, value string, onTemplate bool) bool {
	parsed, err := strconv.ParseBool(value)
	if err != nil {
		r.report(Problem{Key: key, Value: value, OnTemplate: onTemplate, Fault: fmt.Sprintf(
			`%.100q is not a boolean and counts as false; use "true" or "false"`, value)})
	}
	return parsed
}

// exactly reports whether the value is "true". What looks like it and is not is reported.
func (r *reader) exactly(key string, from map[string]string, onTemplate bool) bool {
	value := from[key]
	if value == isTrue || value == "" {
		return value == isTrue
	}
	if parsed, err := strconv.ParseBool(strings.TrimSpace(value)); err != nil || parsed {
		r.report(Problem{Key: key, Value: value, OnTemplate: onTemplate, Fault: fmt.Sprintf(
			`%.100q counts as false; only "true" switches it on`, value)})
	}
	return false
}

func (r *reader) excluded(kind source.Kind, workload, template map[string]string) names {
	key := r.keys.Exclude[kind]
	var all names
	for _, place := range []struct {
		from       map[string]string
		onTemplate bool
	}{{workload, false}, {template, true}} {
		list := r.names(kind, key, place.from[key], place.onTemplate, true)
		for name := range list.exact {
			if all.exact == nil {
				all.exact = map[string]struct{}{}
			}
			all.exact[name] = struct{}{}
		}
		all.patterns = append(all.patterns, list.patterns...)
	}
	return all
}

func (r *reader) onFailure(workload, template map[string]string) OnFailure {
	value, onTemplate := workload[r.keys.OnFailure], false
	if value == "" {
		value, onTemplate = template[r.keys.OnFailure], true
	}
	switch wanted := OnFailure(value); wanted {
	case "", FailureRollout, FailureEvict, FailureNone:
		return wanted
	}
	r.report(Problem{Key: r.keys.OnFailure, Value: value, OnTemplate: onTemplate, Fault: fmt.Sprintf(
		`%.100q is not allowed and counts as "rollout"; use "rollout", "evict" or "none"`, value)})
	return FailureRollout
}

func (r *reader) rolloutStrategy(workload, template map[string]string) RolloutStrategy {
	value, onTemplate := workload[RolloutStrategyKey], false
	if value == "" {
		value, onTemplate = template[RolloutStrategyKey], true
	}
	switch strategy := RolloutStrategy(value); strategy {
	case "", Rollout, Restart:
		return strategy
	}
	r.report(Problem{Key: RolloutStrategyKey, Value: value, OnTemplate: onTemplate, Fault: fmt.Sprintf(
		`%.100q is not allowed and counts as "rollout"; use "rollout" or "restart"`, value)})
	return Rollout
}
