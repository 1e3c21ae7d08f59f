#!/usr/bin/env bash
# Checks what a run on the user's own cluster needs: a kubeconfig that exists and a place its nodes pull from.
# usage: own-cluster.sh KUBECONFIG IMAGE_PREFIX
set -euo pipefail
kubeconfig=$1 prefix=$2

if [[ -z $prefix ]]; then
  cat >&2 <<EOF
inpod: KUBECONFIG is set, so your own cluster is used, and its nodes must be able to pull the images:
    make demo IMAGE_PREFIX=registry.example.com/team/inpod
builds them and pushes them there first (add SKIP_PUSH=1 when they are there already).
Without KUBECONFIG a cluster is started on this machine.
EOF
  exit 2
fi
# KUBECONFIG may be a list of files, as kubectl reads it.
IFS=: read -r -a files <<<"$kubeconfig"
for file in "${files[@]}"; do
  [[ ! -r $file ]] || exit 0
done
echo "inpod: KUBECONFIG=$kubeconfig names no file that can be read" >&2
exit 2
