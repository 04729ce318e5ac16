{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The watched namespaces, as a JSON list; empty for all. */}}
{{- define "penstock.watched" -}}
{{- concat .Values.watchNamespaces (list .Values.watchNamespace) | compact | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* The one watched namespace, or that of the release: where a test may try something. */}}
{{- define "penstock.testNamespace" -}}
{{- include "penstock.watched" . | fromJsonArray | first | default .Release.Namespace -}}
{{- end -}}

{{/* Selects the watched namespaces; nothing for all. */}}
{{- define "penstock.namespaceSelector" -}}
{{- with include "penstock.watched" . | fromJsonArray -}}
namespaceSelector:
  {{- if eq (len .) 1 }}
  matchLabels: {kubernetes.io/metadata.name: {{ first . }}}
  {{- else }}
  matchExpressions:
    - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Name of cluster-scoped objects: unique for the watched namespaces, since there may be a release for each. */}}
{{- define "penstock.clusterName" -}}
{{- $watched := include "penstock.watched" . | fromJsonArray -}}
{{- if eq (len $watched) 1 -}}
{{- printf "%s-%s" (include "penstock.fullname" .) (first $watched) -}}
{{- else if $watched -}}
{{- printf "%s-%s" (include "penstock.fullname" .) (join "," $watched | sha256sum | trunc 10) -}}
{{- else -}}
{{- include "penstock.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "penstock.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. To set a component other than "operator", pass (list . "component"). */}}
{{- define "penstock.labels" -}}
{{- $context := . -}}
{{- $component := "operator" -}}
{{- if kindIs "slice" . -}}
{{- $context = index . 0 -}}
{{- $component = index . 1 -}}
{{- end -}}
{{- with $context.Values.commonLabels }}{{ toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ default $context.Chart.Name $context.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $context.Release.Name }}
app.kubernetes.io/component: {{ $component }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $context.Release.Service }}
{{- end -}}

{{- define "penstock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "penstock.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "penstock.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Common part of the chart's short-lived Pods (tests, clean-up after uninstalling). */}}
{{- define "penstock.shortPodSpec" -}}
restartPolicy: Never
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end -}}
