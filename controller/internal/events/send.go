package events

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// series is an Event that is in the cluster.
type series struct {
	name  string
	count int32
}

// send writes what waits of an event. An error means that it is worth another attempt.
func (w *Writer) send(ctx context.Context, e event) error {
	w.mu.Lock()
	o, ok := w.waiting[e]
	w.mu.Unlock()
	if !ok {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := w.write(bounded, e, o)
	switch {
	case err == nil:
		w.metrics.add(resultWritten, 1)
	case ctx.Err() != nil:
		return err
	case final(err):
		w.lost(e, err.Error())
	case time.Since(o.first) > tooOld:
		w.lost(e, "given up after "+tooOld.String()+": "+err.Error())
	default:
		return err
	}
	w.done(e, o)
	return nil
}

// done drops what was written. What has come meanwhile waits on.
func (w *Writer) done(e event, sent occurrences) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.waiting[e]
	if o.count == sent.count {
		delete(w.waiting, e)
		return
	}
	w.lastID++
	w.waiting[e] = occurrences{count: o.count - sent.count, first: o.last, last: o.last, id: w.lastID}
	w.queue.Add(e)
}

func (w *Writer) write(ctx context.Context, e event, o occurrences) error {
	namespace := cmp.Or(e.about.Namespace, metav1.NamespaceDefault)
	if known, ok := w.written.Get(e); ok {
		s, _ := known.(series)
		s.count += o.count
		err := w.count(ctx, namespace, s, o)
		if err == nil {
			w.written.Add(e, s)
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		// The API server keeps an Event for an hour.
	}
	s := series{name: nameOf(e.about.Name, e.number(o)), count: o.count}
	_, err := w.options.Client.Events(namespace).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: s.name},
		InvolvedObject: e.about,
		Type:           e.kind, Reason: e.reason, Message: e.message, Count: o.count,
		FirstTimestamp: metav1.NewTime(o.first), LastTimestamp: metav1.NewTime(o.last),
		Source: corev1.EventSource{Component: w.options.Component}, ReportingController: w.options.Component,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating an Event: %w", err)
	}
	w.written.Add(e, s)
	return nil
}

// count writes that an event has happened again.
func (w *Writer) count(ctx context.Context, namespace string, s series, o occurrences) error {
	body, err := json.Marshal(map[string]any{"count": s.count, "lastTimestamp": metav1.NewTime(o.last)})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = w.options.Client.Events(namespace).Patch(ctx, s.name, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil {
		return fmt.Errorf("counting up an Event: %w", err)
	}
	return nil
}

// number makes the name of an Event: the same one for what is the same state, in each process.
func (e event) number(o occurrences) int64 {
	if e.matter == "" {
		return o.id
	}
	text := strings.Join([]string{string(e.about.UID), e.about.Kind, e.kind, e.reason, e.matter}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return int64(binary.BigEndian.Uint64(sum[:]) >> 1)
}

// nameOf is the name of the object and a number, as client-go makes it. A name has room for 253 characters.
func nameOf(object string, id int64) string {
	suffix := fmt.Sprintf(".%x", id)
	short := object[:min(len(object), validation.DNS1123SubdomainMaxLength-len(suffix))]
	return strings.TrimRight(short, ".-") + suffix
}

// final reports whether an error will be the same next time: the namespace is going, the right is missing, or the Event
// is not one.
func final(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) ||
		apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}
