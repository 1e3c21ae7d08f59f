package act

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/decide"
	"inpod.dev/inpod/internal/workload"
)

// operation is one operation of a JSON Patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// jsonPatch writes a JSON Patch for a kind whose lists the API server does not merge by names: what it changes stands at a
// position, and before each change it tests that there is what the decision was about. All other fields, also those that
// nobody here knows, stay as they are.
type jsonPatch struct {
	view     workload.View
	template string // pointer to the pod template
	ops      []operation
	// createsParent reports whether the patch makes a map or list which the object does not have. It would replace one
	// that came to be since, so that it holds for this version of the object only.
	createsParent bool
}

func (p *jsonPatch) add(op, path string, value any) {
	p.ops = append(p.ops, operation{op, path, value})
}

// jsonPatchFor is the counterpart of rolloutPatch for a kind.
func jsonPatchFor(kind workload.Kind) func(workload.View, config.Strategy, decide.Decision, map[string]string, time.Time) ([]byte, error) {
	return func(view workload.View, strategy config.Strategy, decision decide.Decision, annotations map[string]string, now time.Time) ([]byte, error) {
		if len(decision.ConfigHashes) == 0 {
			return nil, fmt.Errorf("a rollout without a config hash (%s)", decision.Reason) // the baseline alone would hide the change
		}
		if view.Shape == nil {
			return nil, fmt.Errorf("%s was read without its shape", view.Key)
		}
		p := &jsonPatch{view: view, template: pointer(kind.Path...)}
		p.annotate(annotations)
		hashes := decision.ConfigHashes
		if strategy == config.Annotations || view.Shape.Applied { // an annotation is what the next kubectl apply leaves alone
			value, err := lastReloadedFrom(hashes, now)
			if err != nil {
				return nil, err
			}
			p.annotateTemplate(annotation.LastReloadedFrom, value)
			hashes = nil
		}
		if err := p.variables(hashes, decision.Stale); err != nil {
			return nil, err
		}
		tests := []operation{{"test", "/metadata/uid", view.UID}}
		if p.createsParent && view.Version != 0 {
			tests = append(tests, operation{"test", "/metadata/resourceVersion", strconv.FormatUint(view.Version, 10)})
		}
		return encode(append(tests, p.ops...))
	}
}

// annotate writes annotations; no text removes one.
func (p *jsonPatch) annotate(annotations map[string]string) {
	at := pointer("metadata", "annotations")
	more := object{}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		_, has := p.view.Annotations[key]
		switch text := annotations[key]; {
		case text == "" && has:
			p.add("remove", at+pointer(key), nil)
		case text == "":
		case p.view.Shape.Annotated:
			p.add("add", at+pointer(key), text)
		default:
			more[key] = text
		}
	}
	if len(more) > 0 {
		p.createsParent = true
		p.add("add", at, more)
	}
}

func (p *jsonPatch) annotateTemplate(key, value string) {
	at := p.template + "/metadata"
	switch shape := p.view.Shape; {
	case shape.TemplateAnnotated:
		p.add("add", at+"/annotations"+pointer(key), value)
	case shape.TemplateMetadata:
		p.createsParent = true
		p.add("add", at+"/annotations", object{key: value})
	default:
		p.createsParent = true
		p.add("add", at, object{"annotations": object{key: value}})
	}
}

// variables writes the config hashes into the containers that they name, and removes the stale ones, as
// "container/NAME".
func (p *jsonPatch) variables(hashes []decide.ConfigHash, stale []string) error {
	written := map[string]bool{}
	for i, name := range p.view.Containers {
		if i >= len(p.view.Shape.Env) {
			break
		}
		var mine []decide.ConfigHash
		for _, hash := range hashes {
			if hash.Container == name && !written[hash.Variable] {
				written[hash.Variable] = true
				mine = append(mine, hash)
			}
		}
		var gone []int
		for variable, at := range p.view.Shape.Env[i].At {
			if slices.Contains(stale, name+"/"+variable) {
				gone = append(gone, at)
			}
		}
		if len(mine)+len(gone) > 0 {
			p.container(i, mine, gone)
		}
	}
	for _, hash := range hashes {
		if !written[hash.Variable] {
			return fmt.Errorf("there is no container %q for the variable %s", hash.Container, hash.Variable)
		}
	}
	return nil
}

// container edits the variables of one container. What is replaced comes first and what is removed next, from the end, so
// that no position moves before it is used.
func (p *jsonPatch) container(i int, hashes []decide.ConfigHash, gone []int) {
	env := p.view.Shape.Env[i]
	at := p.template + pointer("spec", "containers", strconv.Itoa(i))
	p.add("test", at+"/name", p.view.Containers[i])
	var more []any
	for _, hash := range hashes {
		variable := object{"name": hash.Variable, "value": hash.Hash}
		position, has := env.At[hash.Variable]
		if !has {
			more = append(more, variable)
			continue
		}
		p.add("test", at+pointer("env", strconv.Itoa(position), "name"), hash.Variable)
		p.add("replace", at+pointer("env", strconv.Itoa(position)), variable)
	}
	slices.Sort(gone)
	for _, position := range slices.Backward(gone) {
		for variable, where := range env.At {
			if where == position {
				p.add("test", at+pointer("env", strconv.Itoa(position), "name"), variable)
			}
		}
		p.add("remove", at+pointer("env", strconv.Itoa(position)), nil)
	}
	if len(more) > 0 && !env.Exists {
		p.createsParent = true
		p.add("add", at+"/env", more)
		return
	}
	for _, variable := range more {
		p.add("add", at+"/env/-", variable)
	}
}

// pointer is a JSON Pointer (RFC 6901) to a field below a field.
func pointer(fields ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var text strings.Builder
	for _, field := range fields {
		text.WriteString("/" + escape.Replace(field))
	}
	return text.String()
}

// failedTest reports whether a JSON Patch met an object that is not what it is about: a test failed, or a position does
// not exist. The API server answers 422 and says no more; what it says of an object that it does not accept has causes.
func failedTest(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsInvalid(err) && (status.ErrStatus.Details == nil || len(status.ErrStatus.Details.Causes) == 0)
}
