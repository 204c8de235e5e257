#!/usr/bin/env bash
# staticcheck and deadcode over the whole program, tests included, as tools/go.mod pins them:
#   tools/lint_go.sh [GO]
# What they find fails, except for what tools/lint_exempt.txt names.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${1:-go}

# Both end with 1 when they have found something: what matters is what they print.
found=$("$go" tool -modfile=tools/go.mod staticcheck ./... 2>&1 || true)
found+=$'\n'$("$go" tool -modfile=tools/go.mod deadcode -test ./... 2>&1 || true)
status=0 exempt=()
while IFS='#' read -r name reason; do
  name=${name%"${name##*[![:space:]]}"}
  if [ -n "$name" ]; then
    grep -qF -- "$name" <<<"$found" || echo "tools/lint_exempt.txt: nothing is found any more of \"$name\": remove the line"
    exempt+=(-e "$name")
  fi
done <tools/lint_exempt.txt
[ ${#exempt[@]} = 0 ] || found=$(grep -vF "${exempt[@]}" <<<"$found" || true)
if grep . <<<"$found"; then
  status=1
fi
exit $status
