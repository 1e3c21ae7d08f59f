package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// checksAtOnce bounds the questions that are under way at the same time.
const checksAtOnce = 8

// Requirement is one permission that a program needs. The fields are those of RBAC.
type Requirement struct {
	Verb        string
	Group       string // "" is the core group
	Resource    string // plural, such as configmaps
	Subresource string // "" for the object itself
	Namespace   string // "" means all namespaces
	Name        string // "" means any object; verbs create, list and watch cannot be bound to a name
	Why         string // what does not work without it, as the end of a sentence: "to …"
}

// Probe asks the API server for each permission, with the credentials of the connection, and returns nil when it
// grants them all and a [*MissingPermissionsError] when it does not. In a cluster an API server that does not answer is asked
// again, as in [Connect].
func (c *Connection) Probe(ctx context.Context, requirements []Requirement) error {
	return c.retry(ctx, func(ctx context.Context) error {
		missing, err := Missing(ctx, c.Client, requirements)
		if err != nil {
			return c.explain(err)
		}
		if len(missing) == 0 {
			return nil
		}
		return &MissingPermissionsError{Missing: missing, User: whoAmI(ctx, c.Client)}
	})
}

// Missing returns the requirements that the API server does not grant to the user of the client, in the order given.
// The error means that the server could not be asked.
func Missing(ctx context.Context, client kubernetes.Interface, requirements []Requirement) ([]Requirement, error) {
	return missingBy(ctx, requirements, func(ctx context.Context, r Requirement) (bool, error) {
		return isAllowed(ctx, client, r)
	})
}

func missingBy(
	ctx context.Context, requirements []Requirement, isAllowed func(context.Context, Requirement) (bool, error),
) ([]Requirement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	denied := make([]bool, len(requirements))
	slots := make(chan struct{}, checksAtOnce)
	var checks sync.WaitGroup
	for i, requirement := range requirements {
		checks.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				return // one failure is enough to know that the server cannot be asked
			}
			allowed, err := isAllowed(ctx, requirement)
			if err != nil {
				cancel(fmt.Errorf("asking for the permission to %s: %w", requirement.short(), err))
				return
			}
			denied[i] = !allowed
		})
	}
	checks.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var missing []Requirement
	for i, requirement := range requirements {
		if denied[i] {
			missing = append(missing, requirement)
		}
	}
	return missing, nil
}

// isAllowed needs no permission of its own: every authenticated user may review its own access.
func isAllowed(ctx context.Context, client kubernetes.Interface, r Requirement) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.Verb, Group: r.Group, Resource: r.Resource, Subresource: r.Subresource,
			Namespace: r.Namespace, Name: r.Name,
		},
	}}
	answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// whoAmI returns the name of the user, or "" when the server does not say it.
func whoAmI(ctx context.Context, client kubernetes.Interface) string {
	answer, err := client.AuthenticationV1().SelfSubjectReviews().
		Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return ""
	}
	return answer.Status.UserInfo.Username
}

// object is the resource as RBAC writes it.
func (r Requirement) object() string {
	if r.Subresource != "" {
		return r.Resource + "/" + r.Subresource
	}
	return r.Resource
}

// short is such as: patch deployments.apps in all namespaces.
func (r Requirement) short() string {
	text := r.Verb + " " + r.object()
	if r.Group != "" {
		text += "." + r.Group
	}
	if r.Name != "" {
		text += fmt.Sprintf(" named %q", r.Name)
	}
	if r.Namespace == "" {
		return text + " in all namespaces"
	}
	return text + fmt.Sprintf(" in namespace %q", r.Namespace)
}

// sortedNamespaces returns the namespaces of the requirements; "" (all of them) is the first.
func sortedNamespaces(requirements []Requirement) []string {
	var namespaces []string
	for _, r := range requirements {
		namespaces = append(namespaces, r.Namespace)
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}
