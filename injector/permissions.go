package main

import (
	"inpod.dev/inpod/injector/internal/config"
	"inpod.dev/inpod/internal/kube"
)

// requirements are the permissions that the injector needs with this configuration. The chart grants exactly these.
// Namespaces are those whose pods reach the webhook, which the injector does not know; without the right to read one its pods
// are admitted as they are, and the log says so.
func requirements(c config.Config) []kube.Requirement {
	var all []kube.Requirement
	need := func(group, resource, namespace, name, why string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, kube.Requirement{
				Verb: verb, Group: group, Resource: resource, Namespace: namespace, Name: name, Why: why,
			})
		}
	}
	own := c.Pod.Namespace
	need("", "secrets", own, "", "to make the key of all digests at the first start", "create")
	need("", "secrets", own, c.DigestKeySecret, "to read the key of all digests", "get")
	if c.Certificates.Directory != "" {
		return all
	}
	const (
		registration = "admissionregistration.k8s.io"
		webhooks     = "mutatingwebhookconfigurations"
	)
	need("", "secrets", own, c.Certificates.Secret, "to share the certificate of the webhook", "get", "list", "watch", "update")
	need(registration, webhooks, "", c.Webhook.Configuration, "to keep the caBundle of the webhook", "get", "list", "watch", "patch")
	need("coordination.k8s.io", "leases", own, c.Election.LeaseName, "to agree on one replica that renews the certificate", "get", "update")
	need("coordination.k8s.io", "leases", own, "", "to agree on one replica that renews the certificate", "create")
	return all
}
