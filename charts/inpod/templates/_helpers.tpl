{{/* Name for labels. */}}
{{- define "inpod.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Full name of the release's objects. It is cut so that the longest suffix, "-digest-key", still fits into 63 characters.
*/}}
{{- define "inpod.fullname" -}}
{{- $name := include "inpod.name" . -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- end -}}
{{- $full | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels that select a program's pods; they never change. Call with (dict "root" $ "component" NAME). */}}
{{- define "inpod.selectorLabels" -}}
app.kubernetes.io/name: {{ include "inpod.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of an object of a program, with (dict "root" $ "component" NAME "extra" LABELS). */}}
{{- define "inpod.labels" -}}
{{- $own := fromYaml (include "inpod.selectorLabels" .) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "inpod" -}}
{{- $_ := set $own "app.kubernetes.io/version" (.root.Chart.AppVersion | replace "+" "_" | trunc 63) -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- toYaml (merge $own (default dict .extra) (default dict .root.Values.commonLabels)) -}}
{{- end -}}

{{/* The image of a program, with (dict "root" $ "component" NAME "image" OVERRIDES). */}}
{{- define "inpod.image" -}}
{{- $repository := default (printf "%s/%s" (trimSuffix "/" .root.Values.image.prefix) .component) .image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (coalesce .image.tag .root.Values.image.tag .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/*
Nine tenths of a memory quantity in bytes, for GOMEMLIMIT. Empty for a form that is not understood here (an exponent,
thousandths): the caller then takes the whole limit.
*/}}
{{- define "inpod.goMemLimit" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti|k|M|G|T)?$" $text -}}
{{- $units := dict "" 1 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $unit := get $units (regexFind "[A-Za-z]*$" $text) -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) $unit 0.9 | int64 -}}
{{- end -}}
{{- end -}}

{{/* The limit of the memory that GOMEMLIMIT follows, with the values of a program; empty where extraEnv sets it. */}}
{{- define "inpod.memoryLimit" -}}
{{- $names := list -}}
{{- range .extraEnv -}}{{- $names = append $names .name -}}{{- end -}}
{{- if not (has "GOMEMLIMIT" $names) -}}
{{- dig "limits" "memory" "" (default dict .resources) -}}
{{- end -}}
{{- end -}}
