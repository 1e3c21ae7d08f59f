// Package spelling finds the known word that a misspelled one is closest to. It is pure.
package spelling

// Distance is the least number of letters to insert, delete or replace that makes one text of the other (Levenshtein).
//
// Texts that are longer than any key of Kubernetes are as far apart as they are long.
func Distance(a, b string) int {
	const longest = 317 // a prefix of 253, a slash and a name of 63
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	var rows [2][longest + 1]int
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := range len(a) {
		previous, current := &rows[i%2], &rows[(i+1)%2]
		current[0] = i + 1
		for j := range len(b) {
			replace := previous[j]
			if a[i] != b[j] {
				replace++
			}
			current[j+1] = min(replace, previous[j+1]+1, current[j]+1)
		}
	}
	return rows[len(a)%2][len(b)]
}

// Within reports whether two texts are at most so far apart, and does not compare texts whose lengths show that they
// are not.
func Within(a, b string, most int) bool {
	return max(len(a), len(b))-min(len(a), len(b)) <= most && Distance(a, b) <= most
}

// Near reports whether a text of that distance may be a misspelling of a name: a third of its letters may be wrong, and more
// than that is a guess.
func Near(distance int, name string) bool { return distance <= max(1, len(name)/3) }
