package kube

import (
	"fmt"
	"slices"
	"strings"
)

// MissingPermissionsError means that the API server answered and does not grant everything.
type MissingPermissionsError struct {
	Missing []Requirement
	User    string // "" when the server does not say it
}

// Error has one line per missing permission, and then the RBAC objects that grant them, ready for kubectl apply.
func (e *MissingPermissionsError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s may not do everything that inpod needs. Missing:\n", e.subject())
	for _, r := range e.Missing {
		fmt.Fprintf(&text, "  - %s", r.short())
		if r.Why != "" {
			fmt.Fprintf(&text, ", %s", r.Why)
		}
		text.WriteString("\n")
	}
	text.WriteString("Apply this as an administrator, or install with the chart, which grants it:\n")
	text.WriteString(e.manifest())
	return strings.TrimRight(text.String(), "\n")
}

// serviceAccount splits the user name of a service account; ok is false for another kind of user.
func (e *MissingPermissionsError) serviceAccount() (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(e.User, "system:serviceaccount:")
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, ":")
}

func (e *MissingPermissionsError) subject() string {
	if namespace, name, ok := e.serviceAccount(); ok {
		return fmt.Sprintf("ServiceAccount %s/%s", namespace, name)
	}
	if e.User != "" {
		return fmt.Sprintf("user %q", e.User)
	}
	return "the user of these credentials"
}

// manifest has a ClusterRole for what is needed in all namespaces and a Role for each namespace, with their bindings.
func (e *MissingPermissionsError) manifest() string {
	var text strings.Builder
	for _, namespace := range sortedNamespaces(e.Missing) {
		kind, place := "ClusterRole", ""
		if namespace != "" {
			kind, place = "Role", "\n  namespace: "+namespace
		}
		fmt.Fprintf(&text, `---
apiVersion: rbac.authorization.k8s.io/v1
kind: %s
metadata:
  name: inpod-missing%s
rules:
`, kind, place)
		for _, r := range rules(e.Missing, namespace) {
			text.WriteString(r.yaml())
		}
		fmt.Fprintf(&text, `---
apiVersion: rbac.authorization.k8s.io/v1
kind: %sBinding
metadata:
  name: inpod-missing%s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: %s
  name: inpod-missing
subjects:
%s`, kind, place, kind, e.subjectYAML())
	}
	return text.String()
}

func (e *MissingPermissionsError) subjectYAML() string {
	if namespace, name, ok := e.serviceAccount(); ok {
		return fmt.Sprintf("  - kind: ServiceAccount\n    name: %s\n    namespace: %s\n", name, namespace)
	}
	user := e.User
	if user == "" {
		user = "the-user-of-inpod"
	}
	return fmt.Sprintf("  - apiGroup: rbac.authorization.k8s.io\n    kind: User\n    name: %q\n", user)
}

// rule is one entry of a Role.
type rule struct {
	group     string
	name      string
	resources []string
	verbs     []string
}

// rules writes the requirements of one namespace with as few entries as possible: verbs of one resource together, then
// resources with the same verbs together.
func rules(requirements []Requirement, namespace string) []rule {
	var perResource []rule
	for _, r := range requirements {
		if r.Namespace != namespace {
			continue
		}
		at := slices.IndexFunc(perResource, func(known rule) bool {
			return known.group == r.Group && known.name == r.Name && known.resources[0] == r.object()
		})
		if at < 0 {
			perResource = append(perResource, rule{group: r.Group, name: r.Name, resources: []string{r.object()}})
			at = len(perResource) - 1
		}
		if !slices.Contains(perResource[at].verbs, r.Verb) {
			perResource[at].verbs = append(perResource[at].verbs, r.Verb)
		}
	}
	var merged []rule
	for _, r := range perResource {
		slices.Sort(r.verbs)
		at := slices.IndexFunc(merged, func(known rule) bool {
			return known.group == r.group && known.name == r.name && slices.Equal(known.verbs, r.verbs)
		})
		if at < 0 {
			merged = append(merged, r)
			continue
		}
		merged[at].resources = append(merged[at].resources, r.resources...)
	}
	return merged
}

func (r rule) yaml() string {
	text := fmt.Sprintf("  - apiGroups: [%q]\n    resources: [%s]\n", r.group, quoted(r.resources))
	if r.name != "" {
		text += fmt.Sprintf("    resourceNames: [%q]\n", r.name)
	}
	return text + fmt.Sprintf("    verbs: [%s]\n", quoted(r.verbs))
}

func quoted(words []string) string {
	list := make([]string, 0, len(words))
	for _, word := range words {
		list = append(list, fmt.Sprintf("%q", word))
	}
	return strings.Join(list, ", ")
}
