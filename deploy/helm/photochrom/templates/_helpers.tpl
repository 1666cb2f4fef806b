{{/* Names, labels and the parts that every pod has. */}}

{{- define "photochrom.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "photochrom.image" -}}
{{- $tag := .tag | default .root.Values.image.tag -}}
{{- $digest := .digest | default (ternary "" .root.Values.image.digest (ne (.tag | default "") "")) -}}
{{ .root.Values.image.repository }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end }}

{{- define "photochrom.selector" -}}
app.kubernetes.io/name: photochrom
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .device }}
photochrom/device: {{ . }}
{{- end }}
{{- end }}

{{- define "photochrom.labels" -}}
{{ include "photochrom.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "photochrom.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "photochrom.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "photochrom.name" .root }}-settings
  - secretRef:
      name: {{ .secret | default .root.Values.existingSecret }}
{{- end }}

{{- define "photochrom.locked" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "photochrom.probes" -}}
ports:
  {{- with .ports }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  - name: metrics
    containerPort: 9808
startupProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 5
  failureThreshold: {{ .startFailures }}
livenessProbe:
  httpGet: {path: /live, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /ready, port: metrics}
  periodSeconds: 15
  timeoutSeconds: 5
{{- end }}

{{- define "photochrom.scraped" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9808"
{{- end }}
