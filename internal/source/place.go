package source

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Place is where several sources meet: the files of a volume, or the environment of a container. Of the layers that have a
// name, file or variable, the last one wins. A Place in which nothing can hide anything is nil.
type Place []Layer

// Layer is what one source, or something that is no source, gives to a Place.
type Layer struct {
	// Ref is the source. Without a name it is none: a token, a file of the downward API, the text of a variable. Their
	// names are always there, and no change of theirs is one of a source.
	Ref Ref
	// All reports whether each key is there, with Prefix before its name.
	All    bool
	Prefix string
	// Names are the others, in their order: of several with the same name, the last that is there wins.
	Names []Name
	// Texts are the names of variables that have a text. There may be very many, and nobody asks for more than whether one is
	// among them: only their hashes are kept.
	Texts []uint64
	// Environment reports whether binaryData is not there.
	Environment bool
	// Reads are variables whose values are part of the text of this one, as they are in the layers below.
	Reads []string
}

// Name is one file, by its path in the volume, or one variable.
type Name struct {
	// Key is the key of the source, "" where there is no source.
	Key string
	// Name is what it is called in the Place.
	Name string
}

// hashOf is FNV-1a.
func hashOf(name string) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(name) {
		hash = (hash ^ uint64(name[i])) * 1099511628211
	}
	return hash
}

// itemNames returns the files that items name.
func itemNames(items []corev1.KeyToPath) []Name {
	var names []Name
	for _, item := range items {
		names = append(names, Name{Key: item.Key, Name: cleanPath(item.Path)})
	}
	return names
}

// meets returns the layers as a Place, nil where nothing can hide anything: most volumes and environments.
func meets(layers []Layer) Place {
	seen := map[string]struct{}{}
	count := 0
	for _, l := range layers {
		if l.All && len(layers) > 1 {
			return layers
		}
		for _, n := range l.Names {
			seen[n.Name] = struct{}{}
		}
		count += len(l.Names)
	}
	if len(seen) < count {
		return layers
	}
	return nil
}

// below returns the part of a volume that a subPath shows. For a source without items the keys of the usage say it.
func (p Place) below(subPath string) Place {
	if subPath == "" || p == nil {
		return p
	}
	shown := slices.Clone(p)
	for i := range shown {
		shown[i].Names = slices.DeleteFunc(slices.Clone(shown[i].Names), func(n Name) bool {
			return n.Name != subPath && !strings.HasPrefix(n.Name, subPath+"/")
		})
	}
	return shown
}

// environment returns where the variables of a container meet, and for each entry of envFrom and of env its layer. In the
// kubelet an entry that is optional and has no content leaves a variable as it was.
func (w walk) environment(c *corev1.Container) (place Place, from, env []int) {
	var layers []Layer
	for i := range c.EnvFrom {
		from = append(from, len(layers))
		if ref := w.envFromRef(&c.EnvFrom[i]); ref.Name != "" {
			layers = append(layers, Layer{Ref: ref, All: true, Prefix: c.EnvFrom[i].Prefix, Environment: true})
		}
	}
	names := make(map[string]struct{}, len(c.Env))
	for i := range c.Env {
		variable := &c.Env[i]
		names[variable.Name] = struct{}{}
		env = append(env, len(layers))
		ref, key := w.envRef(variable)
		switch reads := references(variable.Value); {
		case ref.Name != "":
			layers = append(layers, Layer{Ref: ref, Names: []Name{{key, variable.Name}}, Environment: true})
		case maybeUnset(variable):
		case len(reads) == 0 && len(layers) > 0 && layers[len(layers)-1].Ref.Name == "":
			last := &layers[len(layers)-1]
			last.Texts = append(last.Texts, hashOf(variable.Name))
		default:
			layers = append(layers, Layer{Texts: []uint64{hashOf(variable.Name)}, Reads: reads})
		}
	}
	if len(names) == len(c.Env) && (len(c.EnvFrom) == 0 || len(layers) == 1) {
		return nil, from, env
	}
	for i := range layers {
		layers[i].Texts = slices.Clone(layers[i].Texts) // as large as it has to be
	}
	return slices.Clone(layers), from, env
}

func (w walk) envFromRef(e *corev1.EnvFromSource) Ref {
	switch {
	case e.ConfigMapRef != nil:
		return Ref{Kind: ConfigMap, Namespace: w.namespace, Name: e.ConfigMapRef.Name}
	case e.SecretRef != nil:
		return Ref{Kind: Secret, Namespace: w.namespace, Name: e.SecretRef.Name}
	}
	return Ref{}
}

func (w walk) envRef(e *corev1.EnvVar) (ref Ref, key string) {
	switch {
	case e.ValueFrom == nil:
	case e.ValueFrom.ConfigMapKeyRef != nil:
		return Ref{Kind: ConfigMap, Namespace: w.namespace, Name: e.ValueFrom.ConfigMapKeyRef.Name}, e.ValueFrom.ConfigMapKeyRef.Key
	case e.ValueFrom.SecretKeyRef != nil:
		return Ref{Kind: Secret, Namespace: w.namespace, Name: e.ValueFrom.SecretKeyRef.Name}, e.ValueFrom.SecretKeyRef.Key
	}
	return Ref{}, ""
}

// maybeUnset reports whether it is not known that a variable which no source gives is set: one from a file may lack it.
func maybeUnset(e *corev1.EnvVar) bool {
	return e.ValueFrom != nil && e.ValueFrom.FieldRef == nil && e.ValueFrom.ResourceFieldRef == nil
}

// references returns the variables that a text refers to as $(NAME).
func references(text string) []string {
	if !strings.Contains(text, "$(") {
		return nil
	}
	var names []string
	for {
		at := strings.IndexByte(text, '$')
		if at < 0 || at+1 == len(text) {
			return names
		}
		rest := text[at+1:]
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		switch {
		case rest[0] == '$': // an escaped dollar sign
			text = rest[1:]
		case rest[0] == '(' && closed:
			names = append(names, name)
			text = after
		default:
			text = rest
		}
	}
}
