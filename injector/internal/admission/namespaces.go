package admission

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

// Namespaces reads the annotations that are defaults for the pods of a namespace.
type Namespaces struct {
	client kubernetes.Interface

	mu    sync.Mutex
	known map[string]defaults
}

type defaults struct {
	annotations map[string]string
	read        time.Time
}

// NewNamespaces returns a reader that knows no namespace yet.
func NewNamespaces(client kubernetes.Interface) *Namespaces {
	return &Namespaces{client: client, known: map[string]defaults{}}
}

// Defaults returns the annotations of a namespace that are inpod's. A namespace that cannot be read now has those that
// were read last, and otherwise it is an error: without its defaults a pod might get something else than it should.
func (n *Namespaces) Defaults(ctx context.Context, name string) (map[string]string, error) {
	n.mu.Lock()
	known, isKnown := n.known[name]
	n.mu.Unlock()
	if isKnown && time.Since(known.read) < freshness {
		return known.annotations, nil
	}
	ctx, cancel := context.WithTimeout(ctx, namespaceTimeout)
	defer cancel()
	namespace, err := n.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case err == nil:
	case isKnown && !apierrors.IsNotFound(err):
		return known.annotations, nil
	default:
		return nil, fmt.Errorf("read the defaults of namespace %s: %w", name, err)
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
