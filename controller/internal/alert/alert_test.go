package alert

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"inpod.dev/inpod/internal/workload"
)

func message() Message {
	return Message{
		Workload: workload.Key{Kind: "Deployment", Namespace: "shop", Name: "web"}, Action: "rolled", Success: true,
		Reason: "Reloaded", Text: "ConfigMap conf changed (a)", Sources: []string{"ConfigMap shop/conf"},
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestBodyOfEachSink(t *testing.T) {
	t.Parallel()
	const text = "prod inpod has rolled *web* of type *Deployment* in namespace *shop*: ConfigMap conf changed (a)"
	for sink, want := range map[Sink]string{
		Slack:      `{"attachments":[{"author_name":"inpod","color":"good","text":"` + text + `"}]}`,
		GoogleChat: `{"text":"` + text + `"}`,
		Raw:        strings.ReplaceAll(text, "*", ""),
		JSON: `{"kind":"Deployment","namespace":"shop","name":"web","action":"rolled","success":true,"reason":"Reloaded",` +
			`"message":"ConfigMap conf changed (a)","sources":["ConfigMap shop/conf"],"info":"prod","time":"2026-01-02T03:04:05Z"}`,
	} {
		body, err := sink.body(message(), "prod")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(body.Bytes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", sink, diff)
		}
	}
}

func TestTeamsGetsAnAdaptiveCardThatShowsFailure(t *testing.T) {
	t.Parallel()
	m := message()
	m.Success = false
	body, err := Teams.body(m, "")
	if err != nil {
		t.Fatal(err)
	}
	var card struct {
		Attachments []struct {
			ContentType string `json:"contentType"`
			Content     struct {
				Type string `json:"type"`
				Body []struct{ Text, Color string }
			}
		}
	}
	if err := json.Unmarshal(body.Bytes, &card); err != nil {
		t.Fatal(err)
	}
	content := card.Attachments[0].Content
	if card.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" || content.Type != "AdaptiveCard" ||
		content.Body[0].Color != "Attention" || !strings.Contains(content.Body[0].Text, "could not have rolled **web**") {
		t.Errorf("card: %s", body.Bytes)
	}
}

// receiver answers with the given statuses, one after the other, the last one for ever.
type receiver struct {
	mu       sync.Mutex
	statuses []int
	bodies   []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies = append(r.bodies, string(body))
	w.WriteHeader(r.statuses[0])
	if len(r.statuses) > 1 {
		r.statuses = r.statuses[1:]
	}
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

func poster(t *testing.T, r *receiver) (*Poster, string) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	p, err := NewPoster(server.URL+"/secret-token", "")
	if err != nil {
		t.Fatal(err)
	}
	p.client.RetryWaitMin, p.client.RetryWaitMax = time.Millisecond, 2*time.Millisecond
	return p, server.URL
}

func TestPost(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		statuses  []int
		wantError string
		wantPosts int
	}{
		"taken":                               {[]int{200}, "", 1},
		"202, as Teams workflows answer":      {[]int{202}, "", 1},
		"a server that recovers":              {[]int{503, 429, 200}, "", 3},
		"a server that does not":              {[]int{500}, "500 Internal Server Error", 1 + retries},
		"a refusal is not repeated":           {[]int{403}, "403 Forbidden", 1},
		"a redirect is not followed silently": {[]int{302}, "302 Found", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{statuses: row.statuses}
			p, _ := poster(t, r)
			err := p.Post(t.Context(), Body{Type: "text/plain", Bytes: []byte("x")})
			switch {
			case row.wantError == "" && err != nil:
				t.Error(err)
			case row.wantError != "" && (err == nil || !strings.Contains(err.Error(), row.wantError)):
				t.Errorf("error: %v, want one with %q", err, row.wantError)
			case err != nil && strings.Contains(err.Error(), "secret-token"):
				t.Errorf("the address is in the error: %v", err)
			}
			if r.count() != row.wantPosts {
				t.Errorf("%d posts, want %d", r.count(), row.wantPosts)
			}
		})
	}
}

func TestAnAddressThatCannotBePostedToIsNotRepeatedInTheError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "hooks.example.com/secret-token", "ftp://example.com/secret-token", "http://%zz/secret-token"} {
		_, err := NewPoster(address, "")
		if err == nil || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%q: %v", address, err)
		}
		if _, err := NewPoster("http://example.com/", address); address != "" && err == nil {
			t.Errorf("proxy %q is accepted", address)
		}
	}
}

func alerter(t *testing.T, p *Poster) *Alerter {
	t.Helper()
	a, err := New(Options{
		Sink: JSON, URL: "http://example.com/", Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	a.poster = p
	return a
}

func counted(t *testing.T, a *Alerter, result string) float64 {
	t.Helper()
	var m dto.Metric
	if err := a.sent.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestWhatWaitsIsDeliveredWhenTheControllerStops(t *testing.T) {
	t.Parallel()
	r := &receiver{statuses: []int{200}}
	p, _ := poster(t, r)
	a := alerter(t, p)
	for range 20 {
		a.Send(message())
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	a.Run(stopped)
	if r.count() != 20 || counted(t, a, "delivered") != 20 {
		t.Errorf("%d of 20 were delivered", r.count())
	}
}

func TestSendingNeverBlocks(t *testing.T) {
	t.Parallel()
	a := alerter(t, nil) // nothing takes messages from the queue
	for range queueLength + 3 {
		a.Send(message())
	}
	if got := counted(t, a, "dropped"); got != 3 {
		t.Errorf("%v dropped, want 3", got)
	}
}

func TestAnUnknownSinkIsRefused(t *testing.T) {
	t.Parallel()
	_, err := New(Options{Sink: "pager", URL: "http://example.com/"})
	if err == nil || !strings.Contains(err.Error(), `"pager"`) || !strings.Contains(err.Error(), "slack") {
		t.Errorf("error: %v", err)
	}
}
