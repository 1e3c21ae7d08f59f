package main

import (
	"strings"

	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/controller/internal/reloader"
	"inpod.dev/inpod/internal/kube"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// requirements are the permissions that the controller needs with this configuration. The chart grants exactly these.
func requirements(c config.Config, kinds workload.Table, namespace string) []kube.Requirement {
	watched, _ := c.Watched()
	if len(watched) == 0 {
		watched = []string{""}
	}
	var all list
	for _, one := range watched {
		all = append(all, watching(c, kinds, one)...)
	}
	if c.Bundles() {
		all.need("certificates.k8s.io", "clustertrustbundles", "", "", "to see the trust anchors that pods mount", "list", "watch")
	}
	return append(all, keeping(c, namespace)...)
}

// list is a list of permissions that grows.
type list []kube.Requirement

func (l *list) need(group, resource, namespace, name, why string, verbs ...string) {
	for _, verb := range verbs {
		*l = append(*l, kube.Requirement{Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name, Why: why})
	}
}

// watching are those that it needs to work in a namespace, or in all of them for "".
func watching(c config.Config, kinds workload.Table, watched string) []kube.Requirement {
	var all list
	for _, kind := range c.Scope.Sources() {
		if kind == source.SecretProviderClass {
			const group, why = "secrets-store.csi.x-k8s.io", "to see what the CSI driver rotates into pods"
			all.need(group, "secretproviderclasses", watched, "", why, "list", "watch")
			all.need(group, "secretproviderclasspodstatuses", watched, "", why, "list", "watch")
			continue
		}
		all.need("", strings.ToLower(string(kind))+"s", watched, "", "to see their changes", "list", "watch")
	}
	for _, kind := range kinds {
		all.need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to see what uses a ConfigMap or Secret", "list", "watch")
		all.need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to roll", "patch")
		switch kind.Name {
		case "CronJob":
			all.need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to start a Job of it", "get")
			all.need(kind.Resource.Group, "jobs", watched, "", "to start a Job of a CronJob, after a LIST of those that run", "list", "create", "delete")
		case "Job":
			all.need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to make it again", "get", "create", "delete")
		}
	}
	all.need("", "pods", watched, "", "to see whether those of a workload are older than a change, where nothing else shows it", "list")
	if c.InPlace.Enabled {
		all.need("", "pods", watched, "", "to see which carry the sidecar, and which asked for it and got none", "watch")
		all = append(all, kube.Requirement{
			Verb: "patch", Resource: "pods", Subresource: "status", Namespace: watched, Why: "to have their volumes refreshed at once",
		})
		if c.InPlace.Evict {
			all = append(all, kube.Requirement{
				Verb: "create", Resource: "pods", Subresource: "eviction", Namespace: watched, Why: "to replace pods that could not reload, within their PodDisruptionBudgets",
			})
		}
		if c.InPlace.Through != config.Direct {
			for _, verb := range []string{"get", "create"} { // the API server asks for the one or the other, by version
				all = append(all, kube.Requirement{
					Verb: verb, Resource: "pods", Subresource: "portforward", Namespace: watched,
					Why: "to ask sidecars through the API server, as --confirm-through says",
				})
			}
		}
	}
	all.need("", "events", watched, "", "to report why something rolled", "create", "patch")
	return all
}

// keeping are those that it needs once: on namespaces, and in its own.
func keeping(c config.Config, namespace string) []kube.Requirement {
	_, selector := c.Watched()
	var all list
	if selector != "" || c.Defaults() {
		all.need("", "namespaces", "", "", "to see which match --namespace-selector, and what is said on them for --namespace-defaults", "list", "watch")
	}
	all.need("", "secrets", namespace, c.DigestKeySecret, "to read the key of all digests", "get")
	all.need("", "secrets", namespace, "", "to make the key of all digests at the first start", "create")
	if c.MetaInfo {
		place, _ := c.Pod.Place()
		const why = "to write which build of inpod runs, with which settings"
		all.need("", "configmaps", place, reloader.MetaInfoName, why, "get", "update")
		all.need("", "configmaps", place, "", why, "create")
	}
	if c.Election.Enabled {
		all.need("coordination.k8s.io", "leases", namespace, c.Election.LeaseName, "to agree on one replica that acts", "get", "update")
		all.need("coordination.k8s.io", "leases", namespace, "", "to agree on one replica that acts", "create")
	}
	return all
}
