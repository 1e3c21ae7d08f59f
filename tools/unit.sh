#!/usr/bin/env bash
# Runs the unit tests of every module and prints them as "go test -json". The chart's tests need helm and are a
# suite of their own; the fuzz seeds too, so that each is counted once.
# usage: unit.sh [GO TEST FLAG]...
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
# shellcheck disable=SC2046 # a list of packages
go test -json "$@" -skip '^Fuzz' $(go list ./... | grep -v '/charts/tests$') || failed=1
for module in $(tools/modules.sh nested); do
  (cd "$module" && go test -json "$@" ./...) || failed=1
done
exit $failed
