{{- define "cxr.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cxr.podSecurity" -}}
runAsNonRoot: true
{{- with .Values.pod.user }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
fsGroup: {{ int64 . }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "cxr.bundleMount" -}}
{{- if include "cxr.bundleIsMounted" . -}}
- name: bundle
  mountPath: /mnt/models
  readOnly: true
  {{- $parts := regexSplit "/" (trimPrefix "pvc://" .Values.bundle.uri | trimSuffix "/") 2 }}
  {{- if gt (len $parts) 1 }}
  subPath: {{ index $parts 1 }}
  {{- end }}
{{- else -}}
- name: kserve-provision-location
  mountPath: /mnt/models
  readOnly: true
{{- end }}
{{- end }}

{{- define "cxr.predictor" -}}
{{- $scheme := ternary "HTTPS" "HTTP" (eq (include "cxr.encrypts" .) "true") -}}
name: kserve-container
image: {{ include "cxr.image" (dict "image" .Values.predictor.image "root" .) }}
imagePullPolicy: {{ .Values.predictor.image.pullPolicy }}
command: [python, -m, cxr.serving]
ports:
  - {name: {{ lower $scheme }}, containerPort: 8080, protocol: TCP}
  - {name: grpc, containerPort: 8081, protocol: TCP}
env: {{- include "cxr.predictorEnvironment" . | nindent 2 }}
resources: {{- toYaml .Values.predictor.resources | nindent 2 }}
securityContext: {{- include "cxr.containerSecurity" . | nindent 2 }}
startupProbe:
  httpGet: {path: /v2/health/ready, port: 8080, scheme: {{ $scheme }}}
  periodSeconds: 5
  failureThreshold: {{ int .Values.predictor.startupFailures }}
readinessProbe:
  httpGet: {path: /v2/health/ready, port: 8080, scheme: {{ $scheme }}}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /v2/health/live, port: 8080, scheme: {{ $scheme }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
volumeMounts: {{- include "cxr.predictorMounts" . | nindent 2 }}
{{- end }}

{{- define "cxr.predictorMounts" -}}
{{ include "cxr.bundleMount" . }}
- {name: keys, mountPath: /etc/cxr/keys, readOnly: true}
{{- if include "cxr.encrypts" . }}
- {name: tls, mountPath: /etc/cxr/tls, readOnly: true}
{{- end }}
{{- if .Values.drift.enabled }}
- {name: drift-token, mountPath: /etc/cxr/drift, readOnly: true}
{{- end }}
- name: state
  mountPath: /var/lib/cxr
  {{- if eq .Values.state.kind "persistentVolumeClaim" }}
  subPathExpr: $(POD_NAME)
  {{- end }}
{{- if .Values.audit.secretName }}
- {name: audit-keys, mountPath: /var/lib/cxr/audit.key, subPath: audit.key, readOnly: true}
- {name: audit-keys, mountPath: /etc/cxr/audit, readOnly: true}
{{- end }}
{{- if include "cxr.storeAuthority" . }}
- {name: s3-ca, mountPath: /etc/cxr/s3-ca, readOnly: true}
{{- end }}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "cxr.sidecar" -}}
name: drift
image: {{ include "cxr.image" (dict "image" .Values.drift.image "root" .) }}
imagePullPolicy: {{ .Values.drift.image.pullPolicy }}
command: [python, -m, cxr.sidecar]
args:
  - --bundle=/mnt/models
  - --state=/var/lib/cxr-drift
  - --host=0.0.0.0
  - --port=8090
  - --token-file=/etc/cxr/drift/token
  {{- if not (kindIs "invalid" .Values.drift.level) }}
  - --level={{ .Values.drift.level }}
  {{- end }}
  {{- if include "cxr.webhookSecret" . }}
  - --webhook-secret-file=/etc/cxr/webhook/secret
  {{- end }}
ports:
  - {name: drift, containerPort: 8090, protocol: TCP}
env:
  - {name: HOME, value: /tmp}
  - {name: NUMBA_CACHE_DIR, value: /tmp/numba}
  - {name: MPLCONFIGDIR, value: /tmp/matplotlib}
  {{- with .Values.drift.webhookSecretName }}
  - name: CXR_DRIFT_WEBHOOK
    valueFrom: {secretKeyRef: {name: {{ . }}, key: url}}
  {{- end }}
  {{- if include "cxr.alertsRetrain" . }}
  - {name: CXR_DRIFT_WEBHOOK, value: "http://{{ include "cxr.retrainingName" . }}.{{ .Release.Namespace }}.svc:8091/alerts"}
  {{- end }}
lifecycle:
  preStop: {sleep: {seconds: {{ int (add .Values.predictor.drainDelay 1) }}}}
resources: {{- toYaml .Values.drift.resources | nindent 2 }}
securityContext: {{- include "cxr.containerSecurity" . | nindent 2 }}
startupProbe:
  httpGet: {path: /health/live, port: 8090}
  periodSeconds: 5
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /health/ready, port: 8090}
  periodSeconds: 10
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /health/live, port: 8090}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
volumeMounts:
  {{- include "cxr.bundleMount" . | nindent 2 }}
  - {name: drift-token, mountPath: /etc/cxr/drift, readOnly: true}
  - {name: drift-state, mountPath: /var/lib/cxr-drift}
  - {name: drift-tmp, mountPath: /tmp}
  {{- if include "cxr.webhookSecret" . }}
  - {name: webhook, mountPath: /etc/cxr/webhook, readOnly: true}
  {{- end }}
{{- end }}

{{- /* Writes the secret that only the containers of this pod know. */ -}}
{{- define "cxr.tokenMaker" -}}
name: drift-token
image: {{ include "cxr.image" (dict "image" .Values.predictor.image "root" .) }}
imagePullPolicy: {{ .Values.predictor.image.pullPolicy }}
command:
  - python
  - -c
  - |
    import os, pathlib, secrets
    token = pathlib.Path("/etc/cxr/drift/token")
    token.unlink(missing_ok=True)
    os.umask(0o337)
    token.write_text(secrets.token_hex(32))
resources:
  requests: {cpu: 50m, memory: 64Mi}
  limits: {cpu: 500m, memory: 64Mi}
securityContext: {{- include "cxr.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: drift-token, mountPath: /etc/cxr/drift}
{{- end }}
