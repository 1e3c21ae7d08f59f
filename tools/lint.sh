#!/usr/bin/env bash
# Lints (or formats) every module with the one configuration at the root.
# usage: lint.sh GOLANGCI_LINT [fmt]
set -euo pipefail
cd "$(dirname "$0")/.."
golangci=$1 mode=${2:-run}
root=$PWD

start=$SECONDS failed=() modules=0
for module in $(tools/modules.sh); do
  modules=$((modules + 1))
  case $mode in
    run)
      (cd "$module" && "$golangci" run --allow-parallel-runners --config "$root/.golangci.yml" ./...) || failed+=("$module")
      ;;
    fmt)
      (cd "$module" && "$golangci" fmt --config "$root/.golangci.yml" ./...) || failed+=("$module")
      ;;
  esac
done

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard -- '*.sh')
for script in "${scripts[@]}" .ci/run; do
  bash -n "$script" || failed+=("$script")
done

if ((${#failed[@]})); then
  line="lint: FAILED in $((SECONDS - start)) s: ${failed[*]}"
else
  line="lint: ok $modules modules in $((SECONDS - start)) s"
fi
[[ $mode == fmt ]] || echo "$line"
((${#failed[@]} == 0))
