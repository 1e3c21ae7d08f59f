package digestkey_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"inpod.dev/inpod/internal/digestkey"
)

// keeping is a keeper with its cluster.
type keeping struct {
	*digestkey.Keeper

	t        *testing.T
	client   *fake.Clientset
	registry *prometheus.Registry
	log      bytes.Buffer
}

func keyOf(b byte) []byte { return bytes.Repeat([]byte{b}, digestkey.Size) }

func newKeeping(t *testing.T) *keeping {
	t.Helper()
	k := &keeping{
		t: t, client: fake.NewClientset(secretWith(map[string][]byte{digestkey.DataKey: keyOf(1)})), registry: prometheus.NewPedanticRegistry(),
	}
	k.Keeper = digestkey.NewKeeper(digestkey.KeeperOptions{
		Client: k.client, Namespace: namespace, Name: name, Key: keyOf(1), Log: slog.New(slog.NewTextHandler(&k.log, nil)), Registerer: k.registry,
	})
	return k
}

// replace puts another key into the Secret; nil deletes that.
func (k *keeping) replace(key []byte) {
	k.t.Helper()
	secrets := k.client.CoreV1().Secrets(namespace)
	var err error
	if key == nil {
		err = secrets.Delete(k.t.Context(), name, metav1.DeleteOptions{})
	} else {
		_, err = secrets.Update(k.t.Context(), secretWith(map[string][]byte{digestkey.DataKey: key}), metav1.UpdateOptions{})
	}
	if err != nil {
		k.t.Fatal(err)
	}
}

func TestAReplacedKeyIsReportedAndTaken(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	if k.Renew(t.Context()) || k.log.Len() > 0 {
		t.Errorf("the same key counts as another one: %s", k.log.String())
	}
	k.replace(keyOf(2))
	if !k.Renew(t.Context()) || !bytes.Equal(k.Key(), keyOf(2)) || k.Renew(t.Context()) {
		t.Error("the key is not taken, once")
	}
	k.replace(nil)
	if !k.Renew(t.Context()) || bytes.Equal(k.Key(), keyOf(2)) {
		t.Error("a lost key is not replaced")
	}
	if n := strings.Count(k.log.String(), "digest key replaced"); n != 2 || !strings.Contains(k.log.String(), namespace+"/"+name) {
		t.Errorf("log:\n%s", k.log.String())
	}
	families, err := k.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := families[0].GetMetric()[0].GetCounter().GetValue(); families[0].GetName() != "inpod_digest_key_replaced_total" || n != 2 {
		t.Errorf("%s %v, want 2", families[0].GetName(), n)
	}
}

func TestAKeyThatCannotBeReadLeavesTheFormerOne(t *testing.T) {
	t.Parallel()
	k := newKeeping(t)
	away := true
	k.client.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return away, (*corev1.Secret)(nil), errors.New("away")
	})
	k.replace(keyOf(2))
	for range 3 {
		if k.Renew(t.Context()) || !bytes.Equal(k.Key(), keyOf(1)) {
			t.Fatal("the key is another one")
		}
	}
	if n := strings.Count(k.log.String(), "reading the digest key failed"); n != 1 {
		t.Errorf("%d reports:\n%s", n, k.log.String())
	}
	away = false
	if !k.Renew(t.Context()) {
		t.Error("it is not read again")
	}
}

// The key is read when there is a doubt, and now and then where that is wanted; a doubt without reason costs little.
func TestAReplacedKeyIsNoticed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		interval time.Duration
		doubts   bool
		want     time.Duration
	}{
		"by a doubt":     {0, true, time.Hour},
		"by an interval": {time.Minute, false, time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := newKeeping(t)
				begun, replaced := time.Now(), make(chan time.Duration, 1)
				go func() {
					k.Replaced(t.Context(), c.interval)
					replaced <- time.Since(begun)
				}()
				if c.doubts {
					for range 100 {
						k.Doubt()
					}
				}
				time.Sleep(time.Hour)
				if n := len(k.client.Actions()); n > 60 || c.doubts && n > 2 {
					t.Errorf("the Secret was read %d times", n)
				}
				k.replace(keyOf(2))
				if c.doubts {
					k.Doubt()
				}
				if took := <-replaced; took > c.want {
					t.Errorf("noticed after %s", took)
				}
			})
		})
	}
}
