package docs_test

import (
	"strings"
	"testing"
)

// A row with more cells than its table has columns loses the last ones where Markdown is shown: a | in a cell needs a \ before it,
// in code too.
func TestRowsHaveTheColumnsOfTheirTable(t *testing.T) {
	t.Parallel()
	for path, page := range pages(t) {
		columns := 0
		for line := range strings.Lines(page) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "|") {
				columns = 0
				continue
			}
			bars := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			if columns == 0 {
				columns = bars
			}
			if bars != columns {
				t.Errorf("%s: %d cells in a table of %d columns: %s", path, bars-1, columns-1, line)
			}
		}
	}
}
