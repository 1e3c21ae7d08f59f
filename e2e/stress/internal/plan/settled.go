package plan

import "time"

// Applied is a change as it was made. The API server took it some time between the two.
type Applied struct{ Begin, End time.Time }

// Settled counts the settled changes of one workload, given its changes in order: those that may have been less than a
// settle time apart are one. Where it is not certain, because the API server did not answer for a while, they are two.
func Settled(changes []Applied, settle time.Duration) int {
	count := 0
	for i, c := range changes {
		if i == 0 || c.End.Sub(changes[i-1].Begin) >= settle {
			count++
		}
	}
	return count
}
