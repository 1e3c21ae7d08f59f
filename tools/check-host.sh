#!/usr/bin/env bash
# Says in one message what this machine lacks to run the make targets: Go 1.26 or newer, make and git.
# Everything else is built from pinned modules or installed by the target that needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v git >/dev/null || missing+=("git, for example: apt-get install git")
command -v make >/dev/null || missing+=("GNU make, for example: apt-get install make")

wanted=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
if ! command -v go >/dev/null; then
  missing+=("Go $wanted or newer, see https://go.dev/doc/install (Debian's own package may be older)")
else
  # An older go either names itself here or, configured not to fetch a newer one, refuses to read go.mod.
  have=$(go env GOVERSION 2>/dev/null || go version 2>/dev/null | awk '{print $3}' || true)
  have=${have#go}
  have=${have%%[^0-9.]*}
  if [[ -z "$have" || "$(printf '%s\n' "$wanted" "$have" | sort -V | head -1)" != "$wanted" ]]; then
    missing+=("Go $wanted or newer, this is ${have:-an older one that refuses this go.mod}: https://go.dev/doc/install")
  fi
fi

if ((${#missing[@]})); then
  echo "inpod: this machine lacks:" >&2
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi
