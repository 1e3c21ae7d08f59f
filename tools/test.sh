#!/usr/bin/env bash
# Runs the suites one after the other, all of them even when one fails, and closes with one line for each.
# Each suite is the make target test-SUITE; its output goes to the screen and, whole, to dist/test/SUITE.out.
# usage: test.sh [--build-cluster] SUITE...
#        --build-cluster compiles the local cluster's programs meanwhile, until the suite e2e needs them
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p dist/test
rm -f dist/test/*.line dist/test/*.out

# The first time, the cluster's programs take minutes of both processors. They are compiled behind the suites that do
# not need them, at the lowest priority, so that tests which wait for something are not slowed.
builder="" teller="" build_out=dist/test/cluster-build.out
start_build() {
  # In a session of its own, so that an interrupt can end all of it.
  setsid nice -n 19 go run -C e2e/cluster . build >"$build_out" 2>&1 </dev/null &
  builder=$!
  echo "the local cluster's programs are compiled meanwhile, if they are not there yet (output: $build_out)"
  tell_of_build &
  teller=$!
}

tell_of_build() {
  # A pipe that nobody writes to is a sleep without a process, which an interrupt would leave behind.
  while ! read -rt 60 <> <(:) && kill -0 "$builder" 2>/dev/null; do
    echo "(meanwhile: $(last_of_build))"
  done
}

last_of_build() { tail -n 1 "$build_out" | sed 's/^ *[0-9.]*s  //'; }

# await_build lets one see what there is to wait for. A failed build is left to the suite, which tries again and says
# what is wrong.
await_build() {
  [[ -n $builder ]] || return 0
  if kill -0 "$builder" 2>/dev/null; then
    echo "waiting for the local cluster's programs:"
    tail -n 1 -f --pid="$builder" "$build_out"
  fi
  wait "$builder" || echo "(compiling the local cluster's programs failed: $(last_of_build))"
  builder=""
}

# shellcheck disable=SC2329 # called by a trap
end_build() {
  [[ -z $teller ]] || kill "$teller" 2>/dev/null || true
  [[ -z $builder ]] || kill -- "-$builder" 2>/dev/null || true
}
trap end_build EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ $1 == --build-cluster ]]; then
  shift
  # Elsewhere there is no local cluster, and the suite says so.
  if [[ $(uname) == Linux && $(id -u) == 0 ]]; then start_build; fi
fi

start=$SECONDS lines=() failed=()
for suite in "$@"; do
  if [[ $suite == fuzz-seeds && -f dist/test/fuzz-seeds.log.line ]]; then # ran along with the unit tests
    lines+=("$(cat dist/test/fuzz-seeds.log.line)")
    [[ ${lines[-1]} != *FAILED* ]] || failed+=("$suite")
    continue
  fi
  printf '\n== %s\n' "$suite"
  [[ $suite != e2e ]] || await_build
  begun=$SECONDS status=0
  "${MAKE:-make}" "test-$suite" 2>&1 | tee "dist/test/$suite.out" || status=$?
  # A suite that stopped before its own closing line (no compiler, no cluster) gets one from here.
  line=$(cat "dist/test/$suite.log.line" 2>/dev/null) ||
    line="$suite: FAILED in $((SECONDS - begun)) s before its tests ran (log: dist/test/$suite.out)"
  lines+=("$line")
  # The unit tests' exit code speaks of the seeds too, which have a line of their own.
  if [[ $suite == unit && $line != *FAILED* && $(cat dist/test/fuzz-seeds.log.line 2>/dev/null) == *FAILED* ]]; then status=0; fi
  if ((status != 0)); then
    failed+=("$suite")
    [[ $line == *FAILED* ]] || lines[-1]="$suite: FAILED with exit code $status (log: dist/test/$suite.out)"
  fi
done

took="$(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s"
printf '\n== result\n'
printf '%s\n' "${lines[@]}"
if ((${#failed[@]})); then
  echo "make test: FAILED in $took: ${failed[*]}"
  exit 1
fi
echo "make test: ok, $# suites in $took"
