package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Sink is the form in which a receiver wants its messages. The first four are Reloader's ALERT_SINK.
type Sink string

// The sinks.
const (
	Slack      Sink = "slack"   // an attachment with a color
	Teams      Sink = "teams"   // an adaptive card, for a Teams workflow
	GoogleChat Sink = "gchat"   // {"text": …}
	Raw        Sink = "webhook" // the text alone, without formatting
	JSON       Sink = "json"    // every field of the message
)

// Sinks lists every sink.
func Sinks() []Sink { return []Sink{Slack, Teams, GoogleChat, Raw, JSON} }

// body is a message in the form that the receiver wants.
func (s Sink) body(m Message, info string) (Body, error) {
	text := m.text(info)
	var value any
	switch s {
	case Slack:
		color := "good"
		if !m.Success {
			color = "danger"
		}
		value = map[string]any{"attachments": []any{map[string]any{"text": text, "color": color, "author_name": "inpod"}}}
	case Teams:
		value = teamsCard(m, text)
	case GoogleChat:
		value = map[string]string{"text": text}
	case JSON:
		value = fieldsOf(m, info)
	case Raw:
		return Body{Type: "text/plain; charset=utf-8", Bytes: []byte(plain(text))}, nil
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return Body{}, fmt.Errorf("encoding an alert: %w", err)
	}
	return Body{Type: "application/json", Bytes: encoded}, nil
}

func plain(text string) string { return strings.ReplaceAll(text, "*", "") }

// teamsCard is what a workflow "Post to a channel when a webhook request is received" takes
// (https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using).
func teamsCard(m Message, text string) any {
	color := "Good"
	if !m.Success {
		color = "Attention"
	}
	return map[string]any{
		"type": "message",
		"attachments": []any{map[string]any{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"content": map[string]any{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
				"type":    "AdaptiveCard",
				"version": "1.4",
				"body": []any{map[string]any{
					"type": "TextBlock", "text": strings.ReplaceAll(text, "*", "**"), "wrap": true, "color": color,
				}},
			},
		}},
	}
}

// fields is the body of the sink "json", and of the webhook that replaces rollouts. Fields are only ever added.
type fields struct {
	Kind      string   `json:"kind"`
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Action    string   `json:"action"`
	Success   bool     `json:"success"`
	Reason    string   `json:"reason"`
	Message   string   `json:"message"`
	Sources   []string `json:"sources"`
	Info      string   `json:"info,omitempty"`
	Time      string   `json:"time"`
}

func fieldsOf(m Message, info string) fields {
	return fields{
		Kind: m.Workload.Kind, Namespace: m.Workload.Namespace, Name: m.Workload.Name,
		Action: m.Action, Success: m.Success, Reason: m.Reason, Message: m.Text, Sources: m.Sources, Info: info,
		Time: m.Time.UTC().Format(time.RFC3339),
	}
}

// JSONBody is a message with every field.
func JSONBody(m Message) (Body, error) { return JSON.body(m, "") }
