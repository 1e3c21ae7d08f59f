// Package digestkey decides which key every digest that leaves a process of inpod is made with: the bytes of one Secret
// per installation, made by whichever program needs it first.
//
// A plain hash of a short password can be guessed by anybody who may read the workload that carries it; a keyed one
// cannot. The key is random and lives as long as its Secret: a new one makes what was recorded with the old one
// unreadable, which costs new baselines and no rollout.
package digestkey

import (
	"context"
	"crypto/rand"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	// DataKey is the key of the Secret that holds the bytes.
	DataKey = "key"
	// Size is the number of bytes that are made, and the least that are accepted.
	Size = 32

	// fieldManager owns the fields that are written here.
	fieldManager = "inpod-digest-key"
)

// Ensure returns the bytes of the digest key in the Secret, which it creates when there is none. Programs and replicas
// that call it at the same time get the same bytes: the first to create the Secret wins. It needs the right to get
// this Secret and to create Secrets in the namespace.
func Ensure(ctx context.Context, client kubernetes.Interface, namespace, name string) ([]byte, error) {
	secrets := client.CoreV1().Secrets(namespace)
	found, err := secrets.Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return keyOf(found)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read the digest key in Secret %s/%s: %w", namespace, name, err)
	}
	created := newSecret(namespace, name)
	_, err = secrets.Create(ctx, created, metav1.CreateOptions{FieldManager: fieldManager})
	if err == nil {
		return created.Data[DataKey], nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("create Secret %s/%s for the digest key: %w", namespace, name, err)
	}
	if found, err = secrets.Get(ctx, name, metav1.GetOptions{}); err != nil {
		return nil, fmt.Errorf("read the digest key in Secret %s/%s, which another replica has just created: %w", namespace, name, err)
	}
	return keyOf(found)
}

func newSecret(namespace, name string) *corev1.Secret {
	key := make([]byte, Size)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process where the system has no randomness
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace,
			Labels: map[string]string{"app.kubernetes.io/name": "inpod", "app.kubernetes.io/component": "digest-key"},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{DataKey: key},
	}
}

// keyOf refuses a key that is too short to protect anything. It is not replaced here: its creator may rely on it.
func keyOf(secret *corev1.Secret) ([]byte, error) {
	key, ok := secret.Data[DataKey]
	if !ok {
		return nil, fmt.Errorf("the digest key is missing: Secret %s/%s has no key %q; delete the Secret and inpod makes a new one",
			secret.Namespace, secret.Name, DataKey)
	}
	if len(key) < Size {
		return nil, fmt.Errorf("key %q of Secret %s/%s has %d bytes, and a digest key needs at least %d; delete the Secret and inpod makes a new one",
			DataKey, secret.Namespace, secret.Name, len(key), Size)
	}
	return key, nil
}
