package admission

import (
	"fmt"
	"testing"
	"time"
)

// What one caller asks takes nothing from another, nor what it asks for one namespace from what it asks for another.
func TestQuestionsAreShared(t *testing.T) {
	t.Parallel()
	each := allowance{100, 200}
	now := time.Now()
	count := func(q *questions, of share, tries int) (allowed int) {
		for range tries {
			if q.allow(of, now) {
				allowed++
			}
		}
		return allowed
	}
	q := newQuestions(each)
	if got := count(q, share{"a", "n"}, 1000); got != 40 {
		t.Errorf("%d for one namespace, want 40", got)
	}
	if got := count(q, share{"a", "m"}, 20); got != 20 {
		t.Errorf("%d of 20 for another one", got)
	}
	if got := count(q, share{"b", ""}, 1000); got != 200 {
		t.Errorf("%d of another caller, want 200", got)
	}
	for i := range 10 {
		count(q, share{fmt.Sprint("greedy", i), ""}, 1000)
	}
	if got := count(q, share{"modest", ""}, 10); got != 10 {
		t.Errorf("%d of 10 of a caller that asks little, while ten ask all they can", got)
	}
	now = now.Add(time.Hour)
	sum := 0
	for i := range 1000 {
		sum += count(q, share{fmt.Sprint("caller", i), "n"}, 100)
	}
	if sum > 800 {
		t.Errorf("%d of all in a moment, want 800 at most", sum)
	}
}
