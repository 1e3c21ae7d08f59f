// Package tests holds the chart to what users and the programs rely on. Its tests need helm (make test-chart); they
// render the chart and check objects, never text:
//
//	testdata/values/SET.yaml ──helm template──► text ──Parse──► Rendered ──► every test
//	                                             └── equal to ──► testdata/golden/SET.yaml (make generate)
//
// The programs are not imported here. Their own tests read the golden files instead, through [Golden], and check their
// flags and permissions against [Rendered.Args] and [Rendered.Permissions]; the golden files being current is checked
// here.
package tests

import (
	"bufio"
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"inpod.dev/inpod/internal/kube"
)

//go:embed testdata
var golden embed.FS

// Rendered is what the chart renders for one set of values.
type Rendered []Object

// Object is one rendered object: a type of client-go, or one of those in crd_types.go.
type Object interface {
	runtime.Object
	GetName() string
	GetNamespace() string
	GetLabels() map[string]string
}

// Sets are the names of the sets of values that have a golden file.
func Sets() ([]string, error) {
	entries, err := golden.ReadDir("testdata/golden")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".yaml"))
	}
	return names, nil
}

// Golden returns what the chart renders for testdata/values/SET.yaml as release "inpod" in namespace "inpod-system".
func Golden(set string) (Rendered, error) {
	text, err := golden.ReadFile("testdata/golden/" + set + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there is no golden file for the values %q: %w", set, err)
	}
	return Parse(text)
}

// Parse decodes rendered text. An unknown field, a duplicate one and a kind that is not known here are errors.
func Parse(text []byte) (Rendered, error) {
	var rendered Rendered
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return rendered, nil
		}
		if err != nil {
			return nil, err
		}
		if isEmpty(document) {
			continue
		}
		object, err := decode(document)
		if err != nil {
			return nil, fmt.Errorf("%w, in\n%s", err, document)
		}
		rendered = append(rendered, object)
	}
}

// isEmpty reports whether a document has nothing but comments, which a template that renders nothing leaves behind.
func isEmpty(document []byte) bool {
	for line := range bytes.Lines(document) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return false
		}
	}
	return true
}

func decode(document []byte) (Object, error) {
	var header struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal(document, &header); err != nil {
		return nil, err
	}
	if known, ok := crdTypes()[header.APIVersion+" "+header.Kind]; ok {
		return known, yaml.UnmarshalStrict(document, known)
	}
	codecs := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict)
	decoded, _, err := codecs.UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		return nil, err
	}
	object, ok := decoded.(Object)
	if !ok {
		return nil, fmt.Errorf("%s %s has no metadata", header.APIVersion, header.Kind)
	}
	return object, nil
}

// All returns the objects of one type, in the order of the text.
func All[T Object](rendered Rendered) []T {
	var found []T
	for _, object := range rendered {
		if typed, ok := object.(T); ok {
			found = append(found, typed)
		}
	}
	return found
}

// Deployment returns that of a component, such as "controller".
func (r Rendered) Deployment(component string) (*appsv1.Deployment, error) {
	for _, deployment := range All[*appsv1.Deployment](r) {
		if deployment.Labels["app.kubernetes.io/component"] == component {
			return deployment, nil
		}
	}
	return nil, fmt.Errorf("there is no Deployment of the %s", component)
}

// Args returns the arguments that the program of a component is started with.
func (r Rendered) Args(component string) ([]string, error) {
	deployment, err := r.Deployment(component)
	if err != nil {
		return nil, err
	}
	return deployment.Spec.Template.Spec.Containers[0].Args, nil
}

// Permissions returns what the service account of a component may do, one verb on one resource each, sorted.
func (r Rendered) Permissions(component string) ([]kube.Requirement, error) {
	deployment, err := r.Deployment(component)
	if err != nil {
		return nil, err
	}
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: deployment.Spec.Template.Spec.ServiceAccountName, Namespace: deployment.Namespace}
	var permissions []kube.Requirement
	for _, binding := range All[*rbacv1.ClusterRoleBinding](r) {
		if slices.Contains(binding.Subjects, account) {
			permissions = append(permissions, r.granted(binding.RoleRef, "")...)
		}
	}
	for _, binding := range All[*rbacv1.RoleBinding](r) {
		if slices.Contains(binding.Subjects, account) {
			permissions = append(permissions, r.granted(binding.RoleRef, binding.Namespace)...)
		}
	}
	slices.SortFunc(permissions, CompareRequirements)
	return permissions, nil
}

// Defaults returns the settings of a component in the text of values.yaml, COMPONENT.config, by the name of their flag.
func Defaults(values []byte, component string) (map[string]string, error) {
	var chart struct {
		Controller, Injector struct{ Config map[string]any }
	}
	if err := yaml.Unmarshal(values, &chart); err != nil {
		return nil, err
	}
	config := map[string]map[string]any{"controller": chart.Controller.Config, "injector": chart.Injector.Config}[component]
	if len(config) == 0 {
		return nil, fmt.Errorf("values.yaml has no %s.config", component)
	}
	settings := map[string]string{}
	for key, value := range config {
		if list, ok := value.([]any); ok {
			value = strings.Trim(fmt.Sprint(list), "[]")
		}
		settings[Flag(key)] = fmt.Sprint(value)
	}
	return settings, nil
}

// Flag is the name of the flag that a key such as settleMax stands for.
func Flag(key string) string {
	var name strings.Builder
	for _, letter := range key {
		if unicode.IsUpper(letter) {
			name.WriteByte('-')
		}
		name.WriteRune(unicode.ToLower(letter))
	}
	return name.String()
}

// CompareRequirements is the order of what Permissions returns.
func CompareRequirements(a, b kube.Requirement) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Group, b.Group), strings.Compare(a.Resource, b.Resource),
		strings.Compare(a.Subresource, b.Subresource), strings.Compare(a.Name, b.Name), strings.Compare(a.Verb, b.Verb))
}

// granted returns the rules of a role, bound in a namespace or, for "", everywhere.
func (r Rendered) granted(ref rbacv1.RoleRef, namespace string) []kube.Requirement {
	var permissions []kube.Requirement
	for _, object := range r {
		switch role := object.(type) {
		case *rbacv1.ClusterRole:
			if ref.Kind == "ClusterRole" && ref.Name == role.Name {
				permissions = append(permissions, flatten(role.Rules, namespace)...)
			}
		case *rbacv1.Role:
			if ref.Kind == "Role" && ref.Name == role.Name && namespace == role.Namespace {
				permissions = append(permissions, flatten(role.Rules, namespace)...)
			}
		}
	}
	return permissions
}

func flatten(rules []rbacv1.PolicyRule, namespace string) []kube.Requirement {
	var permissions []kube.Requirement
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, url := range rule.NonResourceURLs {
			permissions = append(permissions, kube.Requirement{Verb: strings.Join(rule.Verbs, ","), Resource: url})
		}
		for _, group := range rule.APIGroups {
			for _, object := range rule.Resources {
				resource, subresource, _ := strings.Cut(object, "/")
				for _, name := range names {
					for _, verb := range rule.Verbs {
						permissions = append(permissions, kube.Requirement{
							Verb: verb, Group: group, Resource: resource, Subresource: subresource, Namespace: namespace, Name: name,
						})
					}
				}
			}
		}
	}
	return permissions
}

// describe is such as: Role inpod-system/inpod-controller.
func describe(object Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if namespace := object.GetNamespace(); namespace != "" {
		return kind + " " + namespace + "/" + object.GetName()
	}
	return kind + " " + object.GetName()
}
