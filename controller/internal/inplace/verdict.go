package inplace

import (
	"cmp"
	"time"

	"inpod.dev/inpod/internal/confirm"
)

// standing is how one pod stands to the content that it is to have.
type standing string

// The standings.
const (
	waiting   standing = "waiting"   // its kubelet has not brought the content, or the sidecar has not finished
	confirmed standing = "confirmed" // its application has the content
	rejected  standing = "rejected"  // its application does not accept the content
	failing   standing = "failing"   // its application could not be told, or died
)

// judge says how a pod stands, from the reply of its sidecar to a question that was asked now. age is how long ago the
// content came to be wanted. refreshed tells that the kubelet has brought it.
func judge(reply confirm.Reply, want map[string]string, age time.Duration) (s standing, refreshed bool) {
	opaque := false
	for file, digest := range want {
		switch got := reply.Files[file]; got {
		case digest, confirm.Ignored:
		case confirm.Opaque:
			opaque = true
		default:
			return waiting, false
		}
	}
	// The sidecar cannot read a file of another user with mode 0400. What it knows is when the volume changed last, by its
	// own clock: how long ago that was is compared with how long ago the content changed.
	if opaque && reply.At.Sub(reply.Changed)-clockSlack > age {
		return waiting, false
	}
	switch reply.Result {
	case confirm.Applied, confirm.None:
		return confirmed, true
	case confirm.Rejected:
		return rejected, true
	case confirm.Failed, confirm.Died:
		return failing, true
	case confirm.Pending:
	}
	return waiting, true
}

// clockSlack is how much earlier than the controller's first look at a change a kubelet may have had it.
const clockSlack = 2 * time.Second

// saying is what a sidecar said, for a message.
func saying(reply confirm.Reply) string {
	return cmp.Or(reply.Message, "no reason given")
}
