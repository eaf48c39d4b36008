{{- define "gateway.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "gateway.check" -}}
{{- $many := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}
{{- if and $many (not .Values.store.secret) (not (hasPrefix "postgresql:" (toString .Values.config.store))) }}
{{- fail "More than one replica needs a store that they share: set store.secret to a Secret that holds postgresql://..." }}
{{- end }}
{{- if and .Values.monitoring.serviceMonitor.enabled (not .Values.keys.secret) }}
{{- fail "Without keys the control plane stays on the pod's loopback, where Prometheus cannot scrape it: set keys.secret." }}
{{- end }}
{{- end }}
