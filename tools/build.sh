#!/usr/bin/env bash
# Builds the programs that exist as static binaries: bin/linux-ARCH/PROGRAM.
# usage: build.sh VERSION "PROGRAM..." "ARCH..."
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 programs=$2 arches=$3

built=0
for program in $programs; do
  if [[ ! -f $program/main.go ]]; then
    continue # its folder comes with a later change; the images and the chart do not know it yet either
  fi
  for arch in $arches; do
    out=bin/linux-$arch/$program
    start=$SECONDS
    flags=() variables=()
    if [[ -f $program/build-flags ]]; then
      mapfile -t flags < <(grep '^-' "$program/build-flags")
      mapfile -t variables < <(grep '^[A-Z]' "$program/build-flags")
    fi
    # No VCS stamp: the version says it, and the bytes then depend on the sources alone.
    env "${variables[@]}" CGO_ENABLED=0 GOOS=linux GOARCH="$arch" go build -trimpath -buildvcs=false "${flags[@]}" \
      -ldflags "-s -w -X inpod.dev/inpod/internal/version.linked=$version" -o "$out" "./$program"
    echo "built $out $version ($(du -k "$out" | cut -f1) KiB, $((SECONDS - start)) s)"
    built=$((built + 1))
  done
done
if ((built == 0)); then
  echo "inpod: none of the programs ($programs) has a main.go" >&2
  exit 1
fi
