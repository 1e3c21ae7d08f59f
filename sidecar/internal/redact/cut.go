package redact

import (
	"strings"
	"unicode/utf8"
)

// markerAt is the length of what stands for something left out at a position, 0 for nothing: dots, asterisks, or words
// such as "[truncated" and "(12 more".
func markerAt(text string, at int) int {
	if n := dotsAt(text, at); n > 0 || at == len(text) || strings.IndexByte("[(<{ ", text[at]) < 0 {
		return n
	}
	const longest = 16
	rest := text[at:min(at+longest, len(text))]
	head := strings.TrimLeft(rest, "[(<{-+ 0123456789")
	for _, word := range []string{"truncat", "snip", "more", "cut", "omitted", "bytes"} {
		if len(head) >= len(word) && strings.EqualFold(head[:len(word)], word) {
			return len(rest) - len(head) + len(word)
		}
	}
	return 0
}

func dotsAt(text string, at int) int {
	rest := text[at:]
	switch {
	case strings.HasPrefix(rest, Cut), strings.HasPrefix(rest, dots):
		return len(Cut)
	case strings.HasPrefix(rest, "..") || strings.HasPrefix(rest, "**"):
		return len(rest) - len(strings.TrimLeft(rest, rest[:1]))
	}
	return 0
}

// dots are another character that has the shape of Cut, and is as long.
const dots = "⋯"

// markerBefore is the length of dots or asterisks that end at a position, 0 for none.
func markerBefore(text string, at int) int {
	before := text[:at]
	if strings.HasSuffix(before, Cut) || strings.HasSuffix(before, dots) {
		return len(Cut)
	}
	if before == "" || before[at-1] != '.' && before[at-1] != '*' {
		return 0
	}
	if n := at - len(strings.TrimRight(before, before[at-1:])); n > 1 {
		return n
	}
	return 0
}

// findCuts notes where something was left out of the text, which is where a value may begin or end that is shown in
// part.
func (r *Redactor) findCuts(level reading) {
	text := string(level.bytes)
	for i := 0; i < len(text); {
		n := markerAt(text, i)
		if n == 0 {
			i++
			continue
		}
		r.cutBetween(int(level.from[i]), int(level.to[i+n-1]))
		for part := 1; part < n; part++ { // its first characters, or its last, may belong to the value
			r.ends[level.from[i+part]], r.starts[level.to[i+part-1]] = true, true
		}
		i += n
	}
}

// cutBetween takes up that something is left out between two positions. Quotes, brackets, spaces and a part of an escape
// may stand before and after it.
func (r *Redactor) cutBetween(from, to int) {
	r.ends[from], r.starts[to] = true, true
	for at := from; at > 0; {
		c, size := utf8.DecodeLastRuneInString(r.text[:at])
		if !isNothing(c) && !strings.ContainsRune("[(<{", c) {
			break
		}
		at -= size
		r.ends[at] = true
	}
	for at := to; at < len(r.text); {
		c, size := utf8.DecodeRuneInString(r.text[at:])
		if !isNothing(c) && !strings.ContainsRune("])>}", c) {
			break
		}
		at += size
		r.starts[at] = true
	}
	const longest = 10
	for at := from - 1; at >= max(0, from-longest); at-- {
		if c := r.text[at]; strings.IndexByte(`\%&`, c) >= 0 {
			r.ends[at] = true
			return
		} else if !isAlnum(c) && strings.IndexByte("#{;", c) < 0 {
			return
		}
	}
}
