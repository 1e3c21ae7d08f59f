#!/usr/bin/env bash
# Pushes the archives of dist/images to a registry, one multi-architecture image per program.
# Credentials are those of "buildah login" or "docker login".
# usage: push.sh VERSION PREFIX "PROGRAM..."   (TLS_VERIFY=false for a registry without TLS)
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 prefix=$2 programs=$3

export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
storage=$(mktemp -d)
buildah() { command buildah --root "$storage/root" --runroot "$storage/run" "$@"; }
trap 'rm -rf "$storage"' EXIT

for program in $programs; do
  archives=()
  for archive in "dist/images/$program.tar" dist/images/linux-*/"$program.tar"; do
    [[ ! -f $archive ]] || archives+=("$archive")
  done
  ((${#archives[@]})) || continue
  list=localhost/inpod-$program
  buildah manifest create "$list" >/dev/null
  for archive in "${archives[@]}"; do
    buildah manifest add "$list" "docker-archive:$archive" >/dev/null
  done
  buildah manifest push --quiet --all --tls-verify="${TLS_VERIFY:-true}" "$list" "docker://$prefix/$program:$version" >/dev/null
  echo "pushed $prefix/$program:$version (${#archives[@]} architectures)"
done
