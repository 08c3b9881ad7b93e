{{- define "events.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* (root, component) */}}
{{- define "events.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "events.name" -}}
{{ .root.Release.Name }}-{{ .component }}
{{- end }}

{{- define "events.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "events.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* (root, service): what every process of a service is told; its secrets by reference alone. */}}
{{- define "events.environment" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .service -}}
{{- $own := .own | default dict -}}
{{- $plain := merge (dict) $own $root.Values.environment -}}
{{- range $name, $value := $plain }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
- name: ALLOWED_HOSTS
  value: {{ printf "%s%s-organization,%s-licensing,localhost" (ternary "" (printf "%s," $root.Values.publicHosts) (empty $root.Values.publicHosts)) $root.Release.Name $root.Release.Name | quote }}
{{- with $root.Values.gatewayAddresses }}
- {name: FORWARDED_ALLOW_IPS, value: {{ . | quote }}}
{{- end }}
- {name: LOG_FORMAT, value: json}
- {name: ORG_CHANGE_PARTITIONS, value: {{ $root.Values.worker.partitions | quote }}}
{{- if eq .service "organization" }}
# The relay is a process of its own.
- {name: OUTBOX_EMBEDDED, value: "false"}
- {name: TRACE_PEERS, value: "licensing=http://{{ $root.Release.Name }}-licensing:8080"}
{{- else }}
- {name: ORGANIZATION_SERVICE_URL, value: "http://{{ $root.Release.Name }}-organization:8081"}
- {name: TRACE_PEERS, value: "organization=http://{{ $root.Release.Name }}-organization:8081"}
{{- end }}
{{- if $root.Values.tokens.url }}
- {name: TRACE_TOKEN_FILE, value: /run/token/token}
{{- if eq .service "licensing" }}
- {name: ORGANIZATION_TOKEN_FILE, value: /run/token/token}
{{- end }}
{{- end }}
{{- end }}

{{- /* (root, service): variables out of the service's Secret; one that may be missing is then not set. */}}
{{- define "events.secrets" -}}
{{- $values := index .root.Values .service -}}
{{- range $values.secret.required }}
- {name: {{ . }}, valueFrom: {secretKeyRef: {name: {{ $values.secret.name }}, key: {{ . }}}}}
{{- end }}
{{- range $values.secret.optional }}
- {name: {{ . }}, valueFrom: {secretKeyRef: {name: {{ $values.secret.name }}, key: {{ . }}, optional: true}}}
{{- end }}
{{- end }}

{{- define "events.image" -}}
image: "{{ .root.Values.image.registry }}/{{ .service }}-service:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end }}

{{- /* (root, service, name, own: variables of its own, command, port: of its probes) one process of a service */}}
{{- define "events.container" -}}
name: {{ .name }}
{{ include "events.image" . }}
{{- with .command }}
command: {{ . | toJson }}
{{- end }}
env:
  - {name: SERVICE_NAME, value: {{ .name }}}
  {{- with .port }}
  - {name: {{ ternary "PROBES_BIND" "BIND" (eq (int .) 9100) }}, value: "0.0.0.0:{{ . }}"}
  {{- end }}
  {{- include "events.environment" . | trim | nindent 2 }}
  {{- include "events.secrets" . | trim | nindent 2 }}
{{- with .port }}
ports:
  - {name: http, containerPort: {{ . }}}
# A worker that waits for a server is alive, and a web process is once it answers.
startupProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /health/ready, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}
{{- if .web }}
lifecycle:
  # Until everybody has heard that this one takes no more requests.
  preStop: {sleep: {seconds: 5}}
{{- end }}
{{- with .resources }}
resources: {{- . | toYaml | nindent 2 }}
{{- end }}
securityContext:
  {{- include "events.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .root.Values.tokens.url }}
  - {name: token, mountPath: /run/token, readOnly: true}
  {{- end }}
{{- end }}

{{- /* (root, service): keeps the service's own token fresh; it is there before the process is started. */}}
{{- define "events.token" -}}
name: token
{{ include "events.image" . }}
command: [python, /srv/renew_token.py]
# A container that stays, and does not keep a job from ending.
restartPolicy: Always
env:
  - {name: TOKEN_URL, value: {{ .root.Values.tokens.url | quote }}}
  - {name: CLIENT_ID, value: {{ index .root.Values.tokens (printf "%sClientId" .service) }}}
  - {name: CLIENT_SECRET, valueFrom: {secretKeyRef: {name: {{ (index .root.Values .service).secret.name }}, key: CLIENT_SECRET}}}
  - {name: TOKEN_FILE, value: /run/token/token}
startupProbe:
  exec: {command: [test, -s, /run/token/token]}
  periodSeconds: 1
  failureThreshold: 60
resources:
  requests: {cpu: 10m, memory: 48Mi}
  limits: {memory: 96Mi}
securityContext:
  {{- include "events.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: token, mountPath: /run/token}
{{- end }}

{{- /* (…, as for a container) what is in the spec of every pod */}}
{{- define "events.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "events.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- . | toYaml | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- . | toYaml | nindent 2 }}
{{- end }}
{{- if .root.Values.tokens.url }}
initContainers:
  - {{- include "events.token" . | nindent 4 }}
{{- end }}
containers:
  - {{- include "events.container" . | nindent 4 }}
volumes:
  - name: tmp
    emptyDir: {}
  {{- if .root.Values.tokens.url }}
  - name: token
    emptyDir: {medium: Memory, sizeLimit: 1Mi}
  {{- end }}
{{- end }}

{{- /* (…, replicas) a Deployment and its budget: none of them may be missing in a rolling update, one in a drain. */}}
{{- define "events.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "events.name" . }}
  labels:
    {{- include "events.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if ne (int .replicas) -1 }}
  replicas: {{ .replicas }}
  {{- end }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "events.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "events.labels" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: {{ .port | quote }}
    spec:
      # Beyond the 25 s that gunicorn gives its requests, and the pause before them.
      terminationGracePeriodSeconds: 40
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "events.selector" . | nindent 14 }}
      {{- include "events.podSpec" . | nindent 6 }}
{{- if ne (int .replicas) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "events.name" . }}
  labels:
    {{- include "events.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  maxUnavailable: 1
  # One that is not ready serves nobody, and keeps no node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "events.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- /* (root, component, port) */}}
{{- define "events.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "events.name" . }}
  labels:
    {{- include "events.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  selector:
    {{- include "events.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .port }}, targetPort: http}
{{- end }}

{{- /* How far the cache is behind its log, in seconds, while records wait for workers; 0 where none could help. */}}
{{- define "events.watermarkAge" -}}
(max(event_stream_cache_watermark_age_seconds) and on () (max(event_stream_consumer_lag_records{binding="inboundOrgChanges"}) > {{ .Values.worker.autoscaling.lagRecords }})) or vector(0)
{{- end }}

{{- define "events.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 30
  policies: [{type: Pods, value: 1, periodSeconds: 60}]
scaleDown:
  stabilizationWindowSeconds: 600
  policies: [{type: Pods, value: 1, periodSeconds: 300}]
{{- end }}
