//go:build e2e

package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"inpod.dev/inpod/e2e/internal/framework"
	"inpod.dev/inpod/internal/annotation"
	"inpod.dev/inpod/internal/patience"
)

//go:embed manifests
var manifests embed.FS

// try ends the chapter with an error, if there is one, and reports whether it goes on.
func (d *demo) try(err error) bool {
	if d.err == nil {
		d.err = err
	}
	return d.err == nil
}

// fail ends the chapter; the text says what was expected and what was seen.
func (d *demo) fail(format string, args ...any) { d.try(fmt.Errorf("expected "+format, args...)) }

// apply applies a manifest and waits until its Deployment runs and inpod has recorded what it uses.
func (d *demo) apply(ctx context.Context, file, name string) {
	d.applyFile(ctx, file)
	w := framework.Deployment(namespace, name)
	wait, cancel := patience.Context(ctx, startPatience)
	defer cancel()
	if d.err != nil || !d.try(d.AwaitRollout(wait, w)) {
		return
	}
	_, err := d.Await(wait, w, "annotation "+annotation.Baseline, func(state framework.State) bool {
		return state.Annotations[annotation.Baseline] != ""
	})
	d.try(err)
	d.revisions[name] = 1
	d.check(ctx, name)
	d.ok("its pods are ready; inpod has recorded what they use (digests, in annotation %s) and rolled nothing", annotation.Baseline)
}

func (d *demo) applyFile(ctx context.Context, file string) {
	d.command("kubectl apply -f e2e/demo/manifests/%s", file)
	manifest, err := manifests.ReadFile("manifests/" + file)
	if d.try(err) {
		d.try(d.ApplyYAML(ctx, namespace, withImages(string(manifest), d.Env, os.Getenv)))
	}
}

// edit is a change of one key of a ConfigMap: a piece of its text for another one.
type edit struct{ configMap, key, from, to string }

// change applies an edit and shows it.
func (d *demo) change(ctx context.Context, e edit) {
	if d.err != nil {
		return
	}
	configMaps := d.Client.CoreV1().ConfigMaps(namespace)
	object, err := configMaps.Get(ctx, e.configMap, metav1.GetOptions{})
	if !d.try(err) {
		return
	}
	before := object.Data[e.key]
	if !strings.Contains(before, e.from) {
		d.fail("%q in key %s of ConfigMap %s, saw %q", e.from, e.key, e.configMap, before)
		return
	}
	after := strings.Replace(before, e.from, e.to, 1)
	d.command("kubectl -n %s edit configmap %s", namespace, e.configMap)
	d.print("%s", changedLines(e.key, before, after))
	patch, err := json.Marshal(map[string]any{"data": map[string]string{e.key: after}})
	if d.try(err) {
		_, err = configMaps.Patch(ctx, e.configMap, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: framework.FieldManager})
		d.try(err)
	}
}

// untouched checks that Deployments are as the story left them.
func (d *demo) untouched(ctx context.Context, names ...string) {
	for _, name := range names {
		d.check(ctx, name)
		d.ok("%s is as it was, at revision %d", name, d.revisions[name])
	}
}

// pods lists the pods of a Deployment.
func (d *demo) pods(ctx context.Context, name string) []corev1.Pod {
	if d.err != nil {
		return nil
	}
	pods, err := d.Pods(ctx, framework.Deployment(namespace, name))
	d.try(err)
	return pods
}

// inEach runs a command in each pod and checks what it prints.
func (d *demo) inEach(ctx context.Context, pods []string, want string, command ...string) {
	d.print("")
	d.command("kubectl -n %s exec POD -- %s", namespace, strings.Join(command, " "))
	for _, pod := range pods {
		if d.err != nil {
			return
		}
		out, err := d.Exec(ctx, namespace, pod, "nginx", command...)
		d.try(err)
		if out = strings.TrimSpace(out); out != want {
			d.fail("%q from %s in pod %s, saw %q", want, strings.Join(command, " "), pod, out)
		}
		d.print("      %s: %s", pod, out)
	}
}

// haveSidecar checks that every pod of a Deployment carries the sidecar.
func (d *demo) haveSidecar(ctx context.Context, name string) {
	for _, pod := range d.pods(ctx, name) {
		if pod.Labels[annotation.InjectedLabel] != "true" {
			d.fail("the sidecar in pod %s, saw annotation %s: %q", pod.Name, annotation.InjectionRecord, pod.Annotations[annotation.InjectionRecord])
		}
	}
	d.ok("the injector has added the sidecar to each pod of %s (annotation %s says what and why)", name, annotation.InjectionRecord)
}

// alone makes sure that no other inpod would act in the namespace: two of them would count each other's edits.
func (d *demo) alone(ctx context.Context) {
	list, err := d.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=inpod,app.kubernetes.io/component=controller",
	})
	if !d.try(err) {
		return
	}
	for _, other := range list.Items {
		if other.Namespace != release().Namespace && watches(other.Spec.Template.Spec, namespace) {
			instance := other.Labels["app.kubernetes.io/instance"]
			d.fail("no other inpod that watches namespace %s, saw release %s; helm uninstall %[2]s -n %[3]s removes it", namespace, instance, other.Namespace)
		}
	}
}

// watches reports whether a controller with these arguments works in a namespace. It does not matter which annotations it
// reads: pods that ask for the sidecar are everybody's.
func watches(pod corev1.PodSpec, name string) bool {
	for _, argument := range pod.Containers[0].Args {
		if list, found := strings.CutPrefix(argument, "--namespaces="); found {
			return slices.Contains(strings.Split(list, ","), name)
		}
	}
	return true
}
