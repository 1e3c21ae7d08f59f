package main

import (
	"strings"

	"inpod.dev/inpod/controller/internal/compat"
	"inpod.dev/inpod/controller/internal/config"
	"inpod.dev/inpod/internal/access"
	"inpod.dev/inpod/internal/source"
	"inpod.dev/inpod/internal/workload"
)

// requirements are the permissions that the controller needs with this configuration. The chart grants exactly these.
func requirements(c config.Config, kinds workload.Table, namespace string) []access.Requirement {
	namespaces, selector := c.Watched()
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	var all []access.Requirement
	need := func(group, resource, namespace, name, why string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, access.Requirement{
				Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name, Why: why,
			})
		}
	}
	for _, watched := range namespaces {
		for _, kind := range c.Scope.Sources() {
			if kind == source.SecretProviderClass {
				const group, why = "secrets-store.csi.x-k8s.io", "to see what the CSI driver rotates into pods"
				need(group, "secretproviderclasses", watched, "", why, "list", "watch")
				need(group, "secretproviderclasspodstatuses", watched, "", why, "list", "watch")
				continue
			}
			need("", strings.ToLower(string(kind))+"s", watched, "", "to see their changes", "list", "watch")
		}
		for _, kind := range kinds {
			need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to see what uses a ConfigMap or Secret", "list", "watch")
			need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to roll", "patch")
			switch kind.Name {
			case "CronJob":
				need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to start a Job of it", "get")
				need(kind.Resource.Group, "jobs", watched, "", "to start a Job of a CronJob, after a look at those that run", "list", "create", "delete")
			case "Job":
				need(kind.Resource.Group, kind.Resource.Resource, watched, "", "to make it again", "get", "create", "delete")
			}
		}
		if c.InPlace.Enabled {
			need("", "pods", watched, "", "to see which carry the sidecar", "list", "watch")
			all = append(all, access.Requirement{
				Verb: "patch", Resource: "pods", Subresource: "status", Namespace: watched, Why: "to have their volumes refreshed at once",
			})
		}
		need("", "events", watched, "", "to tell why something rolled", "create", "patch")
	}
	if selector != "" || c.Defaults() {
		need("", "namespaces", "", "", "to see which match --namespace-selector, and what is said on them for --namespace-defaults", "list", "watch")
	}
	need("", "secrets", namespace, c.DigestKeySecret, "to read the key of all digests", "get")
	need("", "secrets", namespace, "", "to make the key of all digests at the first start", "create")
	if c.MetaInfo {
		place, _ := c.Pod.Place()
		const why = "to write which build of inpod runs, with which settings"
		need("", "configmaps", place, compat.MetaInfoName, why, "get", "update")
		need("", "configmaps", place, "", why, "create")
	}
	if c.Election.Enabled {
		need("coordination.k8s.io", "leases", namespace, c.Election.LeaseName, "to agree on one replica that acts", "get", "update")
		need("coordination.k8s.io", "leases", namespace, "", "to agree on one replica that acts", "create")
	}
	return all
}
