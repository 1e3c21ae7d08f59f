package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
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
	// namespaceTimeout leaves the API server time to wait for the answer.
	namespaceTimeout = 2 * time.Second
	// forgetAbove bounds the namespaces that are remembered.
	forgetAbove = 10_000
	// newPerSecond is how many namespaces that are not known one caller may ask about in a second, and newAtOnce in a moment. Each
	// is a request to the API server.
	newPerSecond = 20
	newAtOnce    = 50
	// maxCallers bounds the callers that are remembered.
	maxCallers = 256
)

// errUnknown is the reason why a namespace that was just not there is not asked for again.
var errUnknown = errors.New("it did not exist a moment ago")

// Namespaces reads the annotations that are defaults for the pods of a namespace.
type Namespaces struct {
	client kubernetes.Interface

	mu      sync.Mutex
	known   map[string]defaults
	callers map[string]*rate.Limiter
}

type defaults struct {
	annotations map[string]string
	read        time.Time
	// absent is why there are none: the namespace does not exist.
	absent error
}

// NewNamespaces returns a reader that knows no namespace yet.
func NewNamespaces(client kubernetes.Interface) *Namespaces {
	return &Namespaces{client: client, known: map[string]defaults{}, callers: map[string]*rate.Limiter{}}
}

// Defaults returns the annotations of a namespace that are inpod's. A namespace that cannot be read now has those that
// were read last, and otherwise it is an error: without its defaults a pod might get something else than it should. A
// caller can make the API server be asked about only so many namespaces that do not exist.
func (n *Namespaces) Defaults(ctx context.Context, caller, name string) (map[string]string, error) {
	if len(validation.IsDNS1123Label(name)) > 0 {
		return nil, fmt.Errorf("read the defaults of namespace %.63q: %w", name, errUnknown) // which may be of any length
	}
	known, isKnown, admitted := n.recall(caller, name, time.Now())
	switch {
	case isKnown && time.Since(known.read) < freshness:
		return known.annotations, known.absent
	case !admitted:
		return nil, fmt.Errorf("read the defaults of namespace %.63s: %s asks about too many namespaces that are not known", name, caller)
	}
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	namespace, err := n.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
	case apierrors.IsNotFound(err):
		n.remember(name, defaults{absent: fmt.Errorf("read the defaults of namespace %s: %w: %w", name, errUnknown, err), read: time.Now()})
		return nil, fmt.Errorf("read the defaults of namespace %s: %w", name, err)
	case isKnown && known.absent == nil:
		return known.annotations, nil
	default:
		return nil, fmt.Errorf("read the defaults of namespace %.63s: %w", name, err)
	}
	own := map[string]string{}
	for key, value := range namespace.Annotations {
		if strings.HasPrefix(key, annotation.Domain) {
			own[key] = value
		}
	}
	n.remember(name, defaults{annotations: own, read: time.Now()})
	return own, nil
}

// recall returns what is known of a namespace, and whether the caller may ask about one of which nothing is.
func (n *Namespaces) recall(caller, name string, now time.Time) (known defaults, isKnown, admitted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, isKnown = n.known[name]
	if isKnown && known.absent == nil {
		return known, true, true
	}
	limiter := n.callers[caller]
	if limiter == nil {
		if len(n.callers) >= maxCallers {
			clear(n.callers)
		}
		limiter = rate.NewLimiter(newPerSecond, newAtOnce)
		n.callers[caller] = limiter
	}
	fresh := isKnown && now.Sub(known.read) < freshness
	return known, isKnown, fresh || limiter.AllowN(now, 1)
}

func (n *Namespaces) remember(name string, d defaults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.known) >= forgetAbove {
		clear(n.known)
	}
	n.known[name] = d
}

// IsSystem tells the namespaces of Kubernetes itself.
func IsSystem(namespace string) bool {
	switch namespace {
	case metav1.NamespaceSystem, metav1.NamespacePublic, "kube-node-lease":
		return true
	}
	return false
}
