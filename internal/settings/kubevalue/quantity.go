// Package kubevalue reads settings and checks values that are written as Kubernetes writes them.
//
// It is not part of package settings, which must not import Kubernetes: the sidecar uses that one, and has to stay small.
package kubevalue

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"inpod.dev/inpod/internal/settings"
)

// Quantity is an amount of processor time or memory.
func Quantity(field *resource.Quantity) settings.Value {
	parse := func(s string) (resource.Quantity, error) {
		q, err := resource.ParseQuantity(s)
		if err == nil && q.Sign() < 0 {
			err = strconv.ErrRange
		}
		return q, err
	}
	format := func(q resource.Quantity) string { return q.String() }
	return settings.Scalar(field, "QUANTITY", "a quantity: use such as 5m for processors, 64Mi for memory, or 0 for none", parse, format)
}

// ObjectName reports a value of the named setting that cannot be the name of an object.
func ObjectName(check *settings.Check, name, object string) {
	if faults := validation.IsDNS1123Subdomain(object); len(faults) > 0 {
		check.Wrong(name, "%q cannot be the name of an object: %s", object, strings.Join(faults, "; "))
	}
}

// Namespace reports a value of the named setting that cannot be the name of a namespace.
func Namespace(check *settings.Check, name, namespace string) {
	if faults := validation.IsDNS1123Label(namespace); len(faults) > 0 {
		check.Wrong(name, "%q cannot be the name of a namespace: %s", namespace, strings.Join(faults, "; "))
	}
}
