#!/usr/bin/env bash
# Prints the folders of the Go modules that are linted and unit-tested, one per line. Left out are the two that only build
# somebody else's programs (Kubernetes, CoreDNS), many minutes to compile for a few lines of ours, and the one that only pins
# tools.
# usage: modules.sh [nested]
set -euo pipefail
cd "$(dirname "$0")/.."

[[ ${1:-} == nested ]] || echo .
git ls-files --cached --others --exclude-standard -- '*/go.mod' | sort -u | while read -r file; do
  [[ -f $file ]] || continue
  case $file in
    */testdata/* | tools/* | e2e/cluster/kube/* | e2e/cluster/dns/*) ;;
    *) dirname "$file" ;;
  esac
done
