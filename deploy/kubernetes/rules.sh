#!/bin/sh
# Prints Prometheus rule files as PrometheusRules of the Prometheus operator:
#
#   deploy/kubernetes/rules.sh deploy/prometheus/rules/*.yml | kubectl apply --namespace sie --filename -
set -eu

[ $# -gt 0 ] || { echo "usage: rules.sh RULE_FILE..." >&2; exit 2; }
for file; do
    name=$(basename "$file")
    printf -- '---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: sie-%s\nspec:\n' "${name%.*}"
    sed -e 's/^/  /' "$file"
done
