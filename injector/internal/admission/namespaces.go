package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"

	"inpod.dev/inpod/internal/annotation"
)

const (
	// freshness is how old the defaults of a namespace may be. They are read, not watched: a read costs a few
	// milliseconds and one permission on one namespace, and a pod that is created right after its namespace was edited
	// gets what was written.
	freshness = time.Second
	// namespaceTimeout bounds a request whose review has its answer already, or gave up.
	namespaceTimeout = 10 * time.Second
	// maxDefaults bounds what is remembered of namespaces that exist, in bytes of their defaults and names, and maxAbsent those that
	// do not.
	maxDefaults = 8 << 20
	maxAbsent   = 4096
	// perNamespace is what one costs besides.
	perNamespace = 256
	// newPerSecond is how many namespaces that are not known one caller may ask about in a second, and newAtOnce in a moment.
	newPerSecond = 20
	newAtOnce    = 50
	// readsPerSecond and readsAtOnce bound how often those that are known may be read again for one caller; see questions.
	readsPerSecond = 100
	readsAtOnce    = 200
)

// errUnknown is the reason why a namespace that was just not there is not asked for again.
var errUnknown = errors.New("it did not exist a moment ago")

// Namespaces reads the annotations that are defaults for the pods of a namespace. There is one request at a time for each
// namespace, and a bound for all of them, whoever asks.
type Namespaces struct {
	client kubernetes.Interface
	// news are questions about namespaces that are not known, reads are those about others, and under has places for
	// both.
	news, reads *questions
	under       *pool

	mu sync.Mutex
	// known are those that exist, and absent those that did not, as rows of who asked about them.
	known, absent *rows[string, defaults]
	readings      map[string]*reading
}

// defaults are those of a namespace, as they were read.
type defaults struct {
	annotations map[string]string
	read        time.Time // zero when they never were
	// absent is why there are none: the namespace does not exist.
	absent error
}

// exists reports whether the namespace was there.
func (d defaults) exists() bool { return !d.read.IsZero() && d.absent == nil }

func (d defaults) isFresh() bool { return !d.read.IsZero() && time.Since(d.read) < freshness }

// reading is a request that is under way.
type reading struct {
	done        chan struct{} // closed when the rest is set
	annotations map[string]string
	err         error
}

// NewNamespaces returns a reader that knows no namespace yet.
func NewNamespaces(client kubernetes.Interface) *Namespaces {
	return &Namespaces{
		client: client, under: newPool(places),
		news: newQuestions(allowance{newPerSecond, newAtOnce}), reads: newQuestions(allowance{readsPerSecond, readsAtOnce}),
		known: newRows[string, defaults](maxDefaults), absent: newRows[string, defaults](maxAbsent), readings: map[string]*reading{},
	}
}

// Defaults returns the annotations of a namespace that are inpod's. A namespace that cannot be read now has those that
// were read last, and otherwise it is an error: without its defaults a pod might get something else than it should. A
// caller can make the API server be asked only so often.
func (n *Namespaces) Defaults(ctx context.Context, caller, name string) (map[string]string, error) {
	if len(validation.IsDNS1123Label(name)) > 0 {
		return nil, fmt.Errorf("read the defaults of namespace %.63q: %w", name, errUnknown) // which may be of any length
	}
	last, err := n.of(ctx, caller, name)
	if err != nil {
		return nil, fmt.Errorf("read the defaults of namespace %s: %w", name, err)
	}
	return last, nil
}

func (n *Namespaces) of(ctx context.Context, caller, name string) (map[string]string, error) {
	last, under := n.recall(name)
	if last.isFresh() {
		return last.annotations, last.absent
	}
	var err error
	if under == nil {
		under, err = n.ask(ctx, caller, name, last)
	}
	if err == nil {
		select {
		case <-under.done:
			err = under.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	switch {
	case err == nil:
		return under.annotations, nil
	case last.exists() && !apierrors.IsNotFound(err):
		return last.annotations, nil
	}
	return nil, err
}

// ask has the API server be asked about a namespace, if the caller may do that, and joins who does.
func (n *Namespaces) ask(ctx context.Context, caller, name string, last defaults) (*reading, error) {
	budget := n.news
	if last.exists() {
		budget = n.reads
	}
	if !budget.allow(share{caller: caller}, time.Now()) {
		return nil, fmt.Errorf("%s asks about too many namespaces", caller)
	}
	// A place is waited for before others learn that somebody asks: nobody waits for the place of another caller.
	done, err := n.under.take(ctx, caller, 1)
	if err != nil {
		return nil, err
	}
	under, isMine := n.begin(name)
	if !isMine {
		done()
		return under, nil
	}
	go func() {
		defer done()
		n.read(context.WithoutCancel(ctx), caller, name, under)
	}()
	return under, nil
}

// begin returns the request about a namespace that is under way, or has just been, and whether the caller has to make it.
func (n *Namespaces) begin(name string) (under *reading, isMine bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if joined := n.readings[name]; joined != nil {
		return joined, false
	}
	under = &reading{done: make(chan struct{})}
	if last := n.last(name); last.isFresh() {
		under.annotations, under.err = last.annotations, last.absent
		close(under.done)
		return under, false
	}
	n.readings[name] = under
	return under, true
}

// read makes a request. It is not given up when the one that asks is gone: others may have joined.
func (n *Namespaces) read(ctx context.Context, caller, name string, under *reading) {
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	at := time.Now()
	namespace, err := n.get(ctx, name)
	own, size := map[string]string{}, len(name)+perNamespace
	if err == nil {
		for key, value := range namespace.Annotations {
			if strings.HasPrefix(key, annotation.Domain) {
				own[key] = value
				size += len(key) + len(value)
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		under.annotations = own
		n.absent.remove(name)
		n.known.put(share{}, name, defaults{annotations: own, read: at}, size)
	case apierrors.IsNotFound(err):
		n.known.remove(name)
		n.absent.put(share{caller: caller}, name, defaults{absent: fmt.Errorf("%w: %w", errUnknown, err), read: at}, 1)
	}
	under.err = err
	delete(n.readings, name)
	close(under.done)
}

// get reads a namespace. A panic becomes an error: no review is above this goroutine to recover it, and it would end the
// injector.
func (n *Namespaces) get(ctx context.Context, name string) (namespace *corev1.Namespace, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			namespace, err = nil, fmt.Errorf("a fault: %v", cause)
		}
	}()
	return n.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
}

// recall returns what was read last of a namespace, and the request about it that is under way, nil for none.
func (n *Namespaces) recall(name string) (last defaults, under *reading) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last(name), n.readings[name]
}

// last is what was read last of a namespace. The caller holds the lock.
func (n *Namespaces) last(name string) defaults {
	if known, ok := n.known.get(name); ok {
		return known
	}
	absent, _ := n.absent.get(name)
	return absent
}

// IsSystem reports whether a namespace is Kubernetes' own.
func IsSystem(namespace string) bool {
	switch namespace {
	case metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease":
		return true
	}
	return false
}
