// Package alert reports to a chat or a webhook what the controller did. It decides the form of the message, and
// delivers it in the background: nothing that the controller does ever waits for it.
//
//	Send(Message) ──► bounded queue ──► body for the sink ──► POST, with retries
//
// The address of a webhook is a password. It is in no log line and no error.
package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"inpod.dev/inpod/internal/workload"
)

const (
	// queueLength is how many messages may wait for delivery. A receiver that is down for long must not fill the memory.
	queueLength = 1000
	// flushTime is how long messages that wait when the controller stops may still take.
	flushTime = 5 * time.Second
)

// Message is one thing that happened.
type Message struct {
	Workload workload.Key
	// Action says what happened in the form of a past participle: rolled, reloaded in place.
	Action string
	// Success reports whether it worked.
	Success bool
	// Reason is one of the reasons of events.
	Reason string
	// Text is the message of the event.
	Text string
	// Sources are the changed sources, such as "ConfigMap shop/web-conf".
	Sources []string
	Time    time.Time
}

// Options are what an [Alerter] needs.
type Options struct {
	Sink Sink
	// URL is where to post, and Proxy the HTTP proxy to go through, "" for none.
	URL, Proxy string
	// Info is put in front of each text.
	Info       string
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Alerter delivers messages.
type Alerter struct {
	options Options
	poster  *Poster
	queue   chan Message
	sent    *prometheus.CounterVec
}

// New returns an alerter that delivers nothing before [Alerter.Run]. The error says what is wrong with the addresses.
func New(options Options) (*Alerter, error) {
	if !slices.Contains(Sinks(), options.Sink) {
		return nil, fmt.Errorf("unknown alert sink %q: use one of %v", options.Sink, Sinks())
	}
	poster, err := NewPoster(options.URL, options.Proxy)
	if err != nil {
		return nil, err
	}
	a := &Alerter{
		options: options, poster: poster, queue: make(chan Message, queueLength),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "inpod_alerts_total", Help: "Alerts by result: delivered, failed or dropped (queue full).",
		}, []string{"result"}),
	}
	options.Registerer.MustRegister(a.sent)
	return a, nil
}

// Send queues a message. It never blocks: when too many wait, the message is dropped and counted.
func (a *Alerter) Send(m Message) {
	select {
	case a.queue <- m:
	default:
		a.sent.WithLabelValues("dropped").Inc()
		a.options.Log.Warn("alert dropped, queue full", "workload", m.Workload, "waiting", queueLength)
	}
}

// Run delivers messages until ctx ends, and then those that wait, for up to five seconds.
func (a *Alerter) Run(ctx context.Context) {
	// A delivery that is under way when the controller stops is not cut off either.
	outliving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(flushTime, cancel)
		context.AfterFunc(outliving, func() { timer.Stop() })
	})
	for outliving.Err() == nil {
		select {
		case m := <-a.queue:
			a.deliver(ctx, outliving, m)
			continue
		default:
		}
		select {
		case m := <-a.queue:
			a.deliver(ctx, outliving, m)
		case <-ctx.Done():
			if len(a.queue) == 0 {
				return
			}
		}
	}
}

// deliver delivers one message. While the receiver is away, and ctx lasts, it waits: the next messages would be lost, too.
func (a *Alerter) deliver(ctx, outliving context.Context, m Message) {
	body, err := a.options.Sink.body(m, a.options.Info)
	for err == nil {
		err = a.poster.Post(outliving, body)
		away := (*AwayError)(nil)
		if !errors.As(err, &away) || ctx.Err() != nil {
			break
		}
		err = nil
		timer := time.NewTimer(time.Until(away.Until))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	if err != nil {
		a.sent.WithLabelValues("failed").Inc()
		a.options.Log.Warn("alert delivery failed", "workload", m.Workload, "sink", a.options.Sink, "error", err)
		return
	}
	a.sent.WithLabelValues("delivered").Inc()
}

// text is a message for people. Names stand between stars, which chats show in bold.
func (m Message) text(info string) string {
	what := fmt.Sprintf("*%s* of type *%s* in namespace *%s*", m.Workload.Name, m.Workload.Kind, m.Workload.Namespace)
	text := fmt.Sprintf("inpod has %s %s", m.Action, what)
	if !m.Success {
		text = fmt.Sprintf("inpod could not have %s %s (%s)", m.Action, what, m.Reason)
	}
	if m.Text != "" {
		text += ": " + m.Text
	}
	if info != "" {
		text = strings.TrimSpace(info) + " " + text
	}
	return text
}
