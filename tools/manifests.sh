#!/usr/bin/env bash
# Renders the chart into one file for people who do not use Helm, with the namespace it goes to.
# usage: manifests.sh HELM VERSION IMAGE_PREFIX FILE
set -euo pipefail
cd "$(dirname "$0")/.."
helm=$1 version=$2 prefix=$3 file=$4
namespace=inpod-system

mkdir -p "$(dirname "$file")"
{
  cat <<EOF
# inpod $version, rendered by "make manifests". Apply it with: kubectl apply -f inpod.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
EOF
  "$helm" template inpod charts/inpod --namespace "$namespace" --skip-tests \
    --set-string "image.prefix=$prefix" --set-string "image.tag=$version"
} >"$file.tmp"
mv "$file.tmp" "$file"
echo "wrote $file: namespace $namespace, images $prefix/...:$version"
