package redact

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// reading is one way to read a text: bytes, and for each of them where it comes from.
type reading struct {
	bytes []byte
	// from and to are positions in the text; nil where they are not needed.
	from, to []int32
	// slack is how much may be missing before a cut, since it makes no whole byte.
	slack int
	// wide says that a hit is a part of an encoded value, the rest of which is hidden, too.
	wide bool
}

func located(text string) reading {
	g := reading{bytes: []byte(text), from: make([]int32, len(text)), to: make([]int32, len(text))}
	for i := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		for j := range size {
			// No half of a character is hidden. A text has a few thousand bytes.
			g.from[i+j], g.to[i+j] = int32(i), int32(i+size) //nolint:gosec // see above
		}
	}
	return g
}

// like is an empty reading with room for as much as another has.
func like(src *reading) reading {
	g := reading{bytes: make([]byte, 0, len(src.bytes)), slack: src.slack, wide: src.wide}
	if src.from != nil {
		g.from, g.to = make([]int32, 0, len(src.bytes)), make([]int32, 0, len(src.bytes))
	}
	return g
}

// put appends bytes that come from the bytes of another reading.
func (g *reading) put(src *reading, from, to int, bytes ...byte) {
	g.bytes = append(g.bytes, bytes...)
	if src.from == nil {
		return
	}
	for range bytes {
		g.from, g.to = append(g.from, src.from[from]), append(g.to, src.to[to-1])
	}
}

func (g *reading) putRune(src *reading, from, to int, c rune) {
	var buffer [utf8.UTFMax]byte
	g.put(src, from, to, buffer[:utf8.EncodeRune(buffer[:], c)]...)
}

// separate keeps what follows apart from what was before.
func (g *reading) separate(src *reading, at int) {
	if n := len(g.bytes); n > 0 && g.bytes[n-1] != separator {
		g.put(src, at, at+1, separator)
	}
}

const separator = 1

// eachLevel gives the text as it stands, and with one layer of escapes after the other taken off.
func eachLevel(whole reading, do func(reading)) {
	const layers = 4
	for range layers {
		do(whole)
		next, changed := unescape(whole)
		if !changed {
			return
		}
		whole = next
	}
	do(whole)
}

// eachReading gives all readings of a text, in lower case.
func eachReading(whole reading, do func(reading)) {
	eachLevel(whole, func(level reading) { readLevel(level, do) })
}

// eachWrapped gives what is read where lines were broken within escapes.
func eachWrapped(whole reading, do func(reading)) {
	if bytes.IndexFunc(whole.bytes, isSpace) < 0 {
		return
	}
	joined, changed := unescape(squeeze(whole, isSpace))
	if changed {
		eachReading(joined, do)
	}
}

func readLevel(level reading, do func(reading)) {
	readPlain(level, do)
	decoded(level, squeeze(level, isNothing), func(g reading) {
		g.wide = true
		if g.from == nil { // a secret, which is encoded as a whole only
			readPlain(g, do)
			return
		}
		eachLevel(g, func(level reading) { readPlain(level, do) })
	})
}

// readPlain gives the readings that need no decoding.
func readPlain(level reading, do func(reading)) {
	dense := squeeze(level, isNothing)
	lower := fold(dense)
	do(lower)
	if plain, differs := plainASCII(lower); differs && !level.wide {
		do(plain)
	}
	if narrow, differs := latin1(level); differs && !level.wide {
		do(fold(squeeze(narrow, isNothing)))
	}
	if bytes.IndexByte(dense.bytes, '+') >= 0 && !level.wide { // a space in a form
		form := level
		form.bytes = bytes.ReplaceAll(level.bytes, []byte("+"), []byte(" "))
		do(fold(squeeze(form, isNothing)))
		spaced, _ := oneSpace(form)
		do(fold(spaced))
	}
	if bytes.ContainsAny(level.bytes, quotes) { // a value may consist of them
		do(fold(squeeze(level, isSpace)))
	}
	if spaced, some := oneSpace(level); some {
		do(fold(spaced))
	}
	if bytes.IndexByte(level.bytes, '\n') >= 0 && level.from != nil { // lines were broken within words
		spaced, _ := oneSpace(squeeze(level, isBreak))
		do(fold(spaced))
	}
}

func isBreak(c rune) bool { return c == '\n' || c == '\r' }

const quotes = "\"'`\\"

// folded is the first reading.
func folded(text string) []byte {
	return fold(squeeze(reading{bytes: []byte(text)}, isNothing)).bytes
}

// isNothing says of a character that it comes and goes when a value is quoted, wrapped or joined.
func isNothing(c rune) bool {
	switch c {
	case '"', '\'', '`', '\\', '‘', '’', '“', '”', '«', '»':
		return true
	}
	return isSpace(c)
}

func isSpace(c rune) bool {
	return c != separator && (c <= ' ' || c == 0x7f) || c > 0x7f && (unicode.IsSpace(c) || unicode.IsControl(c) || unicode.Is(unicode.Cf, c))
}

func squeeze(src reading, nothing func(rune) bool) reading {
	out := like(&src)
	for i := 0; i < len(src.bytes); {
		if c := src.bytes[i]; isAlnum(c) {
			out.put(&src, i, i+1, c)
			i++
			continue
		}
		c, size := utf8.DecodeRune(src.bytes[i:])
		if c == utf8.RuneError && size == 1 || !nothing(c) {
			out.put(&src, i, i+size, src.bytes[i:i+size]...)
		}
		i += size
	}
	return out
}

// oneSpace makes all space between words the same. some is false where there is none.
func oneSpace(src reading) (out reading, some bool) {
	out = like(&src)
	for i := 0; i < len(src.bytes); {
		c, size := utf8.DecodeRune(src.bytes[i:])
		n := len(out.bytes)
		switch {
		case c == utf8.RuneError || !isSpace(c):
			out.put(&src, i, i+size, src.bytes[i:i+size]...)
		case n == 0 || out.bytes[n-1] != ' ':
			out.put(&src, i, i+size, ' ')
			some = true
		}
		i += size
	}
	return out, some
}

// fold makes upper and lower case the same.
func fold(src reading) reading {
	out := like(&src)
	for i := 0; i < len(src.bytes); {
		if c := src.bytes[i]; c < utf8.RuneSelf {
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			out.put(&src, i, i+1, c)
			i++
			continue
		}
		c, size := utf8.DecodeRune(src.bytes[i:])
		if c == utf8.RuneError {
			out.put(&src, i, i+size, src.bytes[i:i+size]...)
		} else {
			out.putRune(&src, i, i+size, unicode.ToLower(unicode.ToUpper(c)))
		}
		i += size
	}
	return out
}

// plainASCII is a text of unknown encoding, with question marks for all other bytes.
func plainASCII(src reading) (out reading, differs bool) {
	out = like(&src)
	for i, c := range src.bytes {
		if c != '?' && c < utf8.RuneSelf {
			out.put(&src, i, i+1, c)
			continue
		}
		differs = true
		if n := len(out.bytes); n == 0 || out.bytes[n-1] != '?' {
			out.put(&src, i, i+1, '?')
		} else if out.to != nil {
			out.to[n-1] = src.to[i]
		}
	}
	return out, differs
}

// latin1 is a text whose bytes were read as characters.
func latin1(src reading) (out reading, differs bool) {
	const most = 0xff
	out = like(&src)
	for i := 0; i < len(src.bytes); {
		c, size := utf8.DecodeRune(src.bytes[i:])
		if c >= utf8.RuneSelf && c <= most {
			out.put(&src, i, i+size, byte(c))
			differs = true
		} else {
			out.put(&src, i, i+size, src.bytes[i:i+size]...)
		}
		i += size
	}
	return out, differs
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
