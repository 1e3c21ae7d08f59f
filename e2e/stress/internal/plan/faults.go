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
	Undo           What = "a rollout is undone"
	Copy           What = "a workload is copied with its baseline"
	KeyReplaced    What = "the digest key is replaced"
	SlowAdmission  What = "admission is slow for one workload"
)

// Names are the short names of the faults that can be left out.
func Names() map[string]What {
	return map[string]What{"undo": Undo, "copy": Copy, "key": KeyReplaced, "slow": SlowAdmission}
}

// Fault is something that breaks, and for how long if not for a moment.
type Fault struct {
	What    What
	At, For time.Duration
	// Workload is the one that it is about; "" for none.
	Workload string
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

const (
	// copied is how long a copy is watched.
	copied = 15 * time.Second
	// slow is how long admission is slow.
	slow = 40 * time.Second
)

// mistakes are faults of users and of others beside the cluster: undos, copies, a new digest key and a slow admission
// webhook. They have a source of randomness of their own, so that the rest of a plan does not depend on them.
func (p Plan) mistakes(length time.Duration, without []What) []Fault {
	random := rand.New(rand.NewPCG(p.Seed, p.Seed+1))
	var all []Fault
	add := func(f Fault) {
		if f.At > Calm+Alone && f.At+f.For < length && !slices.Contains(without, f.What) {
			all = append(all, f)
		}
	}
	rollouts := 0
	for _, burst := range p.Bursts {
		for _, w := range p.Workloads {
			changes := slices.ContainsFunc(burst.Changes, func(c Change) bool { return c.Op == Edit && c.Source == w.ConfigMap() && w.Uses(c.Source, c.Key) })
			if w.Kind != Deployment || w.Form == InPlace || w.Shared || !changes {
				continue
			}
			// The rollout begins after the settle time, and takes some seconds.
			later := 2500*time.Millisecond + time.Duration(random.Int64N(int64(3*time.Second)))
			switch rollouts++; {
			case w.Runs && random.IntN(3) > 0:
				add(Fault{What: Undo, At: burst.At + later, Workload: w.Name})
			case rollouts%4 == 0:
				add(Fault{What: Copy, At: burst.At + later + 5*time.Second, For: copied, Workload: w.Name})
			}
		}
	}
	for from := time.Duration(0); from < length; from += 4 * time.Minute {
		add(Fault{What: KeyReplaced, At: from + 2*time.Minute + time.Duration(random.Int64N(int64(30*time.Second)))})
		add(Fault{What: SlowAdmission, At: from + 100*time.Second + time.Duration(random.Int64N(int64(30*time.Second))), For: slow, Workload: p.Slowed})
	}
	return all
}
