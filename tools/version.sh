#!/usr/bin/env bash
# Prints the version of this checkout. On a tag vX.Y.Z it is X.Y.Z; between tags it is the chart's appVersion with
# the commit, X.Y.Z-dev.COMMIT, and .dirty when files differ from it. It is a valid image tag and a valid semver.
set -euo pipefail
cd "$(dirname "$0")/.."

base=$(sed -n 's/^appVersion: *"\{0,1\}\([^"]*\)"\{0,1\} *$/\1/p' charts/inpod/Chart.yaml)
if ! commit=$(git rev-parse --short=12 HEAD 2>/dev/null); then
  echo "$base-dev" # a source archive without history
  exit 0
fi
dirty=""
if [[ -n $(git status --porcelain --untracked-files=no 2>/dev/null) ]]; then
  dirty=.dirty
fi
tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null || true)
if [[ -n $tag && -z $dirty ]]; then
  echo "${tag#v}"
else
  # A commit of digits only with a leading zero is no valid semver identifier; the letter makes it one.
  echo "$base-dev.g$commit$dirty"
fi
