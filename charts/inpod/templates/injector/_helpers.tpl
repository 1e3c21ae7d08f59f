{{/*
"true" when the injector is installed. The pods of its own namespace are never touched, so there is nothing for it to
do where inpod works in that namespace alone.
*/}}
{{- define "inpod.injector.enabled" -}}
{{- if .Values.injector.enabled -}}
{{- $others := without (splitList "," (include "inpod.controller.namespaces" .)) .Release.Namespace -}}
{{- if $others -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inpod.injector.name" -}}
{{ include "inpod.fullname" . }}-injector
{{- end -}}

{{- define "inpod.injector.selectorLabels" -}}
{{ include "inpod.selectorLabels" (dict "root" . "component" "injector") }}
{{- end -}}

{{- define "inpod.injector.labels" -}}
{{ include "inpod.labels" (dict "root" . "component" "injector") }}
{{- end -}}

{{/* Name of what is cluster-wide; such names are shared by all releases, so it carries the namespace. */}}
{{- define "inpod.injector.clusterName" -}}
{{ printf "%s-%s" (include "inpod.injector.name" .) .Release.Namespace }}
{{- end -}}

{{- define "inpod.injector.serviceAccountName" -}}
{{- $account := .Values.injector.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "inpod.injector.name" .) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "inpod.injector.leaseName" -}}
{{- default (include "inpod.injector.name" .) .Values.injector.config.leaseName -}}
{{- end -}}

{{- define "inpod.injector.certificateSecret" -}}
{{- default (printf "%s-tls" (include "inpod.injector.name" .)) .Values.injector.config.certificateSecret -}}
{{- end -}}

{{/* The Secret that somebody else fills with the certificate, empty when the injector issues its own. */}}
{{- define "inpod.injector.foreignSecret" -}}
{{- if .Values.injector.certManager.enabled -}}
{{- include "inpod.injector.certificateSecret" . -}}
{{- else -}}
{{- default "" .Values.injector.existingCertificate.secretName -}}
{{- end -}}
{{- end -}}

{{/* "true" where callers have to show a certificate. */}}
{{- define "inpod.injector.clientCA" -}}
{{- with .Values.injector.clientCA -}}
{{- if or .secretName .configMapName -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{- define "inpod.injector.port" -}}
{{- regexFind "[0-9]+$" .Values.injector.config.listenAddress -}}
{{- end -}}

{{- define "inpod.injector.webhookPort" -}}
{{- regexFind "[0-9]+$" .Values.injector.config.webhookAddress -}}
{{- end -}}

{{/*
The arguments: every key of injector.config as the flag of the same name, in alphabetical order, then what the chart
knows itself.
*/}}
{{- define "inpod.injector.args" -}}
{{- $config := deepCopy .Values.injector.config -}}
{{- $_ := set $config "leaseName" (include "inpod.injector.leaseName" .) -}}
{{- $_ := set $config "certificateSecret" (include "inpod.injector.certificateSecret" .) -}}
{{- $_ := set $config "sidecarPullPolicy" (default .Values.image.pullPolicy $config.sidecarPullPolicy) -}}
{{- range $key, $value := $config -}}
{{- if kindIs "slice" $value }}
{{- with $value }}
- {{ printf "--%s=%s" (kebabcase $key) (join "," .) | quote }}
{{- end -}}
{{- else if not (kindIs "invalid" $value) }}
- {{ printf "--%s=%v" (kebabcase $key) $value | quote }}
{{- end -}}
{{- end }}
- {{ printf "--digest-key-secret=%s" (include "inpod.controller.digestKeySecret" .) | quote }}
- {{ printf "--sidecar-image=%s" (include "inpod.image" (dict "root" . "component" "sidecar" "image" .Values.injector.sidecarImage)) | quote }}
- {{ printf "--webhook-configuration=%s" (include "inpod.injector.clusterName" .) | quote }}
- {{ printf "--webhook-service=%s" (include "inpod.injector.name" .) | quote }}
{{- if include "inpod.injector.foreignSecret" . }}
- "--certificate-directory=/etc/inpod/tls"
{{- end }}
{{- if include "inpod.injector.clientCA" . }}
- {{ printf "--client-ca-file=/etc/inpod/clients/%s" .Values.injector.clientCA.key | quote }}
{{- end }}
{{- if ne (toString .Values.injector.config.readLimits) "false" }}
{{- with include "inpod.controller.namespaces" . }}
- {{ printf "--limits-namespaces=%s" (join "," (without (splitList "," .) $.Release.Namespace)) | quote }}
{{- end }}
{{- end }}
{{- range .Values.injector.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* What it does in the namespaces whose pods it sees; one text for the ClusterRole and for the Roles. */}}
{{- define "inpod.injector.podRules" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- if ne (toString .Values.injector.config.readLimits) "false" }}
# What a sidecar may ask for.
- apiGroups: [""]
  resources: [limitranges, resourcequotas]
  verbs: [list, watch]
{{- end }}
{{- if ne (toString .Values.injector.config.onRefusal) "retry" }}
# Whether pods are refused: by the owner that was asked about before, or by the events about it.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [get]
- apiGroups: [""]
  resources: [replicationcontrollers]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}
{{- end -}}

{{/* What it does to its one webhook configuration, which is cluster-wide whatever the namespaces. */}}
{{- define "inpod.injector.webhookRules" -}}
- apiGroups: [admissionregistration.k8s.io]
  resources: [mutatingwebhookconfigurations]
  resourceNames: [{{ include "inpod.injector.clusterName" . }}]
  verbs: [get, list, watch, patch]
{{- end -}}

{{- define "inpod.injector.subject" -}}
- kind: ServiceAccount
  name: {{ include "inpod.injector.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The part that both webhooks share; call with (dict "root" $ "path" PATH "expressions" SELECTOR-EXPRESSIONS). */}}
{{- define "inpod.injector.webhook" -}}
{{- $webhook := .root.Values.injector.webhook -}}
{{- $excluded := concat (list "kube-system" "kube-public" "kube-node-lease" .root.Release.Namespace) (default list .root.Values.injector.config.excludeNamespaces) | uniq -}}
{{- $expressions := list (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $excluded) -}}
{{- with include "inpod.controller.namespaces" .root -}}
{{- $expressions = append $expressions (dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" (splitList "," .)) -}}
{{- end -}}
{{- $expressions = concat $expressions .expressions (default list $webhook.namespaceSelector.matchExpressions) -}}
clientConfig:
  service:
    name: {{ include "inpod.injector.name" .root }}
    namespace: {{ .root.Release.Namespace }}
    path: {{ .path }}
    port: 443
  {{- with .root.Values.injector.existingCertificate.caBundle }}
  caBundle: {{ . }}
  {{- end }}
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    resources: [pods]
    operations: [CREATE]
    scope: Namespaced
admissionReviewVersions: [v1]
sideEffects: None
failurePolicy: {{ $webhook.failurePolicy }}
timeoutSeconds: {{ int $webhook.timeoutSeconds }}
reinvocationPolicy: {{ $webhook.reinvocationPolicy }}
matchPolicy: Equivalent
namespaceSelector:
  {{- with $webhook.namespaceSelector.matchLabels }}
  matchLabels: {{- toYaml . | nindent 4 }}
  {{- end }}
  matchExpressions: {{- toYaml $expressions | nindent 4 }}
objectSelector: {{- toYaml $webhook.objectSelector | nindent 2 }}
{{- end -}}
