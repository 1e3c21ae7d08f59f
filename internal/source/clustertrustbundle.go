package source

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"inpod.dev/inpod/internal/anchors"
)

// bundleKey is the one key of a ClusterTrustBundle, as the field of its spec is called.
const bundleKey = "trustBundle"

// BundleSelection is a choice of ClusterTrustBundles by their signer and their labels. A pod has the anchors of all of
// them in one file, so that together they are one source: one that comes, goes or is edited changes it.
type BundleSelection struct {
	Signer string
	Labels labels.Selector
}

// Ref returns the reference to the selection: "example.com/signer" or "example.com/signer[env=prod]". A slash is in each
// name of a signer, and in no name of an object.
func (s BundleSelection) Ref() Ref {
	ref := Ref{Kind: ClusterTrustBundle, Name: s.Signer}
	if !s.Labels.Empty() {
		ref.Name += "[" + s.Labels.String() + "]"
	}
	return ref
}

// Selection returns the selection that a reference stands for; ok is false for one to an object.
func (r Ref) Selection() (s BundleSelection, ok bool) {
	if r.Kind != ClusterTrustBundle || !strings.Contains(r.Name, "/") {
		return BundleSelection{}, false
	}
	signer, text, _ := strings.Cut(strings.TrimSuffix(r.Name, "]"), "[")
	selector, err := labels.Parse(text)
	if err != nil {
		selector = labels.Nothing() // the API server refuses such a selector
	}
	return BundleSelection{Signer: signer, Labels: selector}, true
}

// bundleRef returns the source of a projected bundle; ok is false where no object can be meant.
func bundleRef(p *corev1.ClusterTrustBundleProjection) (ref Ref, ok bool) {
	switch {
	case p.Name != nil:
		return Ref{Kind: ClusterTrustBundle, Name: *p.Name}, *p.Name != ""
	case p.SignerName == nil || p.LabelSelector == nil: // without a selector nothing matches
		return Ref{}, false
	}
	selector, err := metav1.LabelSelectorAsSelector(p.LabelSelector)
	if err != nil {
		return Ref{}, false
	}
	requirements, _ := selector.Requirements()
	// In one order, and each once: the API has some of them in a map, and two of one key are in no order.
	slices.SortFunc(requirements, func(a, b labels.Requirement) int { return cmp.Compare(a.String(), b.String()) })
	requirements = slices.CompactFunc(requirements, func(a, b labels.Requirement) bool { return a.String() == b.String() })
	sorted := labels.NewSelector()
	for _, r := range requirements {
		sorted = sorted.Add(r) // which sorts by key, and keeps the order of those with the same
	}
	return BundleSelection{Signer: *p.SignerName, Labels: sorted}.Ref(), strings.Contains(*p.SignerName, "/")
}

// OfTrustBundles returns the snapshot of what bundles hold together, without its moment and annotations.
func OfTrustBundles(ref Ref, bundles ...anchors.Set) Snapshot {
	return Snapshot{Ref: ref, Keys: map[string]Entry{bundleKey: {Digest: anchorsDigest(anchors.Union(bundles...))}}}
}

// NoAnchors is the digest of the file that the kubelet writes where an optional bundle does not exist.
func NoAnchors() Digest { return anchorsDigest(nil) }

func anchorsDigest(set anchors.Set) Digest {
	sum := set.Digest()
	return Digest(sum[:16])
}
