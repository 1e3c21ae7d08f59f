package admission

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Whatever is put in: no more than the limit is remembered, and who has no more than its even part keeps the newest of it.
func TestRowsAreSharedEvenly(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		const limit = 60
		r := newRows[string, int](limit)
		var quiet []string // of a caller with few rows in each of two namespaces
		for i := range 500 {
			loud := share{fmt.Sprint("loud", random.IntN(3)), fmt.Sprint("n", random.IntN(40))}
			r.put(loud, fmt.Sprint("row", random.IntN(5000)), i, 1+random.IntN(3))
			if i%50 == 0 {
				key := fmt.Sprint("quiet", i)
				r.put(share{"quiet", fmt.Sprint("n", i%100)}, key, i, 1)
				quiet = append(quiet, key)
			}
			size := 0
			for key, at := range r.at {
				if found := rowOf[string, int](at); found.key != key {
					t.Fatalf("%s is under %s", found.key, key)
				}
				size += rowOf[string, int](at).size
			}
			if size != r.size || size > limit {
				t.Fatalf("%d are remembered, counted %d, of at most %d", size, r.size, limit)
			}
		}
		for _, key := range quiet {
			if _, ok := r.get(key); !ok {
				t.Fatalf("%s was pushed out by others", key)
			}
		}
		for key := range r.at {
			r.remove(key)
		}
		if r.size != 0 || len(r.callers) != 0 {
			t.Fatalf("%d are left, of %v", r.size, r.callers)
		}
	}
}

func TestTheRowThatWasUsedLongestAgoGoes(t *testing.T) {
	t.Parallel()
	r := newRows[string, int](3)
	of := share{"a", "n"}
	for i, key := range []string{"1", "2", "3"} {
		r.put(of, key, i, 1)
	}
	r.get("1")
	r.put(of, "4", 4, 1)
	r.put(of, "huge", 5, 4)
	for key, want := range map[string]bool{"1": true, "2": false, "3": true, "4": true, "huge": false} {
		if _, got := r.get(key); got != want {
			t.Errorf("%s is remembered: %v", key, got)
		}
	}
	r.put(share{"b", "n"}, "5", 5, 1)
	r.put(share{"b", "m"}, "6", 6, 1)
	r.put(share{"b", "m"}, "7", 7, 1) // both namespaces have as many: its own gives up one
	for key, want := range map[string]bool{"5": true, "6": false, "7": true} {
		if _, got := r.get(key); got != want {
			t.Errorf("%s of the other caller is remembered: %v", key, got)
		}
	}
}
