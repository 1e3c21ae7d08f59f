#!/usr/bin/env bash
# Reports what "make test" cannot: whether everything generated is current, what shellcheck says of the scripts, and
# which known vulnerabilities the programs reach.
# usage: HELM=... verify.sh
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()

# state is the content of every file that git knows or would add.
state() { git ls-files -z --cached --others --exclude-standard | xargs -0 sha256sum 2>/dev/null || true; }
before=$(state)
tools/generate.sh
if stale=$(diff <(echo "$before") <(state) | sed -n 's/^> [0-9a-f]*  //p') && [[ -n $stale ]]; then
  echo "generated: NOT current; these were written now: ${stale//$'\n'/ }"
  failed+=(generated)
else
  echo "generated: current"
fi

mapfile -t scripts < <(git ls-files --cached --others --exclude-standard -- '*.sh')
if shellcheck -x "${scripts[@]}" .ci/run; then
  echo "shellcheck: ok ${#scripts[@]} scripts and .ci/run"
else
  failed+=(shellcheck)
fi

# Not among the pinned tools: its findings depend on the day, and so may its version.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./... >"$log" 2>&1; then
  echo "govulncheck: no known vulnerability is reached"
elif grep -q 'fetching vulnerabilities\|vuln.go.dev' "$log"; then
  # The database is unreachable, which says nothing about the programs.
  echo "govulncheck: NOT CHECKED, the vulnerability database https://vuln.go.dev cannot be reached from here: $(tail -1 "$log")"
else
  cat "$log"
  failed+=(govulncheck)
fi

if ((${#failed[@]})); then
  echo "verify: FAILED: ${failed[*]}"
  exit 1
fi
echo "verify: ok"
