package digestkey

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"

	"inpod.dev/inpod/internal/source"
)

const (
	// readTimeout bounds one read of the Secret: whoever waits for it works on with the key that it has.
	readTimeout = 10 * time.Second
	// doubtEvery is the least time between two reads because of a doubt.
	doubtEvery = 30 * time.Second
)

// KeeperOptions are what a [Keeper] needs. All fields are required.
type KeeperOptions struct {
	Client          kubernetes.Interface
	Namespace, Name string // of the Secret
	// Key is what [Ensure] has returned.
	Key        []byte
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Keeper has the digest key of a process, which may be lost or replaced while that runs. A process that has another key
// than the others reports it and takes theirs.
type Keeper struct {
	options  KeeperOptions
	replaced prometheus.Counter
	doubts   chan struct{}

	mu      sync.Mutex
	key     []byte
	trouble string // why the key could not be read the last time, "" if it could
}

// NewKeeper returns a keeper that has the key of the options.
func NewKeeper(options KeeperOptions) *Keeper {
	k := &Keeper{
		options: options, key: options.Key, doubts: make(chan struct{}, 1),
		replaced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "inpod_digest_key_replaced_total", Help: "Times at which the digest key differed from the one in memory and was taken in its place.",
		}),
	}
	options.Registerer.MustRegister(k.replaced)
	return k
}

// Key returns the key.
func (k *Keeper) Key() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key
}

// Renew reads the key again, and reports whether it is another one. If it cannot be read the former one stays.
func (k *Keeper) Renew(ctx context.Context) (replaced bool) {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	key, err := Ensure(bounded, k.options.Client, k.options.Namespace, k.options.Name)
	if ctx.Err() != nil {
		return false // stopped on purpose
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	log := k.options.Log.With("secret", k.options.Namespace+"/"+k.options.Name)
	switch {
	case err != nil:
		if k.trouble != err.Error() {
			log.Warn("reading the digest key failed, keeping the one in memory", "error", err)
		}
		k.trouble = err.Error()
		return false
	case bytes.Equal(key, k.key):
		k.trouble = ""
		return false
	}
	log.Warn("digest key replaced, using the new one", "former", idOf(k.key), "current", idOf(key))
	k.replaced.Inc()
	k.key, k.trouble = key, ""
	return true
}

// Doubt has the key read again soon, since something was met that was made with another one. It does not block.
func (k *Keeper) Doubt() {
	select {
	case k.doubts <- struct{}{}:
	default:
	}
}

// Replaced waits until the key is another one, and reports whether it is; false means that ctx has ended. It reads the
// key when there is a doubt, and after each interval; 0 for none.
func (k *Keeper) Replaced(ctx context.Context, interval time.Duration) bool {
	var due <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-due:
		case <-k.doubts:
		}
		if k.Renew(ctx) {
			return true
		}
		pause := time.NewTimer(doubtEvery)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// idOf names a key without giving it away, as baselines do.
func idOf(key []byte) string {
	digester, err := source.NewDigester(key)
	if err != nil {
		return ""
	}
	return digester.ID()
}
