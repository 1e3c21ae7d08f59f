#!/usr/bin/env bash
# Runs the unit tests of every module, with the seeds of the fuzz tests among them, and prints them as "go test -json".
# The chart's tests need helm and are a suite of their own.
# usage: unit.sh [GO TEST FLAG]...
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/gotest.sh

failed=0
# shellcheck disable=SC2046 # a list of packages
gotest "$@" $(go list ./... | grep -v '/charts/tests$') || failed=1
for module in $(tools/modules.sh nested); do
  case $module in
    # Kubernetes' own validation would be compiled with the race detector for this alone, for minutes; without it the cluster's
    # programs share what is compiled.
    */apivalidation) (cd "$module" && gotest ./...) || failed=1 ;;
    *) (cd "$module" && gotest "$@" ./...) || failed=1 ;;
  esac
done
exit $failed
