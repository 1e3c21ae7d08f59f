#!/usr/bin/env bash
# Builds the images of the programs that were built, from nothing but the Dockerfile and bin/: no registry, no
# network, no daemon. Writes docker archives: dist/images/PROGRAM.tar for this machine's architecture (what a node
# here loads) and dist/images/linux-ARCH/PROGRAM.tar for any other.
# usage: images.sh VERSION PREFIX "PROGRAM..." "ARCH..." HOST_ARCH
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 prefix=$2 programs=$3 arches=$4 host_arch=$5

# chroot and vfs need no privileges beyond root in a plain container; the storage is our own and goes away after.
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
storage=$(mktemp -d)
buildah() { command buildah --root "$storage/root" --runroot "$storage/run" "$@"; }
trap 'rm -rf "$storage"' EXIT

# full_name gives a name its registry, docker.io when it has none, as every container runtime reads it.
full_name() {
  local first=${1%%/*}
  if [[ $1 == */* && ($first == *.* || $first == *:* || $first == localhost) ]]; then echo "$1"; else echo "docker.io/$1"; fi
}

revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
timestamp=$(git log -1 --format=%ct 2>/dev/null || echo 0)
rm -rf dist/images
for arch in $arches; do
  folder=dist/images/linux-$arch
  [[ $arch != "$host_arch" ]] || folder=dist/images
  mkdir -p "$folder"
  for program in $programs; do
    [[ -f bin/linux-$arch/$program ]] || continue
    name=$(full_name "$prefix/$program:$version")
    buildah build --quiet --network=none --platform "linux/$arch" --target "$program" --format docker \
      --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --timestamp "$timestamp" \
      --tag "$name" --file Dockerfile . >/dev/null
    buildah push --quiet "$name" "docker-archive:$folder/$program.tar:$name"
    echo "image ${name#docker.io/} ($arch) in $folder/$program.tar ($(du -k "$folder/$program.tar" | cut -f1) KiB)"
  done
done
