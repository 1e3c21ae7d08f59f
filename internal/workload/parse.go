package workload

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Form is how a kind is written in a setting.
const Form = "KIND=GROUP/VERSION/RESOURCE or KIND=GROUP/VERSION/RESOURCE:PATH.TO.TEMPLATE, " +
	"such as CloneSet=apps.kruise.io/v1alpha1/clonesets or Service=serving.knative.dev/v1/services:spec.template"

var (
	kindName  = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
)

// Parse reads a kind from a setting. The error completes the sentence: "text": …
func Parse(text string) (Kind, error) {
	kind, rest, ok := strings.Cut(text, "=")
	if !ok {
		return Kind{}, errors.New("write " + Form)
	}
	if !kindName.MatchString(kind) {
		return Kind{}, fmt.Errorf("%q is not a kind: it begins with a capital letter, as in a manifest", kind)
	}
	name, path, hasPath := strings.Cut(rest, ":")
	if !hasPath {
		path = "spec.template"
	}
	resource, err := parseResource(name)
	if err != nil {
		return Kind{}, err
	}
	fields := strings.Split(path, ".")
	for _, field := range fields {
		if !fieldName.MatchString(field) {
			return Kind{}, fmt.Errorf("%q is not a path of fields, such as spec.template", path)
		}
	}
	return FromJSON(kind, resource, fields...), nil
}

func parseResource(text string) (schema.GroupVersionResource, error) {
	words := strings.Split(text, "/")
	if len(words) == 2 { // the group of the core has no name
		words = append([]string{""}, words...)
	}
	if len(words) != 3 {
		return schema.GroupVersionResource{}, fmt.Errorf("%q is not GROUP/VERSION/RESOURCE, such as apps.kruise.io/v1alpha1/clonesets", text)
	}
	group, version, resource := words[0], words[1], words[2]
	if faults := validation.IsDNS1123Subdomain(group); group != "" && len(faults) > 0 {
		return schema.GroupVersionResource{}, fmt.Errorf("%q is not an API group: %s", group, strings.Join(faults, "; "))
	}
	if faults := validation.IsDNS1035Label(version); len(faults) > 0 {
		return schema.GroupVersionResource{}, fmt.Errorf("%q is not an API version, such as v1: %s", version, strings.Join(faults, "; "))
	}
	if faults := validation.IsDNS1035Label(resource); len(faults) > 0 {
		return schema.GroupVersionResource{}, fmt.Errorf("%q is not a resource, which is the plural in lower case, such as clonesets: %s", resource, strings.Join(faults, "; "))
	}
	return schema.GroupVersionResource{Group: group, Version: version, Resource: resource}, nil
}
