#!/usr/bin/env bash
# Fuzz tests of the product: their seeds as ordinary tests ("go test -json" on standard output), or real fuzzing.
# usage: fuzz.sh seeds [GO TEST FLAG]...
#        fuzz.sh run DURATION
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/gotest.sh
mode=$1
shift

mapfile -t files < <(git ls-files --cached --others --exclude-standard '*_test.go' | xargs -r grep -l '^func Fuzz' 2>/dev/null | sort)
if ((${#files[@]} == 0)); then
  echo "inpod: there is no fuzz test" >&2
  exit 1
fi

case $mode in
  seeds)
    mapfile -t packages < <(printf '%s\n' "${files[@]}" | xargs -n1 dirname | sort -u)
    gotest "$@" -run '^Fuzz' "${packages[@]/#/./}"
    ;;
  run)
    for file in "${files[@]}"; do
      mapfile -t names < <(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file")
      for name in "${names[@]}"; do
        echo "fuzzing $name of $(dirname "$file") for $1"
        go test -run '^$' -fuzz "^$name\$" -fuzztime "$1" -fuzzminimizetime 100x "./$(dirname "$file")"
      done
    done
    ;;
  *)
    echo "usage: fuzz.sh seeds|run ..." >&2
    exit 2
    ;;
esac
