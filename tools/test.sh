#!/usr/bin/env bash
# Runs the suites one after the other, all of them even when one fails, and closes with one line for each.
# Each suite is the make target test-SUITE; its output goes to the screen and, whole, to dist/test/SUITE.out.
# usage: test.sh SUITE...
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist/test
rm -f dist/test/*.line dist/test/*.out

start=$SECONDS lines=() failed=()
for suite in "$@"; do
  printf '\n== %s\n' "$suite"
  begun=$SECONDS status=0
  "${MAKE:-make}" "test-$suite" 2>&1 | tee "dist/test/$suite.out" || status=$?
  # A suite that stopped before its own closing line (no compiler, no cluster) gets one from here.
  line=$(cat "dist/test/$suite.log.line" 2>/dev/null) ||
    line="$suite: FAILED in $((SECONDS - begun)) s before its tests ran (log: dist/test/$suite.out)"
  lines+=("$line")
  if ((status != 0)); then
    failed+=("$suite")
    [[ $line == *FAILED* ]] || lines[-1]="$suite: FAILED with exit code $status (log: dist/test/$suite.out)"
  fi
done

took="$(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s"
printf '\n== result\n'
printf '%s\n' "${lines[@]}"
if ((${#failed[@]})); then
  echo "make test: FAILED in $took: ${failed[*]}"
  exit 1
fi
echo "make test: ok, $# suites in $took"
