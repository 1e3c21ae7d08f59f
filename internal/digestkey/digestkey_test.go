package digestkey_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/digestkey"
)

const (
	namespace = "inpod-system"
	name      = "inpod-digest-key"
)

func secretWith(data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
}

func TestTheFirstCallCreatesTheKeyAndLaterCallsFindIt(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	first, err := digestkey.Ensure(t.Context(), client, namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != digestkey.Size || bytes.Equal(first, make([]byte, digestkey.Size)) {
		t.Errorf("the key is %x; want %d random bytes", first, digestkey.Size)
	}
	stored, err := client.CoreV1().Secrets(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{digestkey.DataKey: first}, stored.Data); diff != "" {
		t.Errorf("content of the Secret (-want +got):\n%s", diff)
	}
	second, err := digestkey.Ensure(t.Context(), client, namespace, name)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the second call = %x, %v; want the key of the first", second, err)
	}
}

func TestAKeyThatIsThereIsKept(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{7}, 40)
	got, err := digestkey.Ensure(t.Context(), fake.NewClientset(secretWith(map[string][]byte{digestkey.DataKey: key})), namespace, name)
	if err != nil || !bytes.Equal(got, key) {
		t.Errorf("Ensure = %x, %v; want %x", got, err, key)
	}
}

// Every replica of every program starts at the same time on a fresh installation.
func TestAllThatStartTogetherGetTheSameKey(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	const programs = 8
	keys := make([][]byte, programs)
	errs := make([]error, programs)
	var starts sync.WaitGroup
	for i := range programs {
		starts.Go(func() { keys[i], errs[i] = digestkey.Ensure(t.Context(), client, namespace, name) })
	}
	starts.Wait()
	for i := range programs {
		if errs[i] != nil || !bytes.Equal(keys[i], keys[0]) {
			t.Errorf("program %d has %x, %v; the first has %x", i, keys[i], errs[i], keys[0])
		}
	}
}

// The race itself: between our get and our create somebody else has created it.
func TestTheKeyOfWhoeverCameFirstWins(t *testing.T) {
	t.Parallel()
	theirs := bytes.Repeat([]byte{9}, digestkey.Size)
	client := fake.NewClientset()
	client.PrependReactor("create", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "secrets"}, name)
	})
	gets := 0
	client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		if gets++; gets == 1 {
			return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, name)
		}
		return true, secretWith(map[string][]byte{digestkey.DataKey: theirs}), nil
	})
	got, err := digestkey.Ensure(t.Context(), client, namespace, name)
	if err != nil || !bytes.Equal(got, theirs) {
		t.Errorf("Ensure = %x, %v; want %x", got, err, theirs)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	denied := func(verb string) func(*fake.Clientset) {
		return func(client *fake.Clientset) {
			client.PrependReactor(verb, "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, name, context.Canceled)
			})
		}
	}
	for name, tc := range map[string]struct {
		objects []runtime.Object
		prepare func(*fake.Clientset)
		want    []string // all of them in the message
	}{
		"a key that is too short": {
			objects: []runtime.Object{secretWith(map[string][]byte{"key": []byte("short-secret-value")})},
			want:    []string{"inpod-system/inpod-digest-key", "18 bytes", "at least 32", "delete the Secret"},
		},
		"a Secret without the key": {
			objects: []runtime.Object{secretWith(map[string][]byte{"other": make([]byte, 32)})},
			want:    []string{`no key "key"`, "delete the Secret"},
		},
		"no right to read it":   {prepare: denied("get"), want: []string{"read the digest key in Secret inpod-system/inpod-digest-key", "forbidden"}},
		"no right to create it": {prepare: denied("create"), want: []string{"create Secret inpod-system/inpod-digest-key", "forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewClientset(tc.objects...)
			if tc.prepare != nil {
				tc.prepare(client)
			}
			key, err := digestkey.Ensure(t.Context(), client, namespace, "inpod-digest-key")
			if err == nil {
				t.Fatalf("Ensure = %x; want an error", key)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error %q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "short-secret-value") {
				t.Errorf("the error %q reveals the key", err)
			}
		})
	}
}
