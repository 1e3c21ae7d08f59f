package objtest

import (
	"maps"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Value is the content of one key.
type Value struct {
	Text   string
	Binary bool
}

// Contents returns what a source has, nil for a source that is not there.
type Contents func(secret bool, name string) map[string]Value

// Seen is one file or variable of a container.
type Seen struct {
	Container string
	// Mount is where the volume is mounted, "" for a variable.
	Mount string
	// Name is the path below Mount, or the name of the variable.
	Name string
	// Live reports whether a running container sees it change.
	Live bool
}

// Kubelet returns what the containers of a pod see that starts now. It is written after collectData in
// pkg/volume/projected/projected.go, MakePayload in pkg/volume/configmap/configmap.go and makeEnvironmentVariables in
// pkg/kubelet/kubelet_pods.go of Kubernetes 1.37, but that it shows nothing in place of what is missing and required.
func Kubelet(spec *corev1.PodSpec, contents Contents) map[Seen]string {
	seen := map[Seen]string{}
	volumes := map[string]corev1.VolumeSource{}
	for _, v := range spec.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	for i, c := range append(append([]corev1.Container{}, spec.Containers...), spec.InitContainers...) {
		runsOnce := i >= len(spec.Containers) && (c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways)
		for _, m := range c.VolumeMounts {
			for file, text := range filesOf(volumes[m.Name], contents) {
				at := path.Clean("/" + m.SubPath)
				if m.SubPathExpr == "" && at != "/" && at != "/"+file && !strings.HasPrefix("/"+file, at+"/") {
					continue
				}
				seen[Seen{c.Name, m.MountPath, file, !runsOnce && m.SubPath == "" && m.SubPathExpr == ""}] = text
			}
		}
		for name, text := range variablesOf(c, contents) {
			seen[Seen{Container: c.Name, Name: name}] = text
		}
	}
	return seen
}

func filesOf(v corev1.VolumeSource, contents Contents) map[string]string {
	files := map[string]string{}
	switch {
	case v.ConfigMap != nil:
		payload(files, v.ConfigMap.Items, contents(false, v.ConfigMap.Name))
	case v.Secret != nil:
		payload(files, v.Secret.Items, contents(true, v.Secret.SecretName))
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			switch {
			case s.ConfigMap != nil:
				payload(files, s.ConfigMap.Items, contents(false, s.ConfigMap.Name))
			case s.Secret != nil:
				payload(files, s.Secret.Items, contents(true, s.Secret.Name))
			case s.DownwardAPI != nil:
				for _, item := range s.DownwardAPI.Items {
					files[path.Clean(item.Path)] = "of the pod"
				}
			case s.ServiceAccountToken != nil:
				files[path.Clean(s.ServiceAccountToken.Path)] = "a token"
			}
		}
	}
	return files
}

func payload(files map[string]string, items []corev1.KeyToPath, content map[string]Value) {
	if len(items) == 0 {
		for key, value := range content {
			files[key] = value.Text
		}
	}
	for _, item := range items {
		if value, ok := content[item.Key]; ok {
			files[path.Clean(item.Path)] = value.Text
		}
	}
}

func variablesOf(c corev1.Container, contents Contents) map[string]string {
	variables := map[string]string{}
	for _, from := range c.EnvFrom {
		content := map[string]Value{}
		if r := from.ConfigMapRef; r != nil {
			maps.Copy(content, contents(false, r.Name))
		}
		if r := from.SecretRef; r != nil {
			maps.Copy(content, contents(true, r.Name))
		}
		for key, value := range content {
			if !value.Binary {
				variables[from.Prefix+key] = value.Text
			}
		}
	}
	for _, e := range c.Env {
		value, known := Value{Text: e.Value}, true
		switch {
		case e.Value != "":
			for name, text := range variables {
				value.Text = strings.ReplaceAll(value.Text, "$("+name+")", text)
			}
		case e.ValueFrom == nil:
		case e.ValueFrom.ConfigMapKeyRef != nil:
			value, known = contents(false, e.ValueFrom.ConfigMapKeyRef.Name)[e.ValueFrom.ConfigMapKeyRef.Key]
		case e.ValueFrom.SecretKeyRef != nil:
			value, known = contents(true, e.ValueFrom.SecretKeyRef.Name)[e.ValueFrom.SecretKeyRef.Key]
		}
		if known && !value.Binary {
			variables[e.Name] = value.Text
		}
	}
	return variables
}
