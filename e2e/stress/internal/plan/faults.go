package plan

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// What is a sort of fault.
type What string

// The faults.
const (
	DeleteLeader   What = "the leader's pod is deleted by force"
	DeleteFollower What = "a follower's pod is deleted by force"
	KillLeader     What = "the leader's process is killed"
	KillFollower   What = "a follower's process is killed"
	RestartAPI     What = "the API server is killed and started"
	Refusal        What = "admission refuses one workload"
)

// Fault is something that breaks, and for how long if not for a moment.
type Fault struct {
	What    What
	At, For time.Duration
}

// Calm is the time at the start in which nothing breaks. What changes then is taken up in the usual time, which the other
// times are compared with. After it comes a refusal with nothing else.
const (
	Calm  = 30 * time.Second
	Alone = 35 * time.Second
)

// faults are the kills of the controller, all the time, and every two and a half minutes a refusal and two restarts of the API
// server, the first of them during the refusal.
func faults(random *rand.Rand, length time.Duration) []Fault {
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(random.Int64N(int64(to-from))) }
	all := []Fault{{What: Refusal, At: Calm, For: Alone}}
	const round = 150 * time.Second
	for from := 95 * time.Second; from+95*time.Second <= length; from += round {
		all = append(all,
			Fault{What: Refusal, At: from + between(0, 15*time.Second), For: between(50*time.Second, 60*time.Second)},
			Fault{What: RestartAPI, At: from + between(20*time.Second, 35*time.Second)},
			Fault{What: RestartAPI, At: from + between(80*time.Second, 95*time.Second)})
	}
	ways := []What{DeleteLeader, DeleteFollower, KillLeader, KillFollower}
	for at := Calm + Alone + 3*time.Second; at < length; at += between(5*time.Second, 10*time.Second) {
		all = append(all, Fault{What: ways[random.IntN(len(ways))], At: at})
	}
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
	return all
}
