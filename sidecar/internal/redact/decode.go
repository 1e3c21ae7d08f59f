package redact

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape takes off one layer of what Go, JSON, C, shells, URLs and HTML put around characters.
func unescape(src reading) (out reading, changed bool) {
	if !bytes.ContainsAny(src.bytes, `\%&`) {
		return src, false
	}
	out = like(&src)
	for i := 0; i < len(src.bytes); {
		rest := src.bytes[i:]
		var value []byte
		size := 0
		switch rest[0] {
		case '\\':
			value, size = backslash(rest)
		case '%':
			value, size = hexByte(rest, 1)
		case '&':
			value, size = entity(rest)
		}
		if size == 0 {
			out.put(&src, i, i+1, rest[0])
			i++
			continue
		}
		out.put(&src, i, i+size, value...)
		i += size
		changed = true
	}
	return out, changed
}

// hexByte reads two hexadecimal digits.
func hexByte(b []byte, at int) (value []byte, size int) {
	n, ok := number(b, at, 2, 16)
	if !ok {
		return nil, 0
	}
	return []byte{low(n)}, at + 2
}

// low is the lowest byte of a number.
func low(n rune) byte { return byte(n & 0xff) }

// number reads exactly so many digits.
func number(b []byte, at, digits int, base rune) (n rune, ok bool) {
	if at+digits > len(b) {
		return 0, false
	}
	for _, c := range b[at : at+digits] {
		d := digit(c)
		if d < 0 || d >= base {
			return 0, false
		}
		n = n*base + d
	}
	return n, true
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

func digits(b []byte, base rune, most int) (n rune, count int) {
	for count < min(most, len(b)) {
		d := digit(b[count])
		if d < 0 || d >= base {
			break
		}
		n = n*base + d
		count++
	}
	return n, count
}

func backslash(b []byte) (value []byte, size int) {
	if len(b) < 2 {
		return nil, 0
	}
	switch c := b[1]; {
	case c == 'x':
		if n, count := digits(b[2:], 16, 2); count > 0 {
			return []byte{low(n)}, 2 + count
		}
	case c == 'u' || c == 'U':
		return unicodeEscape(b)
	case c >= '0' && c <= '7':
		n, count := digits(b[1:], 8, 3)
		return []byte{low(n)}, 1 + count
	case strings.IndexByte("abefnrtv", c) >= 0:
		return []byte{'\n'}, 2
	case !isAlnum(c) && c < utf8.RuneSelf:
		return []byte{c}, 2
	}
	return nil, 0
}

// unicodeEscape reads \u00e9, \U000000e9, \u{e9} and pairs of surrogates.
func unicodeEscape(b []byte) (value []byte, size int) {
	const short, long = 4, 8
	if len(b) > 2 && b[2] == '{' {
		n, count := digits(b[3:], 16, 6)
		if count == 0 || 3+count >= len(b) || b[3+count] != '}' {
			return nil, 0
		}
		return utf8.AppendRune(nil, n), 4 + count
	}
	width := short
	if b[1] == 'U' {
		width = long
	}
	n, ok := number(b, 2, width, 16)
	if !ok {
		return nil, 0
	}
	size = 2 + width
	if utf16.IsSurrogate(n) && len(b) >= size+6 && b[size] == '\\' && b[size+1] == 'u' {
		if second, ok := number(b, size+2, short, 16); ok && utf16.DecodeRune(n, second) != utf8.RuneError {
			return utf8.AppendRune(nil, utf16.DecodeRune(n, second)), size + 6
		}
	}
	return utf8.AppendRune(nil, n), size
}

// entity reads what HTML and XML have for characters with a meaning of their own.
func entity(b []byte) (value []byte, size int) {
	if len(b) > 2 && b[1] == '#' {
		at, base := 2, rune(10)
		if b[2] == 'x' || b[2] == 'X' {
			at, base = 3, 16
		}
		n, count := digits(b[at:], base, 7)
		if count == 0 {
			return nil, 0
		}
		size = at + count
		if size < len(b) && b[size] == ';' {
			size++
		}
		return utf8.AppendRune(nil, n), size
	}
	const longest = 8
	head := strings.ToLower(string(b[:min(longest, len(b))]))
	name, _, closed := strings.Cut(head, ";")
	if !closed {
		return nil, 0
	}
	for _, known := range [][2]string{
		{"&amp", "&"},
		{"&lt", "<"},
		{"&gt", ">"},
		{"&quot", `"`},
		{"&apos", "'"},
		{"&nbsp", " "},
		{"&hellip", "…"},
		{"&sol", "/"},
		{"&plus", "+"},
		{"&equals", "="},
	} {
		if name == known[0] {
			return []byte(known[1]), len(name) + 1
		}
	}
	return nil, 0
}

// decoded gives what stands in a text as base64, hexadecimal digits or a list of numbers, in all alignments. dense is the
// level without what may be between the digits.
func decoded(level, dense reading, do func(reading)) {
	for skip := range 4 {
		if g := fromBase64(dense, skip); len(g.bytes) > 0 {
			do(g)
		}
	}
	for skip := range 2 {
		if g := fromHex(dense, skip); len(g.bytes) > 0 {
			do(g)
		}
	}
	if g := fromNumbers(level); len(g.bytes) > 0 {
		do(g)
	}
	if bytes.IndexByte(level.bytes, '\n') >= 0 { // which may stand within a number
		if g := fromNumbers(squeeze(level, isBreak)); len(g.bytes) > 0 {
			do(g)
		}
	}
}

// sextet is the value of a digit of base64, in either alphabet, -1 for none.
func sextet(c byte) rune {
	switch {
	case c >= 'A' && c <= 'Z':
		return rune(c - 'A')
	case c >= 'a' && c <= 'z':
		return rune(c-'a') + 26
	case c >= '0' && c <= '9':
		return rune(c-'0') + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return -1
}

// fromBase64 decodes all that may be base64, after so many digits of each run.
func fromBase64(src reading, skip int) reading {
	const least = 6
	out := like(&src)
	out.slack = 3
	for i := 0; i < len(src.bytes); i++ {
		end := i
		for end < len(src.bytes) && sextet(src.bytes[end]) >= 0 {
			end++
		}
		if end-i < least {
			i = end
			continue
		}
		bits, have := rune(0), 0
		for j := i + skip; j < end; j++ {
			bits, have = bits<<6|sextet(src.bytes[j]), have+6
			if have >= 8 {
				have -= 8
				out.put(&src, j-1, j+1, low(bits>>have))
				bits &= 1<<have - 1
			}
		}
		if end < len(src.bytes) {
			out.separate(&src, end)
		}
		i = end
	}
	return out
}

// fromHex decodes pairs of hexadecimal digits, with or without something between the pairs.
func fromHex(src reading, skip int) reading {
	const least = 8
	out := reading{slack: 3}
	var at []int
	flush := func(next int) {
		if len(at) >= least {
			for j := skip; j+1 < len(at); j += 2 {
				out.put(&src, at[j], at[j+1]+1, low(digit(src.bytes[at[j]])<<4|digit(src.bytes[at[j+1]])))
			}
			if next < len(src.bytes) {
				out.separate(&src, next)
			}
		}
		at = at[:0]
	}
	for i := 0; i < len(src.bytes); i++ {
		c := src.bytes[i]
		switch {
		case c == '0' && i+1 < len(src.bytes) && (src.bytes[i+1] == 'x' || src.bytes[i+1] == 'X'):
			i++
		case digit(c) >= 0:
			at = append(at, i)
		case strings.IndexByte(":,-", c) >= 0:
		default:
			flush(i)
		}
	}
	flush(len(src.bytes))
	return out
}

// fromNumbers decodes a list of bytes as Go, Python and others print it.
func fromNumbers(src reading) reading {
	const least = cutLen
	out := reading{slack: 3}
	var list reading
	flush := func(next int) {
		if len(list.bytes) >= least {
			out.bytes, out.from, out.to = append(out.bytes, list.bytes...), append(out.from, list.from...), append(out.to, list.to...)
			if next < len(src.bytes) {
				out.separate(&src, next)
			}
		}
		list = reading{}
	}
	for i := 0; i < len(src.bytes); {
		n, count := digits(src.bytes[i:], 10, 4)
		switch {
		case count > 0 && n < 256:
			list.put(&src, i, i+count, low(n))
		case count > 0 || strings.IndexByte(", \t\n", src.bytes[i]) < 0:
			flush(i)
			count = max(count, 1)
		default:
			count = 1
		}
		i += count
	}
	flush(len(src.bytes))
	return out
}

func isEncoded(c byte) bool { return sextet(c) >= 0 || c == '=' }
