//go:build e2e

package framework

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// until lists and then watches a resource until an object that exists satisfies the condition. A watch that the server
// ends is begun again.
func until(ctx context.Context, client rest.Interface, resource, namespace string, selector fields.Selector, condition func(runtime.Object) (bool, error)) error {
	for {
		done, err := untilOnce(ctx, client, resource, namespace, selector, condition)
		if done || err != nil {
			return err
		}
	}
}

func untilOnce(ctx context.Context, client rest.Interface, resource, namespace string, selector fields.Selector, condition func(runtime.Object) (bool, error)) (bool, error) {
	// An empty list begins the watch with what is there now.
	options := &metav1.ListOptions{FieldSelector: selector.String(), Watch: true}
	watcher, err := client.Get().Namespace(namespace).Resource(resource).VersionedParams(options, metav1.ParameterCodec).Watch(ctx)
	if err != nil {
		return false, err
	}
	defer watcher.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case event, open := <-watcher.ResultChan():
			if !open {
				return false, nil
			}
			if event.Type != watch.Added && event.Type != watch.Modified {
				continue
			}
			if done, err := condition(event.Object); done || err != nil {
				return done, err
			}
		}
	}
}

// ListAndWatch lists objects and watches them from there on, until the context ends. A watch that the server ends is begun
// again where it was.
func ListAndWatch(ctx context.Context, client rest.Interface, resource, namespace string, selectors metav1.ListOptions) (runtime.Object, watch.Interface, error) {
	request := func(options metav1.ListOptions) *rest.Request {
		options.LabelSelector, options.FieldSelector = selectors.LabelSelector, selectors.FieldSelector
		return client.Get().Namespace(namespace).Resource(resource).VersionedParams(&options, metav1.ParameterCodec)
	}
	list, err := request(metav1.ListOptions{}).Do(ctx).Get()
	if err != nil {
		return nil, nil, fmt.Errorf("%s of %s: %w", resource, namespace, err)
	}
	listed, err := meta.ListAccessor(list)
	if err != nil {
		return nil, nil, err
	}
	from := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		options.Watch = true
		return request(options).Watch(ctx)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, listed.GetResourceVersion(), from)
	if err != nil {
		return nil, nil, fmt.Errorf("watch %s of %s: %w", resource, namespace, err)
	}
	return list, watcher, nil
}

// AwaitObject waits until the object of a name satisfies a condition, and returns it.
func AwaitObject(ctx context.Context, client rest.Interface, resource, namespace, name string, condition func(runtime.Object) bool) (runtime.Object, error) {
	var last runtime.Object
	err := until(ctx, client, resource, namespace, named(name), func(object runtime.Object) (bool, error) {
		last = object
		return condition(object), nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s %s/%s: %w", resource, namespace, name, err)
	}
	return last, nil
}

func named(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }

// Events returns the events on an object with a reason, or all of them when the reason is empty.
func (c *Cluster) Events(ctx context.Context, w Workload, reason string) ([]corev1.Event, error) {
	list, err := c.Client.CoreV1().Events(w.Namespace).List(ctx, metav1.ListOptions{FieldSelector: about(w, reason).String()})
	if err != nil {
		return nil, fmt.Errorf("events on %s: %w", w, err)
	}
	return list.Items, nil
}

// AwaitEvent waits for an event on an object whose reason is the given one (any if it is empty) and whose message
// contains each of the texts. The error lists the events that were there instead.
func (c *Cluster) AwaitEvent(ctx context.Context, w Workload, reason string, texts ...string) (corev1.Event, error) {
	var found corev1.Event
	var others []string
	err := until(ctx, c.Client.CoreV1().RESTClient(), "events", w.Namespace, about(w, ""), func(object runtime.Object) (bool, error) {
		event, ok := object.(*corev1.Event)
		if !ok {
			return false, nil
		}
		if reason != "" && event.Reason != reason || !containsAll(event.Message, texts) {
			others = append(others, fmt.Sprintf("%s %s: %s", event.Type, event.Reason, event.Message))
			return false, nil
		}
		found = *event
		return true, nil
	})
	if err != nil {
		return found, fmt.Errorf("%s: waited for an event with reason %q and %q in its message; there were:\n  %s\n%w",
			w, reason, texts, strings.Join(others, "\n  "), err)
	}
	return found, nil
}

func about(w Workload, reason string) fields.Selector {
	terms := []fields.Selector{
		fields.OneTermEqualSelector("involvedObject.kind", w.Kind),
		fields.OneTermEqualSelector("involvedObject.name", w.Name),
	}
	if reason != "" {
		terms = append(terms, fields.OneTermEqualSelector("reason", reason))
	}
	return fields.AndSelectors(terms...)
}

func containsAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
