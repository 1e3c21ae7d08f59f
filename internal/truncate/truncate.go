// Package truncate shortens texts of other programs and of users, so that they fit into events and log lines.
package truncate

import "strings"

// Text returns a text of more than most bytes with an ellipsis in place of the rest, without splitting a character. A
// shorter one is returned as it is.
func Text(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
