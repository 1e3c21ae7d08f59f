{{- define "inpod.controller.name" -}}
{{ include "inpod.fullname" . }}-controller
{{- end -}}

{{- define "inpod.controller.selectorLabels" -}}
{{ include "inpod.selectorLabels" (dict "root" . "component" "controller") }}
{{- end -}}

{{- define "inpod.controller.labels" -}}
{{ include "inpod.labels" (dict "root" . "component" "controller") }}
{{- end -}}

{{/*
Name of the cluster-wide role: cluster-wide names are shared by all releases, so it carries the namespace.
*/}}
{{- define "inpod.controller.clusterRoleName" -}}
{{ printf "%s-%s" (include "inpod.controller.name" .) .Release.Namespace }}
{{- end -}}

{{- define "inpod.controller.serviceAccountName" -}}
{{- $account := .Values.controller.serviceAccount -}}
{{- if $account.create -}}
{{- default (include "inpod.controller.name" .) $account.name -}}
{{- else -}}
{{- default "default" $account.name -}}
{{- end -}}
{{- end -}}

{{- define "inpod.controller.digestKeySecret" -}}
{{- default (printf "%s-digest-key" (include "inpod.fullname" .)) .Values.controller.config.digestKeySecret -}}
{{- end -}}

{{- define "inpod.controller.leaseName" -}}
{{- default (include "inpod.controller.name" .) .Values.controller.config.leaseName -}}
{{- end -}}

{{/* "true" when there is more than one replica. */}}
{{- define "inpod.controller.ha" -}}
{{- if gt (int .Values.controller.replicas) 1 -}}true{{- end -}}
{{- end -}}

{{/*
How pods are replaced. A rolling update is always written out: limits that the API server filled in would belong to
nobody, would stay when the type becomes Recreate, and would make that upgrade fail.
*/}}
{{- define "inpod.controller.strategy" -}}
{{- $strategy := .Values.controller.strategy | default (dict "type" (ternary "RollingUpdate" "Recreate" (eq (include "inpod.controller.ha" .) "true"))) -}}
{{- if and (eq (toString $strategy.type) "RollingUpdate") (not $strategy.rollingUpdate) -}}
{{- $strategy = dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0) -}}
{{- end -}}
{{- toYaml $strategy -}}
{{- end -}}

{{/* The namespaces to work in, separated by commas; empty means all. */}}
{{- define "inpod.controller.namespaces" -}}
{{- if .Values.namespaces -}}
{{- join "," .Values.namespaces -}}
{{- else if not .Values.watchGlobally -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}

{{- define "inpod.controller.port" -}}
{{- regexFind "[0-9]+$" .Values.controller.config.listenAddress -}}
{{- end -}}

{{/*
The arguments: every key of controller.config that is set as the flag of the same name, in alphabetical order, then what
the chart knows itself.
*/}}
{{- define "inpod.controller.args" -}}
{{- $named := dict "leaseName" (include "inpod.controller.leaseName" .) "digestKeySecret" (include "inpod.controller.digestKeySecret" .) -}}
{{- range $key, $value := merge $named .Values.controller.config }}
{{- $text := ternary (join "," $value) (toString $value) (kindIs "slice" $value) }}
{{- if not (or (kindIs "invalid" $value) (eq $text "")) }}
- {{ printf "--%s=%s" (kebabcase $key) $text | quote }}
{{- end }}
{{- end }}
{{- if include "inpod.controller.ha" . }}
- "--enable-ha=true"
{{- end }}
{{- with include "inpod.controller.namespaces" . }}
- {{ printf "--namespaces=%s" . | quote }}
{{- end }}
{{- with include "inpod.controller.workloadKinds" . }}
- {{ printf "--workload-kinds=%s" . | quote }}
{{- end }}
{{- range .Values.controller.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The further kinds of workloads, as the program reads them. */}}
{{- define "inpod.controller.workloadKinds" -}}
{{- $kinds := list -}}
{{- range .Values.controller.workloadKinds -}}
{{- $resource := list .version .resource -}}
{{- if .group }}{{- $resource = prepend $resource .group -}}{{- end -}}
{{- $kind := printf "%s=%s" .kind (join "/" $resource) -}}
{{- if .templatePath }}{{- $kind = printf "%s:%s" $kind .templatePath -}}{{- end -}}
{{- $kinds = append $kinds $kind -}}
{{- end -}}
{{- join "," $kinds -}}
{{- end -}}

{{/* The resources of the sources that are watched. */}}
{{- define "inpod.controller.sources" -}}
{{- $sources := list -}}
{{- range list "configmaps" "secrets" -}}
{{- if not (has . $.Values.controller.config.resourcesToIgnore) -}}{{- $sources = append $sources . -}}{{- end -}}
{{- end -}}
{{- join ", " $sources -}}
{{- end -}}

{{/* What the controller does in the namespaces it works in; one text for the ClusterRole and for the Roles. */}}
{{- define "inpod.controller.watchRules" -}}
{{- with include "inpod.controller.sources" . }}
- apiGroups: [""]
  resources: [{{ . }}]
  verbs: [list, watch]
{{- end }}
{{- if and (or .Values.controller.config.namespaceSelector .Values.controller.config.namespaceDefaults) (not (include "inpod.controller.namespaces" .)) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [list, watch, patch]
{{- $ignored := .Values.controller.config.ignoredWorkloadTypes }}
{{- if not (has "cronjobs" $ignored) }}
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, patch]
{{- end }}
{{- if not (has "jobs" $ignored) }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, patch, create, delete]
{{- else if not (has "cronjobs" $ignored) }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, create, delete]
{{- end }}
{{- if .Values.controller.config.enableCsiIntegration }}
- apiGroups: [secrets-store.csi.x-k8s.io]
  resources: [secretproviderclasses, secretproviderclasspodstatuses]
  verbs: [list, watch]
{{- end }}
{{- if and .Values.controller.config.clusterTrustBundles (not (include "inpod.controller.namespaces" .)) }}
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  verbs: [list, watch]
{{- end }}
{{- if .Values.controller.config.isArgoRollouts }}
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [list, watch, patch]
{{- end }}
{{- if .Values.controller.config.isOpenshift }}
- apiGroups: [apps.openshift.io]
  resources: [deploymentconfigs]
  verbs: [list, watch, patch]
{{- end }}
{{- range .Values.controller.workloadKinds }}
- apiGroups: [{{ default "" .group | quote }}]
  resources: [{{ .resource }}]
  verbs: [list, watch, patch]
{{- end }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list{{ if .Values.controller.config.reloadInPlace }}, watch{{ end }}]
{{- if .Values.controller.config.reloadInPlace }}
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
{{- if .Values.controller.config.evictFailedPods }}
# To replace pods that could not reload, within their PodDisruptionBudgets.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- end }}
{{- if has .Values.controller.config.confirmThrough (list "portforward" "auto") }}
# To ask sidecars through the API server. Which of the two it wants depends on its version.
- apiGroups: [""]
  resources: [pods/portforward]
  verbs: [get, create]
{{- end }}
{{- end }}
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "inpod.controller.subject" -}}
- kind: ServiceAccount
  name: {{ include "inpod.controller.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The scrape settings that ServiceMonitor and PodMonitor share; call with one of the two values. */}}
{{- define "inpod.controller.scrape" -}}
- port: http
  path: /metrics
  {{- if .honorLabels }}
  honorLabels: true
  {{- end }}
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
