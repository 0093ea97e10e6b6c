{{/* Every object has the name of the release. */}}
{{- define "claude-cost.name" -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "claude-cost.selector" -}}
app.kubernetes.io/name: claude-cost
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "claude-cost.labels" -}}
{{ include "claude-cost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}
