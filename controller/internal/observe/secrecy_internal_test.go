package observe

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"inpod.dev/inpod/internal/annotation"
	obj "inpod.dev/inpod/internal/objtest"
)

const planted = "correct-horse-battery-staple"

// planted values are wherever a Secret or ConfigMap can carry one, also in the copy that kubectl apply leaves.
func plantedObjects() (*corev1.ConfigMap, *corev1.Secret) {
	cm := obj.Binary(obj.ConfigMap("a", "k", planted), "b", planted)
	s := obj.Secret("a", "k", planted)
	s.StringData = map[string]string{"s": planted}
	for _, object := range []metav1.Object{cm, s} {
		object.SetAnnotations(map[string]string{corev1.LastAppliedConfigAnnotation: planted})
		object.SetLabels(map[string]string{"label": planted})
		object.SetManagedFields([]metav1.ManagedFieldsEntry{{FieldsV1: metav1.NewFieldsV1(planted)}})
	}
	return cm, s
}

func TestNoValueOfASourceStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cm, s := plantedObjects()
		l := open(t, objects(cm, s, obj.Deployment("web", obj.EnvFrom(obj.Sec("a")))))
		l.update(cm)
		l.update(s)
		synctest.Wait()
		checked := 0
		for _, informer := range l.cacheOf("").always {
			for _, object := range informer.GetStore().List() {
				checked++
				if path := find(reflect.ValueOf(object), planted, "item", map[uintptr]bool{}); path != "" {
					t.Errorf("the value is at %s", path)
				}
			}
		}
		if checked != 3 {
			t.Errorf("looked at %d items, want 3", checked)
		}
		// Nor what is kept beside the store.
		last := newLastSeen[*sourceItem]()
		for _, object := range []any{cm, s} {
			if _, err := reduceSource(object, annotation.NewChecker(annotation.DefaultKeys()), last); err != nil {
				t.Fatal(err)
			}
		}
		if path := find(reflect.ValueOf(last), planted, "history", map[uintptr]bool{}); path != "" {
			t.Errorf("the value is at %s", path)
		}
		if len(last.items) == 0 {
			t.Error("the history is empty: nothing was checked")
		}
	})
}

// find returns the way to a text, "" if it is not there.
func find(v reflect.Value, text, path string, seen map[uintptr]bool) string {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), text) {
			return path
		}
	case reflect.Pointer:
		// The local time zone is read from a file when somebody first asks for it, which may be another test.
		if v.IsNil() || seen[v.Pointer()] || v.Type() == reflect.TypeFor[*time.Location]() {
			return ""
		}
		seen[v.Pointer()] = true
		return find(v.Elem(), text, path, seen)
	case reflect.Interface:
		return find(v.Elem(), text, path, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if at := find(v.Field(i), text, path+"."+v.Type().Field(i).Name, seen); at != "" {
				return at
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			raw := make([]byte, v.Len())
			for i := range raw {
				raw[i] = byte(v.Index(i).Uint())
			}
			if bytes.Contains(raw, []byte(text)) {
				return path
			}
			return ""
		}
		for i := range v.Len() {
			if at := find(v.Index(i), text, fmt.Sprintf("%s[%d]", path, i), seen); at != "" {
				return at
			}
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if at := find(key, text, path+" (a key)", seen); at != "" {
				return at
			}
			if at := find(v.MapIndex(key), text, fmt.Sprintf("%s[%v]", path, key), seen); at != "" {
				return at
			}
		}
	default:
	}
	return ""
}

// The search has to be able to find something.
func TestFindFinds(t *testing.T) {
	t.Parallel()
	cm, s := plantedObjects()
	for _, object := range []any{cm, s, &struct{ hidden any }{map[string]any{"a": []any{planted}}}, [32]byte([]byte(planted + "1234"))} {
		if find(reflect.ValueOf(object), planted, "object", map[uintptr]bool{}) == "" {
			t.Errorf("%T: not found", object)
		}
	}
}

// An edit of a label shares the digests of the state before.
func TestTheSameContentIsKeptOnce(t *testing.T) {
	t.Parallel()
	last := newLastSeen[*sourceItem]()
	reduce := func(object any) *sourceItem {
		t.Helper()
		reduced, err := reduceSource(object, annotation.NewChecker(annotation.DefaultKeys()), last)
		item, ok := reduced.(*sourceItem)
		if err != nil || !ok {
			t.Fatalf("%T, %v", reduced, err)
		}
		return item
	}
	first := reduce(obj.Secret("a", "k", "0"))
	labeled := obj.Secret("a", "k", "0")
	labeled.Labels = map[string]string{"a": "b"}
	second := reduce(labeled)
	if reflect.ValueOf(first.keys).Pointer() != reflect.ValueOf(second.keys).Pointer() {
		t.Error("two copies of the same digests")
	}
	if again := reduce(second); again != second {
		t.Error("what is reduced already is reduced again; client-go transforms some objects twice")
	}
}

// 2,000 Secrets of 50 kB are 100 MB; what is kept of them is about 1 MB. Not parallel: it measures the memory.
func TestMemoryDoesNotGrowWithTheSizeOfValues(t *testing.T) { //nolint:paralleltest // see above
	const many, size = 2000, 50 << 10
	value := strings.Repeat("x", size)
	last := newLastSeen[*sourceItem]()
	items := make([]any, 0, many)
	before := heap()
	for i := range many {
		item, err := reduceSource(obj.Secret(fmt.Sprintf("secret-%d", i), "k", value+strconv.Itoa(i)), annotation.NewChecker(annotation.DefaultKeys()), last)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	each := (heap() - before) / many
	if each > 500 {
		t.Errorf("%d bytes are kept of each Secret", each)
	}
	t.Logf("%d bytes are kept of each Secret", each)
	runtime.KeepAlive(items)
	runtime.KeepAlive(last)
}

// What is kept of a workload does not depend on the size of its template.
func TestMemoryDoesNotGrowWithTheSizeOfTemplates(t *testing.T) { //nolint:paralleltest // it measures the memory
	const many = 1000
	last := newLastSeen[*workloadItem]()
	items := make([]any, 0, many)
	kind := kindOf(t, "Deployment")
	before := heap()
	for i := range many {
		nsCaches := []obj.Part{
			obj.Annotation("reloader.stakater.com/auto", "true"), obj.Annotation("note", strings.Repeat("x", 10_000)),
			obj.Mount(obj.CM("a")), obj.EnvFrom(obj.CM("b")),
		}
		for v := range 100 {
			nsCaches = append(nsCaches, obj.Var(fmt.Sprintf("VARIABLE_%d_%d", i, v), strings.Repeat("x", 100)))
		}
		item, err := reduceWorkload(obj.Deployment(fmt.Sprintf("web-%d", i), nsCaches...), kind, annotation.NewChecker(annotation.DefaultKeys()), last)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
	}
	each := (heap() - before) / many
	if each > 3500 {
		t.Errorf("%d bytes are kept of each Deployment", each)
	}
	t.Logf("%d bytes are kept of each Deployment", each)
	runtime.KeepAlive(items)
	runtime.KeepAlive(last)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
