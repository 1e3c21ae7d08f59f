package source

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Fit encodes nothing where the bound fits, so that a bound that is too low would have the API server refuse a baseline.
func TestPropertyNoBaselineIsLongerThanItsBound(t *testing.T) {
	t.Parallel()
	digester, err := NewDigester(make([]byte, minKeySize))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("9", 12)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := func() string {
			return strings.Repeat(string([]rune{'a', '<', '"', '\u2028', 'é', '\x01'}[r.IntN(6)]), r.IntN(20)) + string([]byte{0xff})[:r.IntN(2)]
		}
		flag := func() bool { return r.IntN(2) == 0 }
		records := func() map[Ref]Record {
			all := map[Ref]Record{}
			for range r.IntN(4) {
				record := Record{
					Absent: flag(), All: flag(), Binary: flag(), Fold: KeyedDigest(text()), Folded: KeyedDigest(text()),
					Immutable: flag(), Ignored: flag(), Keys: map[string]KeyedDigest{},
				}
				for range r.IntN(4) {
					record.Keys[text()] = KeyedDigest(text())
				}
				all[ClusterTrustBundle.Ref("", fmt.Sprint(text(), len(all)))] = record
			}
			return all
		}
		b := Baseline{
			UID: text(), Template: KeyedDigest(text()), References: KeyedDigest(text()), Named: KeyedDigest(text()),
			Hides: flag(), Partial: flag(), Version: r.Int(), Records: records(), Seen: map[Ref]int64{},
		}
		for ref := range b.Records {
			b.Seen[ref] = -r.Int64()
		}
		if flag() {
			b.Asked = &Asked{Action: text(), Batch: r.Int(), Records: records()}
			for range r.IntN(50) {
				b.Asked.Hashes = append(b.Asked.Hashes, long)
			}
		}
		encoded, err := digester.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		if bound := b.atMost(); len(encoded) > bound {
			t.Fatalf("seed %d: %d bytes, at most %d: %s", seed, len(encoded), bound, encoded)
		}
	}
}
