// Package redact removes the content of secrets from the text of other programs: the output of a command, the answer of
// a server, an error that quotes either.
//
//	text ─► its readings: as it stands, unescaped, from base64, … ─► an index of all runs of six bytes
//	secret, file by file ─► its readings ─► each run of six that the index has is hidden, up to the end of the word
//
// The index is of the text, which is short, and not of the secrets, which are long: nothing of a secret is kept, and it
// does not matter where, by whom and how often a value was cut, quoted or encoded before it came here. A run that is
// shorter shows less than six characters of a value, unless it is the whole of a value, or stands beside a cut.
//
// The package knows no file, no process and no network.
package redact

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redacted stands in the place of what was taken out.
const Redacted = "[redacted]"

// Cut ends a text whose rest is missing. What stands before it may be a part of a value.
const Cut = "…"

const (
	// runLen is the length of the runs that are never shown, cutLen that beside a cut, in bytes.
	runLen = 6
	cutLen = 4
	// minValue is the length of a value that is hidden wherever it stands; a shorter one only where it stands alone.
	minValue = 4
)

// Legible is what stays although a secret has it, too.
type Legible struct {
	// Paths are absolute paths of files, which say where a mistake is.
	Paths []string
	// Names are single words, such as names of files and programs. One that is the whole of a value is hidden.
	Names []string
}

// Redactor is one text and what has been found of secrets in it. It belongs to one goroutine.
type Redactor struct {
	text   string
	hidden []bool
	// ends and starts say of each position whether a cut follows or precedes it.
	ends, starts []bool
	readings     []reading
	runs         []run
	done         []seen // by index of runs: the first of those that are equal stands for all
	beside       []run  // runs of cutLen at a cut
	filter       []uint64
	short        map[string]bool // values of less than minValue
	names        map[string]bool // legible words; false for one that is the whole of a value
	legible      Legible
}

// run is where a reading has a run of bytes.
type run struct {
	key     uint64
	at      int32
	reading int32
}

// seen says which readings of secrets had a run: the plain ones, and those that are decoded.
type seen uint8

const (
	seenPlain seen = 1 << iota
	seenDecoded
)

// New returns a redactor for a text, from which nothing is hidden yet.
func New(text string, legible Legible) *Redactor {
	r := &Redactor{
		text: text, hidden: make([]bool, len(text)), legible: legible,
		ends: make([]bool, len(text)+1), starts: make([]bool, len(text)+1),
		filter: make([]uint64, filterWords), short: map[string]bool{}, names: map[string]bool{},
	}
	for word := range strings.FieldsSeq(commonWords) {
		r.names[word] = true
	}
	for _, name := range legible.Names {
		r.names[strings.ToLower(name)] = true
	}
	r.ends[len(text)] = true
	whole := located(text)
	eachLevel(whole, r.findCuts)
	take := func(g reading) { r.readings = append(r.readings, g) }
	eachReading(whole, take)
	eachWrapped(whole, take)
	r.index()
	return r
}

// key packs up to runLen bytes; missing ones are zero, which no reading holds.
func key(b []byte) (k uint64) {
	for i := range runLen {
		k <<= 8
		if i < len(b) {
			k |= uint64(b[i])
		}
	}
	return k
}

func key4(b []byte) uint64 {
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

// The filter says quickly of most runs that the text does not have them.
const (
	filterBits  = 1 << 18
	filterWords = filterBits / 64
)

func slot(k uint64) (word, bit uint64) {
	const odd = 0x9e3779b97f4a7c15
	h := (k * odd) >> (64 - 18)
	return h / 64, h % 64
}

func (r *Redactor) index() {
	for n, g := range r.readings {
		for i := range g.bytes {
			k := key(g.bytes[i:])
			r.runs = append(r.runs, run{k, int32(i), int32(n)})
			word, bit := slot(k)
			r.filter[word] |= 1 << bit
			if i+cutLen <= len(g.bytes) && (r.cutAfter(g, i+cutLen-1) || r.starts[g.from[i]]) {
				r.beside = append(r.beside, run{key4(g.bytes[i:]), int32(i), int32(n)})
			}
		}
	}
	byKey := func(a, b run) int {
		switch {
		case a.key < b.key:
			return -1
		case a.key > b.key:
			return 1
		}
		return 0
	}
	slices.SortFunc(r.runs, byKey)
	slices.SortFunc(r.beside, byKey)
	r.done = make([]seen, len(r.runs))
}

func (r *Redactor) cutAfter(g reading, i int) bool {
	end := int(g.to[i])
	for o := end; o <= min(end+g.slack, len(r.text)); o++ {
		if r.ends[o] {
			return true
		}
	}
	return false
}

// Hide hides all of the text that stands in a secret too.
func (r *Redactor) Hide(secret string) {
	secret = withoutFrames(secret)
	r.hideValues(secret)
	for part := range parts(secret) {
		eachReading(reading{bytes: []byte(part)}, r.hideReading)
	}
}

// withoutFrames leaves out the lines that begin and end PEM, which are the same everywhere.
func withoutFrames(secret string) string {
	if !strings.Contains(secret, "-----") {
		return secret
	}
	var kept strings.Builder
	for line := range strings.Lines(secret) {
		if isFrame(strings.TrimSpace(line)) {
			line = "\n"
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// isFrame recognizes "-----BEGIN PRIVATE KEY-----" and the like.
func isFrame(line string) bool {
	const dashes = "-----"
	kind, begins := strings.CutPrefix(line, dashes+"BEGIN ")
	if !begins {
		var ends bool
		if kind, ends = strings.CutPrefix(line, dashes+"END "); !ends {
			return false
		}
	}
	kind, closed := strings.CutSuffix(kind, dashes)
	if !closed {
		return false
	}
	for word := range strings.SplitSeq(kind, " ") {
		if !strings.Contains(frameWords, " "+word+" ") {
			return false
		}
	}
	return true
}

const frameWords = " BLOCK CERTIFICATE CRL DH DSA EC ENCRYPTED KEY MESSAGE NEW OPENSSH PARAMETERS PGP PKCS7 PRIVATE PUBLIC REQUEST RSA SSH2 TRUSTED X509 "

// parts divides a long secret, with overlaps so that each run is in one of them as a whole, in whatever encoding.
func parts(secret string) func(yield func(string) bool) {
	const size, overlap = 32 << 10, 1 << 10
	return func(yield func(string) bool) {
		for from := 0; ; from += size {
			end := min(from+size+overlap, len(secret))
			if !yield(secret[from:end]) || end == len(secret) {
				return
			}
		}
	}
}

func (r *Redactor) hideReading(g reading) {
	for i := 0; i+cutLen <= len(g.bytes); i++ {
		if len(r.beside) > 0 {
			r.hideBeside(g.bytes[i:i+cutLen], g.wide)
		}
		if i+runLen <= len(g.bytes) {
			r.hideRun(g.bytes[i:i+runLen], g.wide)
		}
	}
}

// hideRun hides a run of a secret. What is decoded there is compared with what stands in the text as it is: decoding both
// finds nothing more.
func (r *Redactor) hideRun(b []byte, decoded bool) {
	k := key(b)
	if word, bit := slot(k); r.filter[word]&(1<<bit) == 0 {
		return
	}
	at, found := first(r.runs, k)
	by := seenPlain
	if decoded {
		by = seenDecoded
	}
	if !found || r.done[at]&(by|seenPlain) != 0 || trivial(b) {
		return
	}
	r.done[at] |= by
	for ; at < len(r.runs) && r.runs[at].key == k; at++ {
		r.hide(r.runs[at], runLen, decoded)
	}
}

func (r *Redactor) hideBeside(b []byte, decoded bool) {
	k := key4(b)
	at, found := first(r.beside, k)
	if !found || trivial(b) {
		return
	}
	for ; at < len(r.beside) && r.beside[at].key == k; at++ {
		r.hide(r.beside[at], cutLen, decoded)
	}
}

func first(runs []run, k uint64) (at int, found bool) {
	return slices.BinarySearchFunc(runs, k, func(a run, k uint64) int {
		switch {
		case a.key < k:
			return -1
		case a.key > k:
			return 1
		}
		return 0
	})
}

// trivial reports whether a run says nothing: it is the same character again and again, as in a line of dashes, or little
// but spaces and quotes, or holds what separates two things that do not belong together.
func trivial(b []byte) bool {
	same, telltale := true, 0
	for _, c := range b {
		switch {
		case c < ' ':
			return true
		case strings.IndexByte(" \"'`\\", c) < 0:
			telltale++
		}
		same = same && c == b[0]
	}
	return telltale < cutLen || same && !isAlnum(b[0])
}

func (r *Redactor) hide(at run, length int, decoded bool) {
	g := r.readings[at.reading]
	if g.wide && decoded {
		return
	}
	from, to := int(g.from[at.at]), int(g.to[int(at.at)+length-1])
	if g.wide {
		for from > 0 && isEncoded(r.text[from-1]) {
			from--
		}
		for to < len(r.text) && isEncoded(r.text[to]) {
			to++
		}
	}
	for i := from; i < to; i++ {
		r.hidden[i] = true
	}
}

// hideValues hides what is too short for runs: whole values of four or five characters, and shorter ones that stand
// alone. What may be quoted of a file is the whole of it, its lines, what lines set, and their words.
func (r *Redactor) hideValues(secret string) {
	r.value(secret, 1, true)
	separator := func(c rune) bool { return c <= ' ' || strings.ContainsRune(`"'=:;,{}()[]<>@&|?`, c) }
	for line := range strings.Lines(secret) {
		r.value(line, minValue, true)
		if i := strings.IndexAny(line, "=:"); i >= 0 {
			r.value(line[i+1:], 2, true)
		}
		for word := range strings.FieldsFuncSeq(line, separator) {
			r.value(word, minValue, false)
		}
	}
}

func (r *Redactor) value(value string, least int, whole bool) {
	value = strings.Trim(value, " \t\r\n\"'")
	bare := strings.Trim(value, " \t\r\n\"',;")
	if len(bare) < least {
		bare = value
	}
	if len(bare) < least {
		return
	}
	if whole {
		if lower := strings.ToLower(bare); r.names[lower] {
			r.names[lower] = false
		}
	}
	const longest = 8 * runLen // in the longest encoding
	plain := !strings.ContainsFunc(bare, func(c rune) bool { return c >= utf8.RuneSelf || strings.ContainsRune("\\%&\"'`", c) })
	switch {
	case len(bare) < minValue:
		r.short[strings.Clone(bare)] = true
	case plain && len(bare) < runLen:
		r.hideShort(folded(bare))
	case len(bare) <= longest && (!plain || whole):
		eachReading(reading{bytes: []byte(bare)}, func(g reading) {
			if len(g.bytes) >= minValue && len(g.bytes) < runLen && !g.wide {
				r.hideShort(g.bytes)
			}
		})
		if len(folded(bare)) < minValue {
			r.short[strings.Clone(bare)] = true
		}
	}
}

// hideShort hides a value that is shorter than a run, which is the beginning of some of them.
func (r *Redactor) hideShort(value []byte) {
	if trivial(value) {
		return
	}
	least := key(value)
	most := least | (1<<(8*(runLen-len(value))) - 1)
	at, _ := first(r.runs, least)
	for ; at < len(r.runs) && r.runs[at].key <= most; at++ {
		r.hide(r.runs[at], len(value), false)
	}
}

// String is the text without what was hidden.
func (r *Redactor) String() string {
	r.hideAlone()
	r.showPaths()
	r.showSpace()
	r.widen()
	r.showNames()
	var clean strings.Builder
	for i := range r.text {
		switch {
		case !r.hidden[i]:
			_, size := utf8.DecodeRuneInString(r.text[i:])
			clean.WriteString(r.text[i : i+size])
		case i == 0 || !r.hidden[i-1]:
			clean.WriteString(Redacted)
		}
	}
	return clean.String()
}

func (r *Redactor) hideAlone() {
	for value := range r.short {
		for from := 0; ; {
			i := strings.Index(r.text[from:], value)
			if i < 0 {
				break
			}
			begin, end := from+i, from+i+len(value)
			if alone(r.text, begin, end) {
				r.set(begin, end, true)
			}
			from = begin + 1
		}
	}
}

func (r *Redactor) set(from, to int, hidden bool) {
	for i := from; i < to; i++ {
		r.hidden[i] = hidden
	}
}

// alone reports whether a part of text is no part of a longer word.
func alone(text string, begin, end int) bool {
	partOfWord := func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }
	before, _ := utf8.DecodeLastRuneInString(text[:begin])
	after, _ := utf8.DecodeRuneInString(text[end:])
	return !partOfWord(before) && !partOfWord(after)
}

// showPaths shows the paths of files, where they stand as such.
func (r *Redactor) showPaths() {
	for _, path := range r.legible.Paths {
		if len(path) < 2 || path[0] != '/' {
			continue
		}
		for from := 0; ; {
			i := strings.Index(r.text[from:], path)
			if i < 0 {
				break
			}
			begin, end := from+i, from+i+len(path)
			if (begin == 0 || !inPath(r.text[begin-1])) && (end == len(r.text) || !inPath(r.text[end]) || r.text[end] == '/') {
				r.set(begin, end, false)
			}
			from = begin + 1
		}
	}
}

func inPath(c byte) bool {
	return isAlnum(c) || c >= utf8.RuneSelf || strings.IndexByte("._-/+%=\\&", c) >= 0
}

// widen hides the rest of each word that is partly hidden, beyond a cut as well, and an escape that was cut.
func (r *Redactor) widen() {
	for i := 0; i < len(r.text); i++ {
		if !r.hidden[i] {
			continue
		}
		from, to := i, i
		for to < len(r.text) && r.hidden[to] {
			to++
		}
		to = r.widenRight(to)
		r.set(r.widenLeft(from), to, true)
		i = to
	}
}

func (r *Redactor) widenRight(to int) int {
	for {
		c, size := utf8.DecodeRuneInString(r.text[to:])
		switch {
		case size == 0:
			return to
		case isWord(c):
			to += size
		case dotsAt(r.text, to) > 0:
			end := to + dotsAt(r.text, to)
			if next, _ := utf8.DecodeRuneInString(r.text[end:]); !isWord(next) {
				return to
			}
			to = end
		case strings.ContainsRune(`\%&`, c):
			end := r.cutEscape(to)
			if end == to {
				return to
			}
			to = end
		default:
			return to
		}
	}
}

// cutEscape is where an escape that begins at a position was cut, the position itself if it was not.
func (r *Redactor) cutEscape(at int) int {
	const longest = 10
	for end := at + 1; end <= min(at+longest, len(r.text)); end++ {
		if r.ends[end] {
			return end
		}
		if end < len(r.text) && !isAlnum(r.text[end]) && r.text[end] != '#' && r.text[end] != '{' {
			return at
		}
	}
	return at
}

func (r *Redactor) widenLeft(from int) int {
	for {
		c, size := utf8.DecodeLastRuneInString(r.text[:from])
		if size == 0 {
			return from
		}
		if isWord(c) {
			from -= size
			continue
		}
		before := markerBefore(r.text, from)
		if before == 0 {
			return from
		}
		if next, _ := utf8.DecodeLastRuneInString(r.text[:from-before]); !isWord(next) {
			return from
		}
		from -= before
	}
}

func isWord(c rune) bool {
	return unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.IsMark(c) || c == '_' || c == '-'
}

// showNames shows a common word, or the name of a file, that is all there is to a place: it reveals nothing.
func (r *Redactor) showNames() {
	for i := 0; i < len(r.text); i++ {
		if !r.hidden[i] {
			continue
		}
		to := i
		for to < len(r.text) && r.hidden[to] {
			to++
		}
		if r.revealsNothing(r.text[i:to]) {
			r.set(i, to, false)
		}
		i = to
	}
}

// revealsNothing reports whether a text is a legible word, perhaps with small words of grammar beside it.
func (r *Redactor) revealsNothing(text string) bool {
	const around, most = ":;,=.\"'`", 4
	words, names := 0, 0
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		word = strings.Trim(word, around)
		switch {
		case word == "":
			continue
		case r.names[word]:
			names++
		case !strings.Contains(smallWords, " "+word+" "):
			return false
		}
		words++
	}
	return words > 0 && words <= most && names <= 1
}

// showSpace shows the space before and after what is hidden.
func (r *Redactor) showSpace() {
	for i, c := range []byte(r.text) {
		if c <= ' ' && (i == 0 || !r.hidden[i-1]) {
			r.hidden[i] = false
		}
	}
	for i := len(r.text) - 1; i >= 0; i-- {
		if r.text[i] <= ' ' && (i == len(r.text)-1 || !r.hidden[i+1]) {
			r.hidden[i] = false
		}
	}
}
