#!/usr/bin/env bash
# Renames, on a clean checkout: apply.sh TREE [STEP...]; the steps are apply files text prose fmt, all by default.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(realpath "$1"); shift
steps=${*:-apply files text prose fmt}
export CGO_ENABLED=0 GOFLAGS=-trimpath GOWORK=off
(cd "$here" && nice -n 5 go build -o bin/ren ./cmd/ren)
ren() { nice -n 5 "$here/bin/ren" "$1" "$tree" "$here/tables"; }
mvdoc() {
  local from=$1 to=$2
  if [[ -e $tree/$from ]]; then git -C "$tree" mv "$from" "$to"; elif [[ ! -e $tree/$to ]]; then echo "not there: $from"; fi
}
for step in $steps; do
  case $step in
    prose | apply | text) ren "$step" ;;
    files)
      mvdoc docs/pacing.md docs/rollout-timing.md
      mvdoc docs/scope.md docs/watch-scope.md
      mvdoc docs/kinds.md docs/workload-kinds.md
      mvdoc docs/csi.md docs/secrets-store-csi.md
      mvdoc docs/webhook.md docs/delegating-rollouts.md
      for pair in mark-and-patch:config-hash-and-patch kinds-by-position:unstructured-kinds turns:rollout-limits jobs:job-recreation classes:secretproviderclass-content; do
        for f in "$tree"/docs/adr/[0-9][0-9][0-9][0-9]-"${pair%%:*}".md; do
          [[ -e $f ]] || { echo "not there: docs/adr/NNNN-${pair%%:*}.md"; continue; }
          n=$(basename "$f"); mvdoc "docs/adr/$n" "docs/adr/${n%%-*}-${pair##*:}.md"
        done
      done
      (cd "$here/files/replace" && find . -type f) | while read -r f; do
        if [[ -e $tree/$f ]]; then cp "$here/files/replace/$f" "$tree/$f"; else echo "not there: $f"; fi
      done
      if [[ -d $here/files/add ]]; then cp -r "$here/files/add/." "$tree/"; fi
      ;;
    fmt)
      (cd "$tree" && git ls-files -m -o --exclude-standard '*.go' | while read -r f; do [[ -f $f ]] && echo "$f"; done | xargs -r gofmt -l -w >/dev/null) || true
      git -C "$tree" add -A
      ;;
    *) echo "unknown step $step" >&2; exit 2 ;;
  esac
done
