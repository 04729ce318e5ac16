{{/* Everything that the operator may do in the namespaces that it works in: exactly the verbs that it uses. */}}
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
  resources: [flows/status, flowruns/status, schedules/status, backfills/status]
  verbs: [patch]
- apiGroups: [penstock.dev]
  # the runs of Schedules and Backfills; patch: to give a Backfill's run to its Schedule; delete: by history and retention
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
  verbs: [get, list, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]  # to be listed: what the Job controller says of a Job that has no Pod
  verbs: [list, create]
{{- range .Values.events.kinds }}
- apiGroups: [{{ ternary (dir .apiVersion) "" (contains "/" .apiVersion) | quote }}]
  resources: [{{ .resource }}]  # what events of Schedules may listen to
  verbs: [get, list, watch]
{{- end }}
{{- if .Values.events.webhook.enabled }}
- apiGroups: [""]
  resources: [secrets]  # what webhooks of Schedules are signed with
  resourceNames: {{ toJson .Values.events.webhook.secretNames }}
  verbs: [get]
{{- end }}
{{- end -}}

{{/* What it may do beside that, in the release's namespace alone: agree on a leader. */}}
{{- define "penstock.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ .Values.leaderElection.leaseName | quote }}]
  verbs: [get, update]
{{- end -}}
