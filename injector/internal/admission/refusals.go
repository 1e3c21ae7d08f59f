package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

const (
	// persisting is how long the pods of an owner have to be refused before one is made without the sidecar: what goes by
	// itself, such as a service account that comes a moment later, is over by then. A ReplicaSet tries again after 5 ms and
	// then after twice as long each time, so that it has tried nine times.
	persisting = 1500 * time.Millisecond
	// sameTry is how long after a decision further pods of the owner get the same: a controller makes them in batches.
	sameTry = time.Second
	// resting is how long further pods of an owner go without the sidecar at once when that has helped. After it the next one is
	// tried with the sidecar, so that a policy that is gone is noticed.
	resting = time.Minute
	// everyTry says that one try in so many goes without the sidecar where that was refused too: something else is the matter,
	// and it may be over next time.
	everyTry = 3
	// forgotten is the time without a review after which an owner begins again; controllers wait 1,000 s at most.
	forgotten = 20 * time.Minute
	// checkEvery is how often an owner is checked, at most.
	checkEvery = time.Second
	// checkTimeout leaves the API server time to wait for the answer.
	checkTimeout = time.Second
	// recent is how old an event may be, beyond the time of the attempt that it is about: clocks differ, and events have whole
	// seconds.
	recent = 3 * time.Second
	// maxOwners bounds the owners that are remembered.
	maxOwners = 4096
	// checksPerSecond and checksAtOnce bound what one caller can make the API server be asked about owners; see questions.
	checksPerSecond = 100
	checksAtOnce    = 200
	// longestUID, longestName and longestKind bound what is remembered of an owner. The API server makes UIDs of 36 characters, and
	// takes no longer names and kinds.
	longestUID  = 64
	longestName = 253
	longestKind = 63
	// maxEvents is how many events about one owner are read. What Kubernetes' controllers write is fewer: client-go combines those
	// that are similar and drops what one object has beyond 25 at once and one every five minutes, and events are kept for an hour.
	maxEvents = 50
	// longestRefusal is how much of what the API server said is repeated.
	longestRefusal = 300
)

// failedCreate is the reason of conditions and events about pods that could not be made.
const failedCreate = "FailedCreate"

// Refusals finds out whether the API server refuses the pods of an owner with the sidecar, so that it is better left out.
//
// A review is no evidence: anybody can post one, and most pods that are asked about come to exist. What a review of an owner
// that has been asked about before leads to is a question to the API server:
//
//	ReplicaSet, ReplicationController   the condition ReplicaFailure, which their controller sets while a pod cannot be made
//	any other owner                     the events FailedCreate about it since the last review
//
// What is remembered bounds these questions, and says for how long it has been so and what has helped. It is lost with
// the process, which costs an attempt. It belongs to who asks, and to the owner by all of its names: a review that
// somebody else posts, or that has the UID of one owner and the name of another, says nothing about the owner that it
// names.
type Refusals struct {
	client    kubernetes.Interface
	questions *questions
	under     *pool // places for those that are under way

	mu     sync.Mutex
	owners *rows[ownerKey, *attempts]
}

// ownerKey is an owner, as a caller has it.
type ownerKey struct {
	share

	apiVersion, kind, name string
	uid                    types.UID
}

// NewRefusals returns one that has seen no review yet.
func NewRefusals(client kubernetes.Interface) *Refusals {
	return &Refusals{
		client: client, questions: newQuestions(allowance{checksPerSecond, checksAtOnce}), under: newPool(places),
		owners: newRows[ownerKey, *attempts](maxOwners),
	}
}

var (
	errAnother       = errors.New("the object of that name is another one")
	errTooManyEvents = fmt.Errorf("there are more than %d events about it", maxEvents)
)

// evidence is what the API server has of an owner whose pods are refused; its zero value for nothing.
type evidence struct {
	// since distinguishes one row of refusals from another one.
	since string
	// text is what was said against the pods.
	text string
	// pods is how many the owner has.
	pods int32
}

// attempts are the reviews of one owner.
type attempts struct {
	asked, checked time.Time
	evidence       evidence
	// seen is when the evidence was first seen.
	seen time.Time
	// began is when the try began that is under way, without reports that it goes without the sidecar, pods is how many
	// there were then, and tries counts them.
	began   time.Time
	without bool
	pods    int32
	tries   int
	// rest is until when it goes without the sidecar because that has helped, and why is what was said before.
	rest time.Time
	why  string
}

// learn takes in what a check has shown.
func (a *attempts) learn(found evidence, now time.Time) {
	a.checked = now
	if a.without && (found.since != a.evidence.since || found.pods > a.pods) {
		a.rest, a.why = now.Add(resting), a.evidence.text
	}
	if found.since != a.evidence.since {
		*a = attempts{asked: a.asked, checked: now, seen: now, rest: a.rest, why: a.why}
	}
	a.evidence = found
}

// try returns why a pod is to be made without the sidecar, "" where it is not.
func (a *attempts) try(now time.Time) string {
	switch {
	case now.Before(a.rest):
		return a.why
	case a.evidence.text == "" || now.Sub(a.seen) < persisting:
		return ""
	case a.tries == 0 || now.Sub(a.began) >= sameTry:
		a.began, a.pods = now, a.evidence.pods
		a.without = a.tries%everyTry == 0
		a.tries++
	}
	if !a.without {
		return ""
	}
	return a.evidence.text
}

// Of returns what the API server has against the pods of the owner of a pod, where this one is better made without the
// sidecar; "" else, also where nothing is known. The caller is who posted the review. hasLimits reports that quotas are
// known: then the injection has made sure that the sidecar fits, and a quota that is exceeded is not its matter.
func (r *Refusals) Of(ctx context.Context, caller, namespace string, pod *corev1.Pod, hasLimits bool) string {
	owner, ok := ownerOf(caller, namespace, pod)
	if !ok {
		return ""
	}
	previous, done := r.review(owner, time.Now())
	if done != nil {
		defer done()
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		found, err := r.check(ctx, owner, previous)
		if err != nil {
			return "" // nothing is known
		}
		if !blames(found.text, hasLimits) {
			found = evidence{}
		}
		found.text = brief(found.text)
		r.learn(owner, found, time.Now())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.owners.get(owner); ok {
		if why := a.try(time.Now()); why != "" {
			return owner.kind + " " + owner.name + ": " + why
		}
	}
	return ""
}

// ownerOf is the owner that a pod names, if it can be one.
func ownerOf(caller, namespace string, pod *corev1.Pod) (owner ownerKey, ok bool) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil || ref.UID == "" || len(ref.UID) > longestUID || len(ref.Name) > longestName || len(ref.Kind) > longestKind ||
		len(ref.APIVersion) > longestName+longestKind {
		return ownerKey{}, false
	}
	return ownerKey{share{caller, namespace}, ref.APIVersion, ref.Kind, ref.Name, ref.UID}, true
}

// review notes that a pod of an owner is asked about. It returns when the last one was, and what is to be called after
// a check of the owner; nil where it is not checked.
func (r *Refusals) review(owner ownerKey, now time.Time) (previous time.Time, done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.owners.get(owner)
	if !ok || now.Sub(a.asked) > forgotten {
		r.owners.put(owner.share, owner, &attempts{asked: now}, 1)
		return time.Time{}, nil
	}
	previous, a.asked = a.asked, now
	if now.Sub(a.checked) < checkEvery || !r.questions.allow(owner.share, now) {
		return previous, nil
	}
	if _, ok := r.under.try(owner.caller, 1); !ok {
		return previous, nil
	}
	a.checked = now // who is asked about meanwhile does not look as well
	return previous, func() { r.under.give(owner.caller, 1) }
}

func (r *Refusals) learn(owner ownerKey, found evidence, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.owners.get(owner); ok {
		a.learn(found, now)
	}
}

// check asks the API server about an owner. Where another object has its name, nothing is known.
func (r *Refusals) check(ctx context.Context, owner ownerKey, since time.Time) (evidence, error) {
	var uid types.UID
	var pods int32
	var conditions []metav1.Condition
	add := func(kind string, status corev1.ConditionStatus, reason, message string, since metav1.Time) {
		conditions = append(conditions, metav1.Condition{
			Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, LastTransitionTime: since,
		})
	}
	switch {
	case owner.kind == "ReplicaSet" && owner.apiVersion == "apps/v1":
		set, err := r.client.AppsV1().ReplicaSets(owner.namespace).Get(ctx, owner.name, metav1.GetOptions{})
		if err != nil {
			return evidence{}, err
		}
		uid, pods = set.UID, set.Status.Replicas
		for _, c := range set.Status.Conditions {
			add(string(c.Type), c.Status, c.Reason, c.Message, c.LastTransitionTime)
		}
	case owner.kind == "ReplicationController" && owner.apiVersion == "v1":
		set, err := r.client.CoreV1().ReplicationControllers(owner.namespace).Get(ctx, owner.name, metav1.GetOptions{})
		if err != nil {
			return evidence{}, err
		}
		uid, pods = set.UID, set.Status.Replicas
		for _, c := range set.Status.Conditions {
			add(string(c.Type), c.Status, c.Reason, c.Message, c.LastTransitionTime)
		}
	default:
		return r.events(ctx, owner, since)
	}
	if uid != owner.uid {
		return evidence{}, errAnother
	}
	for _, c := range conditions {
		if c.Type == replicaFailure && c.Status == metav1.ConditionTrue && c.Reason == failedCreate {
			return evidence{since: c.LastTransitionTime.String(), text: c.Message, pods: pods}, nil
		}
	}
	return evidence{}, nil
}

// replicaFailure is the condition of a ReplicaSet or ReplicationController while a pod cannot be made or deleted.
const replicaFailure = "ReplicaFailure"

// events looks for the newest event that says that a pod of an owner could not be made.
func (r *Refusals) events(ctx context.Context, owner ownerKey, since time.Time) (evidence, error) {
	selector := fields.Set{"involvedObject.uid": string(owner.uid), "reason": failedCreate}.AsSelector().String()
	list, err := r.client.CoreV1().Events(owner.namespace).List(ctx, metav1.ListOptions{FieldSelector: selector, Limit: maxEvents})
	switch {
	case err != nil:
		return evidence{}, err
	case list.Continue != "": // the newest may be among those that were not sent
		return evidence{}, errTooManyEvents
	}
	newest, text := since.Add(-recent), ""
	for i := range list.Items {
		e := &list.Items[i]
		about := e.InvolvedObject
		if about.UID != owner.uid || about.Kind != owner.kind || about.Name != owner.name || e.Reason != failedCreate {
			continue
		}
		if at := lastTime(e); at.After(newest) {
			newest, text = at, e.Message
		}
	}
	if text == "" {
		return evidence{}, nil
	}
	return evidence{since: "events", text: text}, nil
}

// lastTime is when an event happened last.
func lastTime(e *corev1.Event) time.Time {
	times := []time.Time{e.LastTimestamp.Time, e.EventTime.Time, e.FirstTimestamp.Time}
	if e.Series != nil {
		times = append(times, e.Series.LastObservedTime.Time)
	}
	return slices.MaxFunc(times, time.Time.Compare)
}

// blames reports whether what was said may be about the sidecar. It is the API server's text, so that it is not sure: what is
// known to be about something else is not, and all else has to be a refusal rather than a failure.
func blames(text string, hasLimits bool) bool {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	switch {
	case has("error looking up service account", "no PriorityClass with name", "RuntimeClass", "failed calling webhook", "being terminated", "object is being deleted"):
		return false
	case hasLimits && has("exceeded quota"):
		return false
	}
	return has("forbidden", "Forbidden", "denied", "is invalid", "violates")
}

// brief is the beginning of a text, in one line.
func brief(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	end := 0
	for i, r := range text {
		if i+len(string(r)) > longestRefusal {
			return text[:end] + "…"
		}
		end = i + len(string(r))
	}
	return text
}
