package sidecarapi

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Path is where the sidecar takes requests, by POST, as JSON. The answer to a good one is 200 with the encrypted reply
// as its body; any other answer is a sentence in clear text: 400 for a bad request, 404 without a --controller-key, 429
// for too many, 503 before the first scan.
const Path = "/query"

// What a sidecar says in clear text instead of a reply. By it the controller knows a sidecar from whatever else may listen
// in its place, whose words may hold content and are never passed on.
const (
	SaysNoKey      = "this sidecar confirms nothing: it was started without --controller-key"
	SaysNotYet     = "the sidecar has not scanned its volumes yet"
	SaysTooMany    = "too many requests a second from one address"
	SaysNotWatched = "nothing watches " // and then the path, and those that are watched
)

// Sentence is what a sidecar said in clear text, as one line; ok is false for words that no sidecar says.
func Sentence(body []byte) (sentence string, ok bool) {
	sentence = bound(strings.TrimSpace(string(body)))
	switch {
	case sentence == SaysNoKey, sentence == SaysNotYet, sentence == SaysTooMany, strings.HasPrefix(sentence, SaysNotWatched):
		return sentence, true
	}
	return "", false
}

// Limits of what is sent, in bytes, and of the number of files. They bound what a stranger can make a sidecar do.
const (
	MaxRequest = 64 << 10
	MaxReply   = 512 << 10
	MaxFiles   = 512

	maxPath    = 4096
	maxMessage = 1 << 10
	minNonce   = 16
	maxNonce   = 64
)

// Request asks for the digests of files, by the absolute paths at which the containers see them, and for what came of
// them. Without files it only asks for the result.
type Request struct {
	Nonce []byte   `json:"nonce"`
	Files []string `json:"files,omitempty"`
	// Mounts are watched folders; the question is since when they are as they are: what is in their files is known to
	// nobody who asks.
	Mounts []string `json:"mounts,omitempty"`
}

// NewRequest makes a request with a fresh nonce. It is sent as json.Marshal writes it.
func NewRequest(files []string, mounts ...string) (Request, error) {
	r := Request{Nonce: make([]byte, minNonce), Files: files, Mounts: mounts}
	_, _ = rand.Read(r.Nonce) // never fails (crypto/rand)
	return r, r.check()
}

// ParseRequest reads and checks a request.
func ParseRequest(body []byte) (Request, error) {
	if len(body) > MaxRequest {
		return Request{}, fmt.Errorf("the request has more than %d bytes", MaxRequest)
	}
	var r Request
	if err := json.Unmarshal(body, &r); err != nil {
		return Request{}, fmt.Errorf(`want {"nonce": BASE64, "files": [PATH, ...]}: %w`, err)
	}
	return r, r.check()
}

func (r Request) check() error {
	if len(r.Nonce) < minNonce || len(r.Nonce) > maxNonce {
		return fmt.Errorf("the nonce has %d bytes; want %d to %d", len(r.Nonce), minNonce, maxNonce)
	}
	if len(r.Files) > MaxFiles || len(r.Mounts) > MaxFiles {
		return fmt.Errorf("%d files; at most %d can be asked for at once", max(len(r.Files), len(r.Mounts)), MaxFiles)
	}
	for _, file := range slices.Concat(r.Files, r.Mounts) {
		if len(file) > maxPath || !path.IsAbs(file) || path.Clean(file) != file || strings.ContainsRune(file, 0) {
			return fmt.Errorf("%.80q is no absolute path without detours", file)
		}
	}
	return nil
}

// Result says how the application stands to the content that the reply's digests describe. The set is closed.
type Result string

// The results.
const (
	// Applied means that the application was triggered for exactly this content and nothing contradicts. Reply.Proven
	// says whether it is known to have it.
	Applied Result = "applied"
	// None means that there was nothing to do: the application has had this content since it started, or since before
	// the sidecar did.
	None Result = "none"
	// Pending means that there is content which was not triggered yet.
	Pending Result = "pending"
	// Rejected means that the application did not accept this content and keeps using an older one.
	Rejected Result = "rejected"
	// NeedsRestart means that a reload never makes the application read what changed: only a new process does.
	NeedsRestart Result = "needs restart"
	// Late means that the application was triggered for this content, and has not answered yet. The sidecar asks again,
	// and does not trigger it again.
	Late Result = "late"
	// Failed means that the application could not be triggered, Died that it ended when it was. The sidecar goes on
	// trying.
	Failed Result = "failed"
	Died   Result = "died"
)

// These values stand in [Response.Files] in place of a digest.
const (
	// Missing: there is no such file.
	Missing = ""
	// Opaque: the sidecar may not read the file, and compares it by its metadata. A change of it is triggered like any
	// other, so Result and Changed count.
	Opaque = "opaque"
	// Ignored: the file is a service account token, whose renewals the application takes up by itself. There is
	// nothing to wait for.
	Ignored = "ignored"
)

// Response describes one moment: Result is about exactly the content that Files, Changed and Changes describe.
type Response struct {
	Result Result `json:"result"`
	// Message is what the application or the sidecar has to say, free of the content of secrets.
	Message string `json:"message,omitempty"`
	// Proven says of Applied that the application itself says that it runs with this content, or was seen to. A sidecar of
	// before this field never sets it.
	Proven bool `json:"proven,omitempty"`
	// Trigger is what was sent ("SIGHUP to nginx (PID 7)"), Proof what showed the result ("workers renewed"), both in a
	// few words, without the content of secrets, and empty when there is nothing to say.
	Trigger string `json:"trigger,omitempty"`
	Proof   string `json:"proof,omitempty"`
	// Assumed says of None that nothing has shown so yet: the application was not seen, and has not said when it read
	// its configuration. In a pod whose sidecar starts before the application, and has not been restarted, that is as
	// good as known: the application reads what is there when it starts.
	Assumed bool `json:"assumed,omitempty"`
	// Files holds for each file that was asked for its digest as Digest writes it, or Missing, Opaque or Ignored.
	Files map[string]string `json:"files"`
	// Mounts holds for each folder that was asked for, and is watched, when it came to be as it is. A sidecar of before this
	// field has none.
	Mounts map[string]time.Time `json:"mounts,omitempty"`
	// Changes counts new contents, Attempts attempts to reload the application, both since Started.
	Changes  int64 `json:"changes"`
	Attempts int64 `json:"attempts"`
	// At is when the sidecar said this, by its own clock. The other times are of that clock as well: only their distance
	// to At means something elsewhere.
	At time.Time `json:"at"`
	// Started is when the sidecar started.
	Started time.Time `json:"started,omitzero"`
	// Changed is when the newest of the volumes with the files came to be as it is: the kubelet's swap. Without files
	// asked for it is about all volumes.
	Changed time.Time `json:"changed,omitzero"`
	// AttemptAt is when the last attempt began, whatever content it was about; zero before the first.
	AttemptAt time.Time `json:"attemptAt,omitzero"`
	// Version is that of the sidecar, "" if it does not say.
	Version string `json:"version,omitempty"`
}

// NotUnderstoodError says that a reply was opened and is not understood, as that of a later version may be: nothing is known
// of the application then.
type NotUnderstoodError struct {
	// Version is that of the sidecar, "" if it does not say.
	Version string
	// Why says what is not understood. It quotes at most a few words of the reply.
	Why string
}

func (e *NotUnderstoodError) Error() string { return "the reply is not understood: " + e.Why }

// Digest is how a digest of a value (the first 16 bytes of its SHA-256) is written in [Response.Files].
func Digest(sum [16]byte) string { return hex.EncodeToString(sum[:]) }

// padding makes the length of a reply say nothing about what is in it.
const padding = 512

func (r Response) encode() ([]byte, error) {
	r = r.bound()
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a reply: %w", err)
	}
	if rest := len(text) % padding; rest != 0 {
		text = append(text, bytes.Repeat([]byte{' '}, padding-rest)...)
	}
	return text, nil
}

// decodeReply returns a [NotUnderstoodError] for whatever it cannot read.
func decodeReply(text []byte) (Response, error) {
	var r Response
	if err := json.Unmarshal(text, &r); err != nil {
		var only struct {
			Version string `json:"version"`
		}
		_ = json.Unmarshal(text, &only) // the version may be legible where something else is not
		return Response{}, &NotUnderstoodError{Version: version(only.Version), Why: "it is no JSON of the form that this version knows"}
	}
	if why := r.unknown(); why != "" {
		return Response{}, &NotUnderstoodError{Version: version(r.Version), Why: why}
	}
	return r.bound(), nil
}

// unknown says what of a reply this version does not know, "" for nothing.
func (r Response) unknown() string {
	switch r.Result {
	case Applied, None, Pending, Rejected, NeedsRestart, Late, Failed, Died:
	default:
		return fmt.Sprintf("it has the unknown result %.40q", r.Result)
	}
	if len(r.Files) > MaxFiles || len(r.Mounts) > MaxFiles {
		return fmt.Sprintf("it is about %d files; at most %d can be asked for", max(len(r.Files), len(r.Mounts)), MaxFiles)
	}
	for _, file := range slices.Sorted(maps.Keys(r.Files)) {
		if !known(r.Files[file]) {
			return fmt.Sprintf("it has no digest for %.80q", file)
		}
	}
	if r.Changes < 0 || r.Attempts < 0 {
		return "it counts below zero"
	}
	return ""
}

func (r Response) bound() Response {
	r.Message, r.Trigger, r.Proof = bound(r.Message), bound(r.Trigger), bound(r.Proof)
	r.Version = version(r.Version)
	return r
}

// version returns what may be the name of a version, and "" for anything else.
func version(text string) string {
	const most = 64
	for _, c := range []byte(text) {
		if !strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_", rune(c)) {
			return ""
		}
	}
	if len(text) > most {
		return ""
	}
	return text
}

// known reports whether value may stand in [Response.Files].
func known(value string) bool {
	switch value {
	case Missing, Opaque, Ignored:
		return true
	}
	const size = 32
	raw, err := hex.DecodeString(value)
	return err == nil && len(value) == size && hex.EncodeToString(raw) == value
}

// bound makes a message fit to be shown in one line.
func bound(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(message, "?"))
	if len(message) <= maxMessage {
		return message
	}
	const more = "…"
	return strings.ToValidUTF8(message[:maxMessage-len(more)], "") + more
}
