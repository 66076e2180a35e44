{{- define "cxr.volumes" -}}
{{- if include "cxr.bundleIsMounted" . -}}
- name: bundle
  persistentVolumeClaim:
    claimName: {{ regexFind "^[^/]+" (trimPrefix "pvc://" .Values.bundle.uri) }}
    readOnly: true
{{- else -}}
{{- /* KServe's storage initializer fills the volume of this name; named here, the sidecar can read it too. */ -}}
- name: kserve-provision-location
  emptyDir: {sizeLimit: {{ .Values.bundle.sizeLimit }}}
{{- end }}
- name: keys
  secret:
    secretName: {{ required "apiKeys.secretName must name the secret with the keys that `cxr keys create` made" .Values.apiKeys.secretName }}
    defaultMode: 0440
    items: [{key: {{ .Values.apiKeys.key }}, path: keys.json}]
{{- if include "cxr.encrypts" . }}
- name: tls
  secret:
    secretName: {{ include "cxr.tlsSecret" . }}
    defaultMode: 0440
    items:
      - {key: tls.crt, path: tls.crt}
      - {key: tls.key, path: tls.key}
{{- end }}
{{ include "cxr.stateVolume" . }}
{{- with .Values.audit.secretName }}
- name: audit-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: audit.key, path: audit.key}
      - {key: hmac.key, path: hmac.key}
{{- end }}
{{- with include "cxr.storeAuthority" . }}
- name: s3-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
- name: tmp
  emptyDir: {sizeLimit: {{ .Values.predictor.tmpSizeLimit }}}
{{- if .Values.drift.enabled }}
{{ include "cxr.driftVolumes" . }}
{{- end }}
{{- end }}

{{- define "cxr.stateVolume" -}}
- name: state
{{- if eq .Values.state.kind "persistentVolumeClaim" }}
  persistentVolumeClaim:
    claimName: {{ default (printf "%s-state" (include "cxr.name" .)) .Values.state.existingClaim }}
{{- else }}
  {{- if not (and .Values.audit.bucket .Values.audit.secretName) }}
  {{- fail "state.kind emptyDir ends with its pod: audit.bucket and audit.secretName must be given with it, or no audit trail outlives a pod" }}
  {{- end }}
  emptyDir: {sizeLimit: {{ .Values.state.size }}}
{{- end }}
{{- end }}

{{- define "cxr.driftVolumes" -}}
- name: drift-token
{{- with .Values.drift.tokenSecretName }}
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: token, path: token}]
{{- else }}
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
- name: drift-state
  emptyDir: {sizeLimit: 1Gi}
- name: drift-tmp
  emptyDir: {sizeLimit: 1Gi}
{{- with include "cxr.webhookSecret" . }}
- name: webhook
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items: [{key: secret, path: secret}]
{{- end }}
{{- end }}
