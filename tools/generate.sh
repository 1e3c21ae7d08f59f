#!/usr/bin/env bash
# Writes every generated file. Each is written by the test that also compares it, so "make test" finds one that is stale.
# usage: HELM=... generate.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# PACKAGE TEST: the tests that have a flag -update.
while read -r package tests; do
  go test -vet=off -count=1 "$package" -run "^($tests)$" -update >/dev/null || { echo "inpod: go test $package -run '^($tests)$' -update failed" >&2; exit 1; }
done <<'END'
./charts/tests Test.*
./controller TestMetricsAreDocumented|TestThePageIsTheTable
./controller/internal/act TestPatches
./injector TestMetricsAreDocumented
./injector/internal/admission TestThePatch
./internal/inject TestGolden
./internal/annotation TestTheTableOfKeysIsDocumented
./internal/preset TestDocs
./sidecar/internal/status TestMetricsAreDocumented
END

# A package that is not in the list would be forgotten in silence.
listed=$(sed -n '/^done <<.END.$/,/^END$/p' tools/generate.sh | grep -c '^\./')
# The preset matrix is observed on real servers by "make test-presets", and kept.
have=$(git grep -l --untracked 'flag\.Bool("update"' -- '*_test.go' | grep -vc e2e/presets/)
if [[ $listed != "$have" ]]; then
  echo "inpod: $have test packages have a flag -update, and tools/generate.sh lists $listed" >&2
  exit 1
fi
