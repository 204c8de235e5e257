#!/usr/bin/env bash
# compare.sh REF: the speed of this working tree against another revision's.
#
# Builds the other revision in a worktree of its own, runs `steer bench` of both in turn and
# lets benchstat say what changed, with its spread. Environment:
#   MODEL   GGUF file                       ROUNDS  runs of each (default 6, the least for a p-value below 0.01)
#   ARGS    further arguments of steer bench (default: --jobs train,score,rollout --steps 2)
set -euo pipefail

benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
ref=${1:?want a git revision to compare with, such as main or HEAD~1}
rounds=${ROUNDS:-6}
read -ra args <<<"${ARGS:---jobs train,score,rollout --steps 2}"
model=${MODEL:?want MODEL=FILE, a GGUF file}

die() { echo "bench-compare: $*" >&2; exit 1; }

commit=$(git rev-parse --verify --quiet "$ref^{commit}") || die "$ref is no revision of this repository"
work=$(mktemp -d)
cleanup() { git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
git worktree add --quiet --detach "$work/tree" "$commit"
make --no-print-directory -C "$work/tree" build
"$work/tree/bin/steer" bench --help 2>&1 | grep -q gobench || die "$ref has no 'steer bench --format gobench'"

run() { "$1" bench --model "$model" --format gobench "${args[@]}" 2>/dev/null >>"$2"; }
for ((i = 1; i <= rounds; i++)); do
  echo "round $i of $rounds" >&2
  if ((i % 2)); then # who runs first takes turns
    run "$work/tree/bin/steer" "$work/old.txt"
    run bin/steer "$work/new.txt"
  else
    run bin/steer "$work/new.txt"
    run "$work/tree/bin/steer" "$work/old.txt"
  fi
done
mkdir -p build/bench
cp "$work/old.txt" "$work/new.txt" build/bench/
go run "$benchstat" "$ref=build/bench/old.txt" "here=build/bench/new.txt"
