#!/usr/bin/env bash
# From a bare machine to a finished flow: a cluster, Penstock on it, and four years of weather drawn as a picture.
# Again: only what changed is done again. `demo/down.sh` undoes it.
set -euo pipefail
cd "$(dirname "$0")/.."

NAME=${NAME:-penstock}            # of the test cluster
KIND=${CLUSTER:-auto}             # auto | existing | kind | bare
IMAGE=penstock:dev
PYTHON_IMAGE=docker.io/library/python:3.13-slim    # what the examples name
SYSTEM=penstock-system            # namespace of the operator
NAMESPACE=demo                    # namespace of the flow
RUN=weather
RESULTS=demo-results

step() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf '\n\033[1;31mThe demo failed: %s\033[0m\n' "$*" >&2; exit 1; }

[ "$KIND" != fake ] || fail "the nodes of CLUSTER=fake run nothing; leave CLUSTER out"

step "1/5  A cluster (the first time, its programs are built: about 8 minutes)"
python3 -m tests.cluster up --kind "$KIND" --name "$NAME"
case $(python3 -m tests.cluster status --name "$NAME") in
  *"(fake)"*) fail "cluster $NAME has fake nodes, which run nothing. Start a Docker engine, or use a Debian machine as root that is
not a node of another cluster; then 'make cluster-down' and 'make demo'" ;;
esac
KUBECONFIG=$(python3 -m tests.cluster kubeconfig --name "$NAME")
tools=$(python3 -m tests.cluster path)
export KUBECONFIG PATH="$PWD/.venv/bin:$tools:$PATH"

step "2/5  Images: the operator's, and the one that the examples name"
python3 -m tests.cluster image --tag "$IMAGE" > /dev/null
python3 -m tests.cluster image --tag "$PYTHON_IMAGE" --context demo/python > /dev/null
python3 -m tests.cluster load-image "$IMAGE" --name "$NAME"
python3 -m tests.cluster load-image "$PYTHON_IMAGE" --name "$NAME"

step "3/5  Penstock, by its Helm chart"
# The tag stays the same when the code changes; the annotation then has the Pods replaced.
code=$(find Dockerfile requirements sdk operator -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 cat | sha256sum)
helm upgrade --install penstock helm/penstock --namespace "$SYSTEM" --create-namespace --wait --timeout 5m \
  --set image.repository="${IMAGE%:*}" --set image.tag="${IMAGE#*:}" --set-string "podAnnotations.code=${code:0:16}" \
  > /dev/null || { kubectl get pods,events -n "$SYSTEM" || true; fail "the operator did not start; see above"; }
kubectl get pods -n "$SYSTEM"

step "4/5  A flow on real data: examples/weather.yaml"
kubectl create namespace "$NAMESPACE" --dry-run=client -o yaml | kubectl apply -f -
kubectl delete flowrun "$RUN" -n "$NAMESPACE" --ignore-not-found
kubectl apply -n "$NAMESPACE" -f examples/weather-data.yaml -f examples/weather.yaml

step "5/5  Its run: the first attempt of extract fails on purpose"
penstock watch "$RUN" -n "$NAMESPACE" || fail "the run did not complete; look at it with: penstock logs $RUN -n $NAMESPACE"

mkdir -p "$RESULTS"
penstock logs "$RUN" -n "$NAMESPACE" --task report > "$RESULTS/weather.svg"
kubectl get flowrun "$RUN" -n "$NAMESPACE" -o jsonpath='{.status.outputs}' > "$RESULTS/outputs.json"
state=$(kubectl get flowrun "$RUN" -n "$NAMESPACE" -o jsonpath='{.status.state}')
grep -q '</svg>' "$RESULTS/weather.svg" || fail "$RESULTS/weather.svg is not an SVG picture"

cat <<END

Results
  $RESULTS/weather.svg     the picture: open it in a browser
  $RESULTS/outputs.json    the numbers

Next, in this folder
  export KUBECONFIG=$KUBECONFIG PATH=$PWD/.venv/bin:$tools:\$PATH
  kubectl get flows,flowruns,pods -n $NAMESPACE
  penstock run weather -n $NAMESPACE -p flaky=false -p dry_year_mm=900 --watch
  penstock logs $RUN -n $NAMESPACE
  make demo-down          removes all of it

FlowRun $NAMESPACE/$RUN: $state
END
[ "$state" = Completed ]
