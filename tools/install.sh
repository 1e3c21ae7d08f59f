#!/usr/bin/env bash
# Builds the tools pinned in tools/go.mod and links them into .tools/bin, so that a target can say .tools/bin/helm.
# The binaries rest outside the repository, under a name made from the module files, the Go version and the
# platform: a second checkout, and every later run, finds them in no time.
# usage: install.sh TOOL...   (golangci-lint, gofumpt, helm, or a program in this folder: testsum)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

package_of() {
  case $1 in
    golangci-lint) echo github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
    gofumpt) echo mvdan.cc/gofumpt ;;
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    *) [[ -f "$here/$1/main.go" ]] && echo "./$1" ;;
  esac
}

version_of() {
  local module=${1%/cmd/*}
  (cd "$here" && go list -m -f '{{.Version}}' "$module")
}

# key hashes what decides the bytes of a tool: the pinned modules, or the sources for a program of this folder.
key() {
  local package=$1
  {
    (cd "$here" && go env GOVERSION GOOS GOARCH)
    cat "$here/go.mod" "$here/go.sum"
    if [[ $package == ./* ]]; then cat "$here/$package"/*.go; fi
  } | sha256sum | cut -c1-16
}

build() {
  local tool=$1 package=$2 target=$3 ldflags="-s -w"
  case $package in
    ./*) ;;
    *)
      local version
      version=$(version_of "$package")
      echo "building $tool $version from tools/go.mod (once, a minute or two)" >&2
      # go build leaves helm's version at major.minor; the full one is a link-time setting.
      [[ $tool != helm ]] || ldflags+=" -X helm.sh/helm/v4/internal/version.version=$version"
      ;;
  esac
  mkdir -p "$(dirname "$target")"
  # The hundreds of modules that an empty cache lacks are not worth a line each.
  (cd "$here" && CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$target.$$" "$package") \
    2> >(grep -v '^go: downloading ' >&2)
  mv "$target.$$" "$target"
}

mkdir -p "$root/.tools/bin"
for tool in "$@"; do
  package=$(package_of "$tool") || { echo "inpod: no tool is called '$tool'" >&2; exit 2; }
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/inpod/tools/$(key "$package")
  if [[ ! -x "$cache/$tool" ]]; then
    build "$tool" "$package" "$cache/$tool"
  fi
  ln -sfn "$cache/$tool" "$root/.tools/bin/$tool"
done
