{{- define "cxr.scaling" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and (ne $scaling.class "none") (lt (int $scaling.maxReplicas) (int $scaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas must be at least minReplicas; raise it, or lower minReplicas" }}
{{- end -}}
minReplicas: {{ int $scaling.minReplicas }}
maxReplicas: {{ ternary (int $scaling.minReplicas) (int $scaling.maxReplicas) (eq $scaling.class "none") }}
{{- if eq $scaling.class "hpa" }}
scaleMetric: cpu
scaleMetricType: Utilization
scaleTarget: {{ int $scaling.targetCPU }}
{{- else if eq $scaling.class "keda" }}
autoScaling:
  metrics:
    - type: External
      external:
        metric:
          backend: prometheus
          serverAddress: {{ $scaling.keda.serverAddress }}
          query: sum(cxr_films_in_flight{namespace={{ .Release.Namespace | quote }},service={{ include "cxr.service" . | quote }}})
        target: {type: AverageValue, averageValue: {{ $scaling.keda.filmsPerReplica | toString | quote }}}
{{- end }}
{{- end }}
