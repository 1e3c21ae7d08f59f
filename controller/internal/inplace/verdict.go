package inplace

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"inpod.dev/inpod/internal/sidecarapi"
)

// podState is how one pod stands to the content that it is to have.
type podState string

// The standings.
const (
	waiting   podState = "waiting"   // its kubelet has not brought the content, or the sidecar has not finished
	confirmed podState = "confirmed" // its application has the content
	rejected  podState = "rejected"  // its application does not accept the content
	outdated  podState = "outdated"  // its application never re-reads what changed: it needs a restart
	closed    podState = "closed"    // its sidecar cannot be reached
	unclear   podState = "unclear"   // what its sidecar says is not understood
	failing   podState = "failing"   // its application could not be reloaded, or died
	uncovered podState = "uncovered" // a container has the content that the sidecar does not look after
	lost      podState = "lost"      // its node is not heard of: no failure, and nobody waits for it
)

// evaluateReply says how a pod stands, from the reply of its sidecar to a question that was asked now. age is how long
// ago the content came to be wanted, started when the pod's application started, zero if unknown. refreshed reports
// that the kubelet has brought the content.
func evaluateReply(reply sidecarapi.Response, want expectation, age time.Duration, started time.Time) (s podState, refreshed bool) {
	swapped := want.swapped
	for file, digest := range want.files {
		switch got := reply.Files[file]; got {
		case digest, sidecarapi.Ignored:
		case sidecarapi.Opaque:
			swapped = true
		default:
			return waiting, false
		}
	}
	// The sidecar cannot read a file of another user with mode 0400. What it knows is when the volume changed last, by its
	// own clock: how long ago that was is compared with how long ago the content changed.
	if swapped && reply.At.Sub(reply.Changed)-clockSlack > age {
		return waiting, false
	}
	switch reply.Result {
	case sidecarapi.None:
		if isGuess(reply, started) {
			return waiting, true
		}
		return confirmed, true
	case sidecarapi.Applied:
		return confirmed, true
	case sidecarapi.Rejected:
		return rejected, true
	case sidecarapi.NeedsRestart:
		return outdated, true
	case sidecarapi.Failed, sidecarapi.Died:
		return failing, true
	case sidecarapi.Pending, sidecarapi.Late: // the sidecar asks again what is late, and triggers nothing
	}
	return waiting, true
}

const (
	// rotationSlack is how much earlier than the driver says that it has brought something its files may have changed: it
	// writes the files, and then the status, whose time has no fraction.
	rotationSlack = 10 * time.Second
	// rotationSeen is how long after that a sidecar may take to see the change. One that has seen none by then has nothing to
	// see: another version may have the same content, which leaves the files as they are.
	rotationSeen = time.Minute
)

// evaluateMounts says how a pod stands that is confirmed but for the mounts of classes: the driver has written that it brought the
// versions, the sidecar has seen the mount change about then, and what it says of the application is about what it has seen.
// why is for a pod that is not confirmed. Where no change is to be seen, nothing proves that there is none.
func evaluateMounts(reply *sidecarapi.Response, want expectation, started, now time.Time) (s podState, why string) {
	for _, at := range slices.Sorted(maps.Keys(want.classes)) {
		rotated := want.classes[at]
		changed, said := reply.Mounts[at]
		guessed := *reply
		guessed.Changed = changed
		switch {
		case !said:
			return uncovered, mountUnknown(at, rotated.class)
		case reply.Result == sidecarapi.None && isGuess(guessed, started):
			return waiting, startedLater
		case rotated.at.IsZero(), reply.At.Sub(changed)-rotationSlack <= now.Sub(rotated.at):
		case now.Sub(rotated.at) < rotationSeen:
			return waiting, rotationUnseen(rotated.class)
		default:
			reply.Proven, reply.Assumed = false, true
		}
	}
	if want.unrotated.Name != "" {
		return waiting, rotationPending(want.unrotated)
	}
	return confirmed, ""
}

// isGuess reports whether the application is only taken to have the content, and started before its volume got it: an
// ordinary container may start so late that the sidecar never saw what was there before. Both times are of the pod's
// node; the kubelet cuts its own to seconds.
func isGuess(reply sidecarapi.Response, started time.Time) bool {
	return reply.Assumed && !started.IsZero() && reply.Changed.After(started.Add(time.Second))
}

// clockSlack is how much earlier than the controller's first sight of a change a kubelet may have had it.
const clockSlack = 2 * time.Second

// describe says what is the matter with a pod in this state.
func describe(reply sidecarapi.Response, s podState, refreshed bool) string {
	switch {
	case !refreshed:
		return notRefreshed
	case s == waiting && reply.Result == sidecarapi.None:
		return startedLater
	case s == waiting && reply.Result == sidecarapi.Late:
		return cmp.Or(reply.Message, notAnswered)
	case s == waiting:
		return cmp.Or(reply.Message, notFinished)
	}
	return cmp.Or(reply.Message, noReason)
}
