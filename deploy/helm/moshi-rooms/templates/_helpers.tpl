{{- define "name" -}}
{{- eq .Release.Name .Chart.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- /* Labels that select: dict "root" $ "part" "worker" */}}
{{- define "selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "image" -}}
{{ .root.Values.image.registry }}{{ .of.image }}:{{ .of.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- /* Refuse what a schema cannot compare: dict "of" .Values.worker.autoscaling "name" "worker" */}}
{{- define "ordered" -}}
{{- if and .of.enabled (gt (int .of.min) (int .of.max)) }}
{{- fail (printf "%s.autoscaling.min=%v: expected at most max, %v" .name .of.min .of.max) }}
{{- end }}
{{- end }}

{{- define "containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- /* What both pods say alike: dict "root" $ "of" .Values.worker "part" "worker" */}}
{{- define "podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false # a Service named worker would set WORKER_PORT
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "selector" . | nindent 8 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Settings that the chart sets by values of their own or by the Secret. */}}
{{- define "ownSettings" -}}
PRODUCTION LIVEKIT_URL LIVEKIT_PUBLIC_URL LIVEKIT_API_KEY LIVEKIT_API_SECRET REDIS_URL HF_TOKEN MIND_API_KEY
RECORD_S3_SECRET_KEY RECORD_DIR HOST PORT AUTH_MODE TRUSTED_PROXIES API_KEYS_FILE AUDIT_LOG
WORKER_HOST WORKER_PORT MODEL DEVICE DRAIN_GRACE_S
{{- end }}

{{- /* Refuse these: dict "env" (dict …) "name" "worker". Of names that a schema refuses, Helm tells a wrong place. */}}
{{- define "checkedEnv" -}}
{{- range $name, $_ := .env }}
{{- if has $name (regexSplit "\\s+" (include "ownSettings" $) -1) }}
{{- fail (printf "%s.env.%s: the chart sets it, by another value or from the Secret" $.name $name) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Settings that both services are told: dict "root" $ "secrets" (list …) "env" (dict …) "name" "worker" */}}
{{- define "environment" -}}
{{- include "checkedEnv" . }}
{{- include "checkedEnv" (dict "env" .root.Values.recordings.env "name" "recordings") }}
- { name: PRODUCTION, value: "true" }
- { name: LIVEKIT_URL, value: {{ .root.Values.livekit.url | quote }} }
{{- range .secrets }}
- name: {{ . }}
  valueFrom:
    secretKeyRef: { name: {{ $.root.Values.secretName }}, key: {{ . }}, optional: {{ has . (list "HF_TOKEN" "MIND_API_KEY" "RECORD_S3_SECRET_KEY") }} }
{{- end }}
{{- if .root.Values.recordings.volume }}
- { name: RECORD_DIR, value: /recordings }
{{- end }}
{{- range $name, $value := merge dict .env .root.Values.recordings.env }}
- { name: {{ $name }}, value: {{ $value | toString | quote }} }
{{- end }}
{{- end }}
