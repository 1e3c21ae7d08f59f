#!/usr/bin/env bash
# Makes sure that a command exists, installing Debian packages for it when this is Debian and we are root.
# usage: need.sh COMMAND PACKAGE...
set -euo pipefail

command=$1
shift
if command -v "$command" >/dev/null; then
  exit 0
fi
if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
  echo "inpod: '$command' is needed and not here; install it (Debian: apt-get install $*) and run this again." >&2
  exit 1
fi

# One apt-get at a time: its own locks do not wait in all cases. e2e/cluster uses the same file.
mkdir -p /run/lock
exec 9>/run/lock/inpod-apt
flock 9
if command -v "$command" >/dev/null; then
  exit 0
fi

echo "installing Debian packages for '$command': $*" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}
# A machine that has never fetched package lists fails the first attempt; then the lists are fetched.
if ! install "$@" >"$log" 2>&1; then
  if ! { apt-get update -q -o DPkg::Lock::Timeout=300 && install "$@"; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "inpod: could not install $*; its output is above." >&2
    exit 1
  fi
fi
command -v "$command" >/dev/null
