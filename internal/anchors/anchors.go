// Package anchors says which trust anchors a text holds, so that two texts with the same ones are equal.
//
// The kubelet writes those of ClusterTrustBundles without repeats and in no particular order, which it changes every few
// minutes (pkg/kubelet/clustertrustbundle in Kubernetes). So neither the text of an object nor that of a file says whether
// anything has changed; the set does. Controller and sidecar compare what both make of it here.
//
// It is pure, and what it returns holds no certificate.
package anchors

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"slices"
)

// Set are the digests of the certificates in a text, sorted and without repeats.
type Set [][sha256.Size]byte

// Of returns the set of a text in PEM. What lies between the blocks, and the headers in them, do not count.
func Of(text []byte) Set {
	var set Set
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return set.sorted()
		}
		set = append(set, sha256.Sum256(block.Bytes))
	}
}

// Union returns what is in any of the sets.
func Union(sets ...Set) Set { return slices.Concat(sets...).sorted() }

// Digest identifies a set. The empty one has one too.
func (s Set) Digest() [sha256.Size]byte {
	h := sha256.New()
	for i := range s {
		h.Write(s[i][:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (s Set) sorted() Set {
	slices.SortFunc(s, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(s)
}
