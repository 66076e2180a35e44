{{- define "cxr.predictorEnvironment" -}}
- {name: PROTOCOL, value: v2}
{{- if not (include "cxr.bundleIsMounted" .) }}
- {name: STORAGE_URI, value: {{ .Values.bundle.uri | quote }}}
{{- end }}
- {name: HOME, value: /tmp}
{{- if eq .Values.state.kind "persistentVolumeClaim" }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}
- {name: CXR_SERVE_BUNDLE, value: /mnt/models}
- {name: CXR_SERVE_STATE, value: /var/lib/cxr}
- {name: CXR_SERVE_KEYS, value: /etc/cxr/keys/keys.json}
- {name: CXR_SERVE_HTTP_PORT, value: "8080"}
- {name: CXR_SERVE_GRPC_PORT, value: "8081"}
- {name: CXR_SERVE_MODEL_NAME, value: {{ .Values.predictor.modelName | quote }}}
- {name: CXR_SERVE_DRAIN_DELAY, value: {{ .Values.predictor.drainDelay | toString | quote }}}
- {name: CXR_SERVE_GRACE, value: {{ .Values.predictor.grace | toString | quote }}}
{{- range $name, $value := .Values.predictor.options }}
- {name: CXR_SERVE_{{ upper $name }}, value: {{ include "cxr.plain" $value | quote }}}
{{- end }}
{{- if include "cxr.encrypts" . }}
- {name: CXR_SERVE_TLS_CERTIFICATE, value: /etc/cxr/tls/tls.crt}
- {name: CXR_SERVE_TLS_KEY, value: /etc/cxr/tls/tls.key}
{{- else }}
- {name: CXR_SERVE_BEHIND_PROXY, value: "true"}
{{- end }}
{{- if .Values.drift.enabled }}
- {name: CXR_SERVE_DRIFT_URL, value: "http://127.0.0.1:8090"}
- {name: CXR_SERVE_DRIFT_TOKEN_FILE, value: /etc/cxr/drift/token}
{{- end }}
{{- if .Values.audit.secretName }}
- {name: CXR_HMAC_KEY_FILE, value: /etc/cxr/audit/hmac.key}
{{- end }}
{{- if .Values.audit.bucket }}
{{ include "cxr.auditEnvironment" . }}
{{- end }}
{{- end }}

{{- define "cxr.auditEnvironment" -}}
- {name: CXR_SERVE_AUDIT_BUCKET, value: {{ .Values.audit.bucket | quote }}}
{{- with .Values.audit.retentionDays }}
- {name: CXR_SERVE_AUDIT_RETENTION_DAYS, value: {{ include "cxr.plain" . | quote }}}
{{- end }}
{{- with .Values.audit.keepLocalDays }}
- {name: CXR_SERVE_AUDIT_KEEP_LOCAL_DAYS, value: {{ include "cxr.plain" . | quote }}}
{{- end }}
{{- with .Values.s3.endpoint }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- if include "cxr.storeAuthority" . }}
- {name: AWS_CA_BUNDLE, value: /etc/cxr/s3-ca/ca.crt}
{{- end }}
{{- with .Values.s3.region }}
- {name: AWS_REGION, value: {{ . | quote }}}
{{- end }}
{{- $secret := required "s3.secretName must name the secret with the keys of the store of audit.bucket: a cloud role does not stand in for it there" .Values.s3.secretName }}
{{- range $key := list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ $key }}}}
{{- end }}
{{- end }}

{{- /* A number without the exponent that large ones would get. */ -}}
{{- define "cxr.plain" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}
