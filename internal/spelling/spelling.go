// Package spelling finds what somebody meant to write. It is pure.
package spelling

// Distance is the least number of letters to insert, delete or replace that makes one text of the other (Levenshtein).
//
// Texts that are longer than any key of Kubernetes are as far apart as they are long.
func Distance(a, b string) int {
	const longest = 317 // a prefix of 253, a slash and a name of 63
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		current := make([]int, len(b)+1)
		current[0] = i + 1
		for j := range len(b) {
			replace := previous[j]
			if a[i] != b[j] {
				replace++
			}
			current[j+1] = min(replace, previous[j+1]+1, current[j]+1)
		}
		previous = current
	}
	return previous[len(b)]
}

// Near reports whether a text of that distance may be a misspelling of a name: a third of its letters may be wrong, and more
// than that is a guess.
func Near(distance int, name string) bool { return distance <= max(1, len(name)/3) }
