package admission

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The cheapest texts that make the most of one element: the price covers each of them, with the copies of growing lists.
func TestAnElementCostsNoMoreThanItsPrice(t *testing.T) {
	const count = maxElements/2 - 10
	for name, text := range map[string]string{
		"empty containers":         `"spec":{"containers":[` + repeated("{}", count) + `]}`,
		"containers that are none": `"spec":{"containers":[` + repeated("null", count) + `]}`,
		"containers of a number":   `"spec":{"initContainers":[` + repeated("1", count) + `]}`,
		"ephemeral containers":     `"spec":{"ephemeralContainers":[` + repeated("{}", count) + `]}`,
		"volumes":                  `"spec":{"volumes":[` + repeated("{}", count) + `]}`,
		"volumes with a source":    `"spec":{"volumes":[` + repeated(`{"projected":{}}`, count/2) + `]}`,
		"container statuses":       `"status":{"containerStatuses":[` + repeated("{}", count) + `]}`,
		"owners":                   `"metadata":{"ownerReferences":[` + repeated("{}", count) + `]}`,
		"annotations":              `"metadata":{"annotations":{` + numbered(count) + `}}`,
		"probes":                   `"spec":{"containers":[` + repeated(`{"livenessProbe":{"httpGet":{}}}`, count/3) + `]}`,
		"environment":              `"spec":{"containers":[{"env":[` + repeated(`{"valueFrom":{"fieldRef":{}}}`, count/3) + `]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","object":{` + text + `}}}`)
			n := elements(body)
			if n > maxElements {
				t.Fatalf("%d elements are not read at all", n)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := parse(body); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			// Growing lists leave their old copies to the garbage collector, so this is more than what is held at one time.
			if each := int64(after.TotalAlloc-before.TotalAlloc) / int64(n); each > 3*bytesPerElement {
				t.Errorf("%d bytes for each of %d elements, and the price is %d", each, n, bytesPerElement)
			}
		})
	}
}

func repeated(text string, count int) string {
	return strings.TrimSuffix(strings.Repeat(text+",", count), ",")
}

func numbered(count int) string {
	var b strings.Builder
	for i := range count {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + strconv.Itoa(i) + `":""`)
	}
	return b.String()
}

// Every member and element that a decoder makes is counted, whatever stands in strings.
func FuzzElements(f *testing.F) {
	f.Add(`{"a":[1,2,{"b":"}{[,\"\\"}],"c":{}}`)
	f.Add(`[[],[[]],"",{}]`)
	f.Add(`"\\"`)
	f.Fuzz(func(t *testing.T, text string) {
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			return
		}
		if made, counted := membersOf(value), elements([]byte(text)); made > counted {
			t.Errorf("%q has %d members and elements, counted %d", text, made, counted)
		}
	})
}

func membersOf(value any) int {
	count := 0
	switch v := value.(type) {
	case []any:
		count = len(v)
		for _, e := range v {
			count += membersOf(e)
		}
	case map[string]any:
		count = len(v)
		for _, e := range v {
			count += membersOf(e)
		}
	}
	return count
}

// However callers come and go: no more than the room is out, no caller has more than its part, and all of it comes back.
func TestAPoolIsNeverOverdrawn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1000)
		var mu sync.Mutex
		used, by, refused := int64(0), map[string]int64{}, 0
		var work sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range 2000 {
			caller, amount := string(rune('a'+random.IntN(4))), 1+random.Int64N(600)
			start, hold := time.Duration(random.IntN(20000))*time.Millisecond, time.Duration(random.IntN(100))*time.Millisecond
			work.Go(func() {
				time.Sleep(start)
				release, err := p.take(t.Context(), caller, amount)
				if err != nil {
					mu.Lock()
					refused++
					mu.Unlock()
					return
				}
				mu.Lock()
				used, by[caller] = used+amount, by[caller]+amount
				if used > 1000 || by[caller] > 500 {
					t.Errorf("%d are out, %d of them for %s", used, by[caller], caller)
				}
				mu.Unlock()
				time.Sleep(hold)
				mu.Lock()
				used, by[caller] = used-amount, by[caller]-amount
				mu.Unlock()
				release()
				release() // a second time does nothing
			})
		}
		work.Wait()
		if p.used != 0 || len(p.by) != 0 {
			t.Errorf("%d are still out, for %v", p.used, p.by)
		}
		if refused == 0 || refused == 2000 {
			t.Errorf("%d of 2000 were refused", refused)
		}
	})
}

// Whoever holds all of its part keeps nobody else waiting.
func TestOneCallerTakesNothingFromAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1000)
		release, err := p.take(t.Context(), "greedy", 500)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		began := time.Now()
		if _, err := p.take(t.Context(), "greedy", 1); err == nil || time.Since(began) != patience {
			t.Errorf("more than its part: %v after %s", err, time.Since(began))
		}
		began = time.Now()
		again, err := p.take(t.Context(), "other", 500)
		if err != nil || time.Since(began) != 0 {
			t.Errorf("another caller: %v after %s", err, time.Since(began))
		}
		defer again()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := p.take(gone, "third", 1); err == nil {
			t.Error("who has gone still gets room")
		}
	})
}
