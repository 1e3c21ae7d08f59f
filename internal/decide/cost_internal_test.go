package decide

import (
	"encoding/json"
	"testing"
)

// The digest of the references is of JSON, and baselines have it.
func TestKeysAreEncodedAsBefore(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{
		nil, {}, {""}, {"a"}, {"tls.crt", "tls.key"}, {"A_b-9."}, {"a", `"`}, {"<a>"}, {"é"}, {"a b"}, {string([]byte{0xff})}, {"a\u2028"},
	} {
		want, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := jsonOf(keys); !ok || got != string(want) {
			t.Errorf("%q: %s, want %s", keys, got, want)
		}
	}
}
