package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

const (
	// pace is the time for one change on average: 300 in four minutes.
	pace = 800 * time.Millisecond
	// apart is the least time between two bursts on one workload, so that they are two settled changes.
	apart = 7 * time.Second
	// most is how many bursts a workload gets that is rolled: the controller rolls a workload ten times, and delays it
	// from then on until it was left alone for ten minutes, which rest is longer than.
	most = 8
	rest = 11 * time.Minute
	// spread is the longest time between two bursts on such a workload that a long run asks for.
	spread = 2 * time.Minute
)

// Op is a sort of change.
type Op string

// The sorts of change.
const (
	Edit     Op = "edit"
	Add      Op = "add a key"
	Remove   Op = "remove a key"
	Replace  Op = "delete and create"
	Template Op = "edit the template"
)

// Change is one change of one source, or of the template of a workload.
type Change struct {
	Op     Op
	Source Source
	// Content is what the source has afterwards.
	Content map[string]string
	// Key is the key that is changed; of a [Replace] it is the one that always exists.
	Key string
	// Workload is the one whose template is edited.
	Workload string
	// Pause is the time before the change, less than the settle time.
	Pause time.Duration
}

// Burst is changes that are made one right after the other: one settled change of each workload that they concern.
type Burst struct {
	At      time.Duration
	Changes []Change
}

// Plan is everything that happens, in order.
type Plan struct {
	Seed      uint64
	Workloads []Workload
	// Initial is the content of the sources at the start.
	Initial map[Source]map[string]string
	Bursts  []Burst
	Faults  []Fault
	// Refused is the workload that admission refuses for a while.
	Refused string
	// Slowed is the workload that admission is slow for.
	Slowed string
}

// New makes the plan of a seed for a time, with or without faults, or without some of those in [Names].
func New(seed uint64, length time.Duration, breaks bool, without ...What) Plan {
	m := builder{
		random: rand.New(rand.NewPCG(seed, seed)), content: map[Source]map[string]string{},
		last: map[string]time.Duration{}, bursts: map[string]int{},
		apart: max(apart, min(spread, length/most-30*time.Second)),
	}
	m.plan = Plan{Seed: seed, Workloads: fleet(), Initial: map[Source]map[string]string{}}
	for _, w := range m.plan.Workloads {
		m.last[w.Name] = -rest
		for _, s := range w.Sources() {
			m.content[s] = map[string]string{m.plan.key(s): "0"}
		}
	}
	for s, content := range m.content {
		m.plan.Initial[s] = maps.Clone(content)
	}
	refused := 6 + m.random.IntN(6)
	m.plan.Refused = fmt.Sprintf("deploy-%d", refused) // without pods, and with sources of its own
	if breaks {
		m.plan.Faults = faults(m.random, length)
	}
	m.plan.Slowed = "deploy-" + strconv.Itoa(6+(int(seed%5)+refused-5)%6) // another one of them
	m.changes(length)
	if breaks {
		m.plan.Faults = append(m.plan.Faults, m.plan.mistakes(length, without)...)
		slices.SortStableFunc(m.plan.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	}
	return m.plan
}

// Users are the workloads that a change concerns, by what it changes in their pods.
func (p Plan) Users(c Change) []Workload {
	var users []Workload
	for _, w := range p.Workloads {
		if c.Op != Template && w.Uses(c.Source, c.Key) {
			users = append(users, w)
		}
	}
	return users
}

// key is the key of a source that always exists.
func (p Plan) key(s Source) string {
	for _, w := range p.Workloads {
		if w.ConfigMap() == s {
			return w.Key()
		}
	}
	return "value"
}

// builder builds a plan.
type builder struct {
	random  *rand.Rand
	plan    Plan
	content map[Source]map[string]string
	counter int
	// apart is the least time between two bursts on one workload that is rolled.
	apart time.Duration
	// last and bursts are when a workload was changed last, and how often since it rested.
	last   map[string]time.Duration
	bursts map[string]int
}

func (m *builder) changes(length time.Duration) {
	// Bursts have between one and three changes: an even pace makes them come to an end together.
	changes := int(length / pace)
	for done := 0; done < changes; {
		at := pace * time.Duration(done)
		w, found := m.pick(at)
		if !found { // in a long run there are moments in which all rest
			done++
			continue
		}
		burst := Burst{At: at, Changes: m.burst(w, at, changes-done)}
		done += len(burst.Changes)
		for _, name := range m.concerned(w, burst) {
			if at-m.last[name] >= rest {
				m.bursts[name] = 0
			}
			m.last[name] = at
			m.bursts[name]++
		}
		m.plan.Bursts = append(m.plan.Bursts, burst)
	}
}

// pick chooses a workload that was not changed a moment ago. The refused one is chosen when each refusal begins.
func (m *builder) pick(at time.Duration) (Workload, bool) {
	var free []Workload
	for _, w := range m.plan.Workloads {
		if !m.free(w, at) {
			continue
		}
		if w.Name == m.plan.Refused && m.due(at) {
			return w, true
		}
		free = append(free, w)
	}
	if len(free) == 0 {
		return Workload{}, false
	}
	return free[m.random.IntN(len(free))], true
}

// free reports whether a workload may be changed again. One that is never rolled may be so as often as one likes.
func (m *builder) free(w Workload, at time.Duration) bool {
	since := at - m.last[w.Name]
	if w.Form == InPlace {
		return since >= apart
	}
	return since >= m.apart && m.bursts[w.Name] < most || since >= rest
}

// due reports whether a refusal is under way and the refused workload was not changed since it began.
func (m *builder) due(at time.Duration) bool {
	return slices.ContainsFunc(m.plan.Faults, func(f Fault) bool {
		const begun = 3 * time.Second
		return f.What == Refusal && at >= f.At+begun && at < f.At+f.For && m.last[m.plan.Refused] < f.At+begun
	})
}

// burst makes the changes of one burst, at most so many.
func (m *builder) burst(w Workload, at time.Duration, atMost int) []Change {
	sources := w.Sources()
	first := sources[m.random.IntN(len(sources))]
	if first == Shared() && !m.sharedIsFree(at) {
		first = w.ConfigMap()
	}
	list := []Change{m.change(first)}
	if w.Name == m.plan.Refused { // something that its pods see, whatever they use
		list[0] = m.edit(list[0])
	}
	switch m.random.IntN(6) {
	case 0, 1: // several times within the settle time
		for range 1 + m.random.IntN(2) {
			list = append(list, m.change(first))
		}
	case 2: // two sources at once
		if len(sources) > 1 && first != sources[1] {
			list = append(list, m.change(sources[1]))
		}
	case 3: // together with the template
		if first != Shared() && w.Name != m.plan.Refused && w.Form != InPlace && w.Kind != CronJob && w.Kind != Job {
			m.counter++
			edit := Change{Op: Template, Workload: w.Name, Key: strconv.Itoa(m.counter), Pause: m.pause()}
			list = append(list, edit)
			if m.random.IntN(2) == 0 {
				slices.Reverse(list)
			}
		}
	}
	return list[:min(atMost, len(list))]
}

func (m *builder) change(s Source) Change {
	m.counter++
	value, content := strconv.Itoa(m.counter), maps.Clone(m.content[s])
	c := Change{Op: Edit, Source: s, Key: m.plan.key(s), Pause: m.pause()}
	var extra []string
	for key := range content {
		if key != c.Key {
			extra = append(extra, key)
		}
	}
	slices.Sort(extra)
	switch n := m.random.IntN(10); {
	case n < 2:
		c.Op, c.Key = Add, "extra_"+value
	case n == 2 && len(extra) > 0:
		c.Op, c.Key = Remove, extra[0]
	case n == 3:
		c.Op = Replace
	}
	content[c.Key] = value
	if c.Op == Remove {
		delete(content, c.Key)
	}
	c.Content = content
	m.content[s] = content
	return c
}

// edit makes an edit of a change that was made last.
func (m *builder) edit(c Change) Change {
	content := maps.Clone(c.Content)
	c.Op, c.Key = Edit, m.plan.key(c.Source)
	content[c.Key] = strconv.Itoa(m.counter)
	c.Content, m.content[c.Source] = content, content
	return c
}

func (m *builder) pause() time.Duration { return time.Duration(m.random.IntN(250)) * time.Millisecond }

// sharedIsFree reports whether none of the workloads that share a source were changed a moment ago, or too often.
func (m *builder) sharedIsFree(at time.Duration) bool {
	return !slices.ContainsFunc(m.plan.Workloads, func(w Workload) bool {
		return w.Shared && !m.free(w, at)
	})
}

// concerned are the workloads that a burst was about, whether their pods see something of it or not.
func (m *builder) concerned(w Workload, b Burst) []string {
	names := map[string]bool{w.Name: true}
	for _, c := range b.Changes {
		for _, user := range m.plan.Users(c) {
			names[user.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
