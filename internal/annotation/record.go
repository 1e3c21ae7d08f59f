package annotation

import "encoding/json"

// Record is the value of [InjectionRecord]: what the injector did to a pod, or why it did nothing.
type Record struct {
	Injected bool `json:"injected"`
	// Reason and Message say why there is no sidecar.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Keys are those that the reason is about. [Domain] alone stands for keys that are none of inpod's.
	Keys []string `json:"keys,omitempty"`

	// Container is the application's container.
	Container string `json:"container,omitempty"`
	// Trigger is how it is made to reload, such as "preset nginx".
	Trigger string `json:"trigger,omitempty"`
	// Image is whose image the sidecar runs in, "inpod" or "application", and Why says why that.
	Image string `json:"image,omitempty"`
	Why   string `json:"why,omitempty"`
	// User says who the sidecar runs as, and why.
	User string `json:"user,omitempty"`
	// Kind is "native" (an init container that keeps running) or "classic".
	Kind string `json:"kind,omitempty"`
	// SharedProcesses reports whether shareProcessNamespace was set for it.
	SharedProcesses bool `json:"sharedProcesses,omitempty"`
	// Port is where the sidecar's status is served.
	Port int32 `json:"port,omitempty"`
	// Watch are the directories that it watches.
	Watch []string `json:"watch,omitempty"`
	// Notes are what was asked and could not be done, without harm.
	Notes []string `json:"notes,omitempty"`
}

// String is the record as JSON in one line.
func (r Record) String() string {
	text, err := json.Marshal(r)
	if err != nil { // text, numbers and booleans always marshal
		return "{}"
	}
	return string(text)
}

// ParseRecord reads what String has written.
func ParseRecord(text string) (Record, error) {
	var r Record
	err := json.Unmarshal([]byte(text), &r)
	return r, err
}
