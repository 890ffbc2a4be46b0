{{- define "bedrock-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bedrock-gateway.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "bedrock-gateway.selector" -}}
app.kubernetes.io/name: {{ include "bedrock-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end }}

{{/* The labels of every object, except the component, which the selector needs to be the pods' own. */}}
{{- define "bedrock-gateway.labels" -}}
app.kubernetes.io/name: {{ include "bedrock-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "bedrock-gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "bedrock-gateway.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "bedrock-gateway.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* The name of the port of callers, also in the pod. */}}
{{- define "bedrock-gateway.port" -}}
{{- ternary "https" "http" .Values.tls.enabled }}
{{- end }}

{{- define "bedrock-gateway.containerPort" -}}
{{- ternary 8443 8080 .Values.tls.enabled }}
{{- end }}

{{- define "bedrock-gateway.servicePort" -}}
{{- .Values.service.port | default (ternary 443 80 .Values.tls.enabled) }}
{{- end }}

{{/* A duration of the gateway, for example 1h30m, in seconds. The schema has checked its form. */}}
{{- define "bedrock-gateway.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | default "0" | atoi }}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | atoi }}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | atoi }}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds }}
{{- end }}

{{- define "bedrock-gateway.gracePeriod" -}}
{{- $delay := include "bedrock-gateway.seconds" .Values.listen.drainDelay | atoi }}
{{- $timeout := include "bedrock-gateway.seconds" .Values.listen.drainTimeout | atoi }}
{{- $needed := add $delay $timeout 10 | int }}
{{- $given := int .Values.terminationGracePeriodSeconds }}
{{- if and $given (lt $given $needed) }}
{{- fail (printf "terminationGracePeriodSeconds is %d: set %d or more (listen.drainDelay + listen.drainTimeout + 10 s), or 0 for that" $given $needed) }}
{{- end }}
{{- default $needed $given }}
{{- end }}

{{/* The tables that the chart writes. Most keys of [listen] need a restart of the gateway. */}}
{{- define "bedrock-gateway.listen" -}}
[listen]
{{ include "bedrock-gateway.port" . }} = "{{ .Values.listen.address }}:{{ include "bedrock-gateway.containerPort" . }}"
probe = "{{ .Values.listen.address }}:9090"
admin = "127.0.0.1:9091"
drain_delay = {{ .Values.listen.drainDelay | quote }}
drain_timeout = {{ .Values.listen.drainTimeout | quote }}
{{- with .Values.listen.maxBody }}
max_body = {{ . | quote }}
{{- end }}
{{- with .Values.listen.balancers }}
{{- if .peers }}

[listen.balancers]
peers = {{ .peers | toJson }}
client_address = {{ .clientAddress | quote }}
{{- end }}
{{- end }}
{{- if .Values.tls.enabled }}

[listen.tls]
cert = "/etc/bedrock-gateway/tls.crt"
key = "/etc/bedrock-gateway/tls.key"
{{- end }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "bedrock-gateway.validate" -}}
{{- if and (not .Values.config) (not .Values.existingConfigMap) }}
{{- fail "set `config` (the gateway's configuration in TOML) or `existingConfigMap`" }}
{{- end }}
{{- if and .Values.config .Values.existingConfigMap }}
{{- fail "set `config` or `existingConfigMap`, not both" }}
{{- end }}
{{- if .Values.existingConfigMap }}
{{- $otherAddress := ne .Values.listen.address "0.0.0.0" }}
{{- $written := dict "denyFile.content" .Values.denyFile.content "listen.address" $otherAddress }}
{{- $written = merge $written (dict "listen.maxBody" .Values.listen.maxBody "listen.balancers.peers" .Values.listen.balancers.peers) }}
{{- range $name, $value := $written }}
{{- if $value }}
{{- fail (printf "`%s` has no effect: the chart does not write to `existingConfigMap`. Write it there" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if regexMatch "(?m)^[ \t]*\\[[ \t]*(listen|revoke)[ \t]*[].]" .Values.config }}
{{- fail "`config` must not have [listen], [listen.…] and [revoke]: the chart writes them, from `listen`, `tls` and `denyFile`" }}
{{- end }}
{{- if and .Values.tls.enabled (not .Values.tls.existingSecret) }}
{{- fail "set `tls.existingSecret` (a Secret with tls.crt and tls.key), or `tls.enabled: false` behind a proxy that ends TLS" }}
{{- end }}
{{- if ne (empty .Values.listen.balancers.peers) (empty .Values.listen.balancers.clientAddress) }}
{{- fail "set both `listen.balancers.peers` and `listen.balancers.clientAddress`, or none" }}
{{- end }}
{{- $deny := list .Values.denyFile.content .Values.denyFile.existingConfigMap .Values.denyFile.existingSecret }}
{{- if gt (len (compact $deny)) 1 }}
{{- fail "set only one of `denyFile.content`, `denyFile.existingConfigMap` and `denyFile.existingSecret`" }}
{{- end }}
{{- if .Values.autoscaling.enabled }}
{{- if not (or .Values.autoscaling.cpu .Values.autoscaling.requestsInFlight) }}
{{- fail "autoscaling needs `autoscaling.cpu` or `autoscaling.requestsInFlight`" }}
{{- end }}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) }}
{{- fail "`autoscaling.minReplicas` is more than `autoscaling.maxReplicas`" }}
{{- end }}
{{- end }}
{{- if and .Values.httpRoute.enabled .Values.tls.enabled (not .Values.httpRoute.backendTLS.hostname) }}
{{- fail "the Gateway must speak TLS to the pods: set `httpRoute.backendTLS.hostname`, or `tls.enabled: false`" }}
{{- end }}
{{- end }}
