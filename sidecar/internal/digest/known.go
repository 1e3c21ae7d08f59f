package digest

import "time"

// Known is what a scan leaves to the next one: the digest of each file that was read, with its metadata.
type Known map[string]known

type known struct {
	metadata [metadataSize]byte
	// since is the time of the first scan that found this metadata.
	since time.Time
	sum   Sum
	token bool
	// sure means that the content was read so long after since that any later write moves the metadata.
	sure bool
	// fresh means that the content need not be read.
	fresh bool
}

// tick is more than the resolution of the times of any file system that is in use (FAT has 2 s).
const tick = 2 * time.Second

// next is what is known of a file with this metadata at this time. The caller reads the content unless it is fresh.
func (k Known) next(name string, metadata [metadataSize]byte, now time.Time) known {
	before, ok := k[name]
	if !ok || before.metadata != metadata {
		return known{metadata: metadata, since: now}
	}
	before.fresh = before.sure
	before.sure = before.sure || now.Sub(before.since) > tick
	return before
}
