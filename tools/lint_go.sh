#!/usr/bin/env bash
# staticcheck and deadcode over the whole program, tests included, as tools/go.mod pins them:
#   tools/lint_go.sh [GO]
# What they find fails, except for what tools/lint_exempt.txt names.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${1:-go}

found=
# check TOOL ARGUMENTS: adds what it prints to found. 1 says that it has found something; more, that
# it did not come to an end.
check() {
  local out rc=0
  out=$("$go" tool -modfile=tools/go.mod "$@" ./... 2>&1) || rc=$?
  [ $rc -le 1 ] || { echo "$out"; echo "$1 did not come to its end: exit status $rc" >&2; exit 1; }
  found+=$out$'\n'
}
check staticcheck
check deadcode -test

exempt=()
while IFS='#' read -r name reason; do
  name=${name%"${name##*[![:space:]]}"}
  if [ -n "$name" ]; then
    grep -qF -- "$name" <<<"$found" || echo "tools/lint_exempt.txt: nothing is found any more of \"$name\": remove the line"
    exempt+=(-e "$name")
  fi
done <tools/lint_exempt.txt
[ ${#exempt[@]} = 0 ] || found=$(grep -vF "${exempt[@]}" <<<"$found" || true)
! grep . <<<"$found"
