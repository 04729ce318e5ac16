#!/usr/bin/env bash
# Removes what demo/up.sh made: Penstock, its flow, the results and the cluster (one that was there before stays).
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=${NAME:-penstock}

if [ "${CLUSTER:-auto}" = existing ]; then
  KUBECONFIG=$(python3 -m tests.cluster kubeconfig --name "$NAME")
  tools=$(python3 -m tests.cluster path)
  export KUBECONFIG PATH="$tools:$PATH"
  kubectl delete namespace demo --ignore-not-found
  helm uninstall penstock --namespace penstock-system --ignore-not-found --wait
  kubectl delete namespace penstock-system --ignore-not-found
  kubectl delete crd flows.penstock.dev flowruns.penstock.dev schedules.penstock.dev backfills.penstock.dev flowdefaults.penstock.dev --ignore-not-found
fi
python3 -m tests.cluster down --name "$NAME"
rm -rf demo-results
