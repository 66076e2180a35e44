{{- define "cxr.retrainingName" -}}
{{ include "cxr.name" . }}-retraining
{{- end }}

{{- define "cxr.retrainingSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: retraining
{{- end }}

{{- define "cxr.retrainingMetadata" -}}
name: {{ include "cxr.retrainingName" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "cxr.labels" . | nindent 2 }}
  app.kubernetes.io/component: retraining
{{- end }}

{{- define "cxr.retrainingSecret" -}}
{{ required "retraining.secretName must name the secret with the key `secret` that signs alerts" .Values.retraining.secretName }}
{{- end }}

{{- /* The sidecars' alerts go to the trigger of this release. */ -}}
{{- define "cxr.alertsRetrain" -}}
{{- if and .Values.retraining.enabled .Values.drift.enabled (not .Values.drift.webhookSecretName) }}true{{ end -}}
{{- end }}

{{- /* Secret with the key `secret` that the sidecars sign with; empty when they alert nobody. */ -}}
{{- define "cxr.webhookSecret" -}}
{{- if .Values.drift.webhookSecretName -}}
{{ .Values.drift.webhookSecretName }}
{{- else if include "cxr.alertsRetrain" . -}}
{{ include "cxr.retrainingSecret" . }}
{{- end -}}
{{- end }}

{{- define "cxr.kubeflowPort" -}}
{{- $url := urlParse .Values.retraining.kubeflow.url -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{ default (ternary "443" "80" (eq $url.scheme "https")) $port }}
{{- end }}

{{- define "cxr.retrainer" -}}
name: retraining
image: {{ include "cxr.image" (dict "image" .Values.retraining.image "root" .) }}
imagePullPolicy: {{ .Values.retraining.image.pullPolicy }}
command: [python, -m, cxr.retraining]
args:
  - --host=0.0.0.0
  - --port=8091
  - --secret-file=/etc/cxr/webhook/secret
  - --arguments=/etc/cxr/retraining/arguments.yaml
  - --kubeflow={{ .Values.retraining.kubeflow.url }}
  {{- with .Values.retraining.kubeflow.namespace }}
  - --kubeflow-namespace={{ . }}
  {{- end }}
  {{- if .Values.retraining.kubeflow.tokenAudience }}
  - --kubeflow-token-file=/var/run/secrets/kubeflow/token
  {{- end }}
  - --pipeline={{ .Values.retraining.pipeline }}
  {{- with .Values.retraining.pipelineVersion }}
  - --pipeline-version={{ . }}
  {{- end }}
  - --experiment={{ .Values.retraining.experiment }}
  {{- with .Values.retraining.serviceAccountName }}
  - --service-account={{ . }}
  {{- end }}
  - --cool-down-days={{ .Values.retraining.coolDownDays }}
ports:
  - {name: http, containerPort: 8091, protocol: TCP}
env:
  - {name: HOME, value: /tmp}
resources: {{- toYaml .Values.retraining.resources | nindent 2 }}
securityContext: {{- include "cxr.containerSecurity" . | nindent 2 }}
startupProbe:
  httpGet: {path: /health/live, port: 8091}
  periodSeconds: 5
  failureThreshold: 24
readinessProbe:
  httpGet: {path: /health/ready, port: 8091}
  periodSeconds: 10
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /health/live, port: 8091}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
volumeMounts:
  - {name: webhook, mountPath: /etc/cxr/webhook, readOnly: true}
  - {name: arguments, mountPath: /etc/cxr/retraining, readOnly: true}
  {{- if .Values.retraining.kubeflow.tokenAudience }}
  - {name: kubeflow, mountPath: /var/run/secrets/kubeflow, readOnly: true}
  {{- end }}
  - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "cxr.retrainingVolumes" -}}
- name: webhook
  secret:
    secretName: {{ include "cxr.retrainingSecret" . }}
    defaultMode: 0440
    items: [{key: secret, path: secret}]
- name: arguments
  configMap:
    name: {{ include "cxr.retrainingName" . }}
{{- with .Values.retraining.kubeflow.tokenAudience }}
- name: kubeflow
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {audience: {{ . }}, path: token, expirationSeconds: 3600}
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: 256Mi}
{{- end }}
