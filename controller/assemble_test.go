package main

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"inpod.dev/inpod/internal/digestkey"
)

// The digest key is read again at each term, and a leader that meets something of another key begins again with that one.
func TestALeaderWorksWithTheKeyThatThereIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keyOf := func(b byte) []byte { return bytes.Repeat([]byte{b}, digestkey.Size) }
		secret := func(b byte) *corev1.Secret {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "key"}, Data: map[string][]byte{digestkey.DataKey: keyOf(b)}}
		}
		client := fake.NewClientset(secret(1))
		replace := func(b byte) {
			if _, err := client.CoreV1().Secrets("n").Update(t.Context(), secret(b), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		keys := digestkey.NewKeeper(digestkey.KeeperOptions{
			Client: client, Namespace: "n", Name: "key", Key: keyOf(1), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		var worked []byte
		key := byte(0)
		lead := func() (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				withKey(ctx, keys, func() { key = keys.Key()[0] }, func(ctx context.Context) {
					worked = append(worked, key)
					<-ctx.Done()
				})
			}()
			time.Sleep(time.Minute)
			return func() { cancel(); <-ended }
		}
		stop := lead()
		stop()
		replace(2)
		stop = lead()
		replace(3)
		time.Sleep(time.Hour) // it goes on with its own as long as nothing shows another one
		keys.Doubt()
		time.Sleep(time.Minute)
		stop()
		if diff := cmp.Diff([]byte{1, 2, 3}, worked); diff != "" {
			t.Errorf("keys that were worked with (-want +got):\n%s", diff)
		}
	})
}
