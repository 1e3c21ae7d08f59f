#!/usr/bin/env bash
# Sourced by the scripts that run tests: "go test -json" with what all of them have in common.
#   - no vet: the linter runs it, over the same packages
#   - time for a machine that is much slower than one would think: it costs nothing where a test ends early
#   - cgo for the race detector, and for nothing else (see the Makefile)
# usage: gotest [GO TEST FLAG]... PACKAGE...

gotest() {
  local cgo=${CGO_ENABLED:-0}
  [[ " $* " != *" -race "* ]] || cgo=1
  CGO_ENABLED=$cgo go test -json -vet=off -timeout 1h "$@"
}
