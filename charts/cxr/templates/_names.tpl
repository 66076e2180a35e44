{{- define "cxr.name" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "cxr.service" -}}
{{ include "cxr.name" . }}-api
{{- end }}

{{- define "cxr.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: predictor
{{- end }}

{{- define "cxr.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "cxr.metadata" -}}
name: {{ include "cxr.name" . }}
namespace: {{ .Release.Namespace }}
labels: {{- include "cxr.labels" . | nindent 2 }}
{{- end }}

{{- /* Of an image's values and the chart. */ -}}
{{- define "cxr.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end }}

{{- define "cxr.encrypts" -}}
{{- if ne .Values.tls.mode "proxy" }}true{{ end -}}
{{- end }}

{{- define "cxr.tlsSecret" -}}
{{- if eq .Values.tls.mode "secret" -}}
{{ required "tls.secretName must name a secret in mode secret; or let cert-manager make one: tls.mode certManager" .Values.tls.secretName }}
{{- else -}}
{{ include "cxr.name" . }}-tls
{{- end -}}
{{- end }}

{{- define "cxr.bundleIsMounted" -}}
{{- if hasPrefix "pvc://" .Values.bundle.uri }}true{{ end -}}
{{- end }}

{{- /* Secret with the authority of the audit bucket's store; empty without one. */ -}}
{{- define "cxr.storeAuthority" -}}
{{- if .Values.audit.bucket }}{{ .Values.s3.caSecretName }}{{ end -}}
{{- end }}

{{- define "cxr.leavesCluster" -}}
{{- if or (not (include "cxr.bundleIsMounted" .)) .Values.audit.bucket (and .Values.drift.enabled .Values.drift.webhookSecretName) }}true{{ end -}}
{{- end }}
