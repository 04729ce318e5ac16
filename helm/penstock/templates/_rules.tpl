{{/* Permissions of the operator in the namespaces that it watches: exactly the verbs that it uses. */}}
{{- define "penstock.rules" -}}
- apiGroups: [penstock.dev]
  resources: [flows, flowruns]
  verbs: [get, list, watch]
- apiGroups: [penstock.dev]
  resources: [schedules]  # get: to check a Backfill when it is applied
  verbs: [get, list, watch]
- apiGroups: [penstock.dev]
  resources: [backfills]
  verbs: [list, watch]
- apiGroups: [penstock.dev]
  resources: [flowdefaults]  # get: whenever a Flow is revised
  verbs: [get, list, watch]
- apiGroups: [penstock.dev]
  resources: [flows/status, flowruns/status, schedules/status, backfills/status, flowdefaults/status]
  verbs: [patch]
- apiGroups: [penstock.dev]
  # create: by Schedules and Backfills; patch: to make a Schedule the owner of a Backfill's run; delete: history, retention
  resources: [flowruns]
  verbs: [create, patch, delete]
- apiGroups: [""]
  resources: [pods]  # one per attempt of a task
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]  # one per attempt of a task with `workload: Job`
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]  # workspaces of runs
  verbs: [get, create]
- apiGroups: [""]
  resources: [configmaps]  # revisions of Flows, and cached outputs of tasks
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]  # list: why a Job has no Pod, and why a Pod does not start
  verbs: [list, create]
{{- if .Values.webhook.enabled }}
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]  # whether the user of a review may read an object that it refers to
  verbs: [create]
{{- end }}
{{- range .Values.events.kinds }}
- apiGroups: [{{ ternary (dir .apiVersion) "" (contains "/" .apiVersion) | quote }}]
  resources: [{{ .resource }}]  # watched by events of Schedules
  verbs: [get, list, watch]
{{- end }}
{{- if .Values.events.webhook.enabled }}
- apiGroups: [""]
  resources: [secrets]  # signing secrets of webhooks
  resourceNames: {{ toJson .Values.events.webhook.secretNames }}
  verbs: [get]
{{- end }}
{{- end -}}

{{/* Permissions in the release's namespace: leader election. */}}
{{- define "penstock.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ .Values.leaderElection.leaseName | quote }}]
  verbs: [get, update]
{{- end -}}
