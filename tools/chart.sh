#!/usr/bin/env bash
# The chart's suite: helm lint and the Go tests ("go test -json" on standard output).
# usage: chart.sh HELM
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/gotest.sh
helm=$1

failed=0
lint=$("$helm" lint --strict charts/inpod 2>&1) || { echo "$lint"; echo "helm lint: failed"; failed=1; }
HELM=$helm gotest ./charts/tests || failed=1
exit $failed
