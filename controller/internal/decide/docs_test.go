package decide_test

import (
	"os"
	"strings"
	"testing"

	"inpod.dev/inpod/controller/internal/decide"
)

func TestEveryReasonIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range decide.Reasons() {
		if !strings.Contains(string(page), "`"+string(reason)+"`") {
			t.Errorf("docs/decisions.md does not say when the reason %q is given", reason)
		}
	}
}
