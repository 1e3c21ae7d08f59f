package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"

	"inpod.dev/inpod/internal/patience"
)

// apiServer is as much of an API server as the controller uses: real HTTP with lists, streamed lists, watches and
// patches, on objects in memory. It speaks JSON, and reads protobuf.
type apiServer struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	changed  *sync.Cond // signals every change of what is below
	version  int
	objects  map[string]*unstructured.Unstructured // by resource and name: "configmaps shop/conf"
	watches  map[*stream]struct{}
	requests []string                 // that have begun, such as "PATCH deployments shop/web"
	denied   map[string]bool          // permissions that are not granted, such as "watch secrets"
	hold     map[string]chan struct{} // requests that wait until the channel is closed
	accepted func(request string)     // called when a write was done
}

// stream is one watch.
type stream struct {
	resource, namespace string
	events              chan metav1.WatchEvent
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{
		t: t, objects: map[string]*unstructured.Unstructured{}, watches: map[*stream]struct{}{},
		denied: map[string]bool{}, hold: map[string]chan struct{}{}, accepted: func(string) {},
	}
	s.changed = sync.NewCond(&s.mu)
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// target is what a request is about.
type target struct{ resource, namespace, name, sub string }

func (r target) key() string { return r.resource + " " + r.namespace + "/" + r.name }

// targetOf reads /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/SUB and its shorter forms.
func targetOf(path string) target {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 2
	if parts[0] == "apis" {
		skip = 3
	}
	if len(parts) < skip {
		return target{}
	}
	parts = parts[skip:]
	var r target
	if len(parts) > 2 && parts[0] == "namespaces" {
		r.namespace, parts = parts[1], parts[2:]
	}
	for i, field := range []*string{&r.resource, &r.name, &r.sub} {
		if i < len(parts) {
			*field = parts[i]
		}
	}
	return r
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body) // only then does a handler hear that the client has gone
	if err != nil {
		return
	}
	if r.URL.Path == "/version" {
		s.begin("GET version", r)
		reply(w, http.StatusOK, map[string]string{"gitVersion": "v1.37.2"})
		return
	}
	about := targetOf(r.URL.Path)
	verb := r.Method
	switch {
	case r.URL.Query().Get("watch") != "":
		verb = "WATCH"
	case r.Method == http.MethodGet && about.name == "":
		verb = "LIST"
	}
	request := strings.TrimSuffix(verb+" "+about.key(), " /")
	s.begin(request, r)
	switch {
	case about.resource == "selfsubjectaccessreviews":
		s.review(w, body)
	case verb == "WATCH":
		s.watch(w, r, about)
	case verb == "LIST":
		s.list(w, about)
	case verb == http.MethodGet:
		s.get(w, about)
	default:
		s.write(w, r, about, body)
		s.accepted(request)
	}
}

// begin notes a request, and keeps it waiting if that was asked for.
func (s *apiServer) begin(request string, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, request)
	held := s.hold[request]
	s.changed.Broadcast()
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}
}

func (s *apiServer) review(w http.ResponseWriter, body []byte) {
	review, err := decode(body)
	if err != nil {
		fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	verb, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", "verb")
	resource, _, _ := unstructured.NestedString(review.Object, "spec", "resourceAttributes", "resource")
	s.mu.Lock()
	allowed := !s.denied[verb+" "+resource]
	s.mu.Unlock()
	review.Object["status"] = map[string]any{"allowed": allowed}
	reply(w, http.StatusCreated, review)
}

func (s *apiServer) get(w http.ResponseWriter, about target) {
	s.mu.Lock()
	object, ok := s.objects[about.key()]
	s.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, about.key()+" not found")
		return
	}
	reply(w, http.StatusOK, object)
}

func (s *apiServer) list(w http.ResponseWriter, about target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items := []any{}
	for _, object := range s.matching(about) {
		items = append(items, object.Object)
	}
	kind := kindOf(about.resource)
	reply(w, http.StatusOK, map[string]any{
		"apiVersion": kind.GroupVersion().String(), "kind": kind.Kind + "List",
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.version)}, "items": items,
	})
}

// matching returns the objects of a resource, s.mu held. Labels and fields do not count.
func (s *apiServer) matching(about target) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, about.resource+" "+about.namespace) {
			found = append(found, s.objects[key])
		}
	}
	return found
}

// watch streams what is there, its end, and then each change.
func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, about target) {
	to := &stream{resource: about.resource, namespace: about.namespace, events: make(chan metav1.WatchEvent, 10_000)}
	kind := kindOf(about.resource)
	s.mu.Lock()
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		for _, object := range s.matching(about) {
			to.send("ADDED", object)
		}
		end := &unstructured.Unstructured{}
		end.SetGroupVersionKind(kind)
		end.SetResourceVersion(strconv.Itoa(s.version))
		end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		to.send("BOOKMARK", end)
	}
	s.watches[to] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watches, to)
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	for {
		select {
		case event := <-to.events:
			if json.NewEncoder(w).Encode(event) != nil || flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (to *stream) send(kind string, object *unstructured.Unstructured) {
	raw, _ := object.MarshalJSON()
	to.events <- metav1.WatchEvent{Type: kind, Object: runtime.RawExtension{Raw: raw}}
}

// write creates, replaces or patches.
func (s *apiServer) write(w http.ResponseWriter, r *http.Request, about target, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var (
		next *unstructured.Unstructured
		err  error
	)
	switch r.Method {
	case http.MethodPost, http.MethodPut:
		if next, err = decode(body); err != nil {
			break
		}
		about.name = next.GetName()
		before, exists := s.objects[about.key()]
		switch {
		case r.Method == http.MethodPost && exists:
			fail(w, http.StatusConflict, metav1.StatusReasonAlreadyExists, about.key()+" already exists")
			return
		case r.Method == http.MethodPut && (!exists || next.GetResourceVersion() != before.GetResourceVersion()):
			fail(w, http.StatusConflict, metav1.StatusReasonConflict, about.key()+" has changed")
			return
		}
	case http.MethodPatch:
		before, exists := s.objects[about.key()]
		if !exists {
			fail(w, http.StatusNotFound, metav1.StatusReasonNotFound, about.key()+" not found")
			return
		}
		next, err = patched(before, types.PatchType(r.Header.Get("Content-Type")), body)
	}
	if err != nil || next == nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL, err)
		fail(w, http.StatusBadRequest, metav1.StatusReasonBadRequest, "not understood")
		return
	}
	s.store(about, next)
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		partial := &unstructured.Unstructured{Object: map[string]any{"metadata": next.Object["metadata"]}}
		partial.SetGroupVersionKind(schema.GroupVersionKind{Group: "meta.k8s.io", Version: "v1", Kind: "PartialObjectMetadata"})
		next = partial
	}
	reply(w, http.StatusOK, next)
}

// store keeps an object and notifies the watches; s.mu is held.
func (s *apiServer) store(about target, object *unstructured.Unstructured) {
	s.version++
	object.SetResourceVersion(strconv.Itoa(s.version))
	if about.namespace != "" {
		object.SetNamespace(about.namespace)
	}
	if object.GetUID() == "" {
		object.SetUID(types.UID("uid-" + strconv.Itoa(s.version)))
	}
	object.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody", Operation: "Update", Time: new(metav1.Now())}})
	kind := "MODIFIED"
	if _, exists := s.objects[about.key()]; !exists {
		kind = "ADDED"
	}
	s.objects[about.key()] = object
	for to := range s.watches {
		if to.resource == about.resource && (to.namespace == "" || to.namespace == about.namespace) {
			to.send(kind, object)
		}
	}
	s.changed.Broadcast()
}

// put stores an object as a user would.
func (s *apiServer) put(objects ...runtime.Object) {
	s.t.Helper()
	for _, object := range objects {
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			s.t.Fatal(err)
		}
		next := &unstructured.Unstructured{Object: raw}
		kinds, _, err := scheme.Scheme.ObjectKinds(object)
		if err != nil {
			s.t.Fatal(err)
		}
		next.SetGroupVersionKind(kinds[0])
		resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
		s.mu.Lock()
		s.store(target{resource: resource.Resource, namespace: next.GetNamespace(), name: next.GetName()}, next)
		s.mu.Unlock()
	}
}

func patched(before *unstructured.Unstructured, form types.PatchType, patch []byte) (*unstructured.Unstructured, error) {
	raw, err := before.MarshalJSON()
	if err != nil {
		return nil, err
	}
	switch form {
	case types.StrategicMergePatchType:
		raw, err = strategicpatch.StrategicMergePatch(raw, patch, appsv1.Deployment{})
	case types.MergePatchType: // of maps and texts only, for which a strategic one does the same
		raw, err = strategicpatch.StrategicMergePatch(raw, patch, metav1.PartialObjectMetadata{})
		if before.GetKind() == "Event" {
			raw, err = strategicpatch.StrategicMergePatch(raw, patch, corev1.Event{})
		}
	default:
		err = fmt.Errorf("a patch of type %q", form)
	}
	if err != nil {
		return nil, err
	}
	after := &unstructured.Unstructured{}
	if err := after.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return after, nil
}

func decode(body []byte) (*unstructured.Unstructured, error) {
	object, kind, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, err
	}
	decoded := &unstructured.Unstructured{Object: raw}
	decoded.SetGroupVersionKind(*kind)
	return decoded, nil
}

func kindOf(resource string) schema.GroupVersionKind {
	return map[string]schema.GroupVersionKind{
		"configmaps":   corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		"secrets":      corev1.SchemeGroupVersion.WithKind("Secret"),
		"pods":         corev1.SchemeGroupVersion.WithKind("Pod"),
		"deployments":  appsv1.SchemeGroupVersion.WithKind("Deployment"),
		"statefulsets": appsv1.SchemeGroupVersion.WithKind("StatefulSet"),
		"daemonsets":   appsv1.SchemeGroupVersion.WithKind("DaemonSet"),
		"jobs":         batchv1.SchemeGroupVersion.WithKind("Job"),
		"cronjobs":     batchv1.SchemeGroupVersion.WithKind("CronJob"),
	}[resource]
}

func reply(w http.ResponseWriter, status int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func fail(w http.ResponseWriter, status int, reason metav1.StatusReason, message string) {
	reply(w, status, &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
		Code: int32(status), Reason: reason, Message: message,
	})
}

// await waits until a condition on the server's state holds.
func (s *apiServer) await(what string, holds func() bool) {
	s.t.Helper()
	ctx, cancel := patience.Context(s.t.Context(), patience.Usual)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !holds() {
		if ctx.Err() != nil {
			s.t.Fatalf("waited for: %s: %v; requests: %s", what, context.Cause(ctx), strings.Join(s.requests, ", "))
		}
		s.changed.Wait()
	}
}
