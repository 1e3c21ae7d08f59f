package injection_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/injection"
)

// A record can be written by whoever may write the pod.
func TestWhatIsBelievedOfARecord(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		record annotation.Record
		want   string // what an event says, "" for none
	}{
		"a reason has inpod's own sentence": {
			annotation.Record{Reason: "PortTaken", Message: "free text"},
			"PortTaken: a container uses the status port of the sidecar; set another one with inpod.dev/status-port",
		},
		"keys of inpod are named once, in order": {
			annotation.Record{Reason: "InvalidAnnotation", Keys: []string{"inpod.dev/settle", "inpod.dev/inject", "inpod.dev/settle"}},
			"InvalidAnnotation: an annotation of the pod or of its namespace is invalid; check inpod.dev/inject, inpod.dev/settle",
		},
		"a key that is none of inpod's is not repeated": {
			annotation.Record{Reason: "InvalidAnnotation", Keys: []string{"inpod.dev/free text", "free text", "inpod.dev/"}},
			"InvalidAnnotation: an annotation of the pod or of its namespace is invalid; a key that begins with inpod.dev/ is not one of inpod's",
		},
		"a reason that is not known":   {annotation.Record{Reason: "Free text"}, ""},
		"no reason":                    {annotation.Record{Message: "free text"}, ""},
		"a pod that has the sidecar":   {annotation.Record{Injected: true, Reason: "NoTrigger"}, ""},
		"a reason that is not news":    {annotation.Record{Reason: "NotRequested"}, ""},
		"a reason that means success":  {annotation.Record{Reason: "Injected"}, ""},
		"a reason that is there twice": {annotation.Record{Reason: "AlreadyInjected"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			skip, ok := injection.SkipOf(tc.record)
			got := ""
			if ok {
				got = skip.String()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryReasonHasASentenceButThoseThatAreNobodysConcern(t *testing.T) {
	t.Parallel()
	for _, reason := range injection.Reasons() {
		_, ok := injection.SkipOf(annotation.Record{Reason: string(reason)})
		if want := reason != injection.Injected && !reason.Quiet(); ok != want {
			t.Errorf("%s: there is a sentence: %t, want %t", reason, ok, want)
		}
	}
}

// Whatever stands in a record, an event has none of it but words of inpod's own, and has room for it.
func FuzzSkipOf(f *testing.F) {
	f.Add(`{"reason":"InvalidAnnotation","keys":["inpod.dev/preset"],"message":"m"}`)
	var words []string
	for _, reason := range injection.Reasons() {
		if skip, ok := injection.SkipOf(annotation.Record{Reason: string(reason), Keys: []string{annotation.Domain}}); ok {
			words = append(words, strings.Fields(skip.String())...)
		}
	}
	known := map[string]bool{"check": true}
	for _, word := range append(append(words, annotation.InjectionKeys()...), annotation.InjectKey) {
		known[strings.Trim(word, ";,")] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		record, err := annotation.ParseRecord(text)
		if err != nil {
			return
		}
		skip, ok := injection.SkipOf(record)
		if !ok {
			return
		}
		said := skip.String()
		if len(said) > 1000 && len(record.Keys) < 20 {
			t.Errorf("%d bytes", len(said))
		}
		for word := range strings.FieldsSeq(said) {
			if !known[strings.Trim(word, ";,")] {
				t.Errorf("%q is repeated from %q", word, text)
			}
		}
	})
}
