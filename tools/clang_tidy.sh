#!/usr/bin/env bash
# clang-tidy over all C++ of cgo/native, with the checks of .clang-tidy:
#   tools/clang_tidy.sh
# Each file is read as one of three builds compiles it; these need to be configured, not built
# (build/native, build/cuda-emulation, build/cuda-test). CUDA's files are read as C++, by way of
# the emulated GPU; cuda/context.cu needs CUDA itself and is left to `make check-cuda`.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang-tidy >/dev/null || { echo "clang-tidy is missing: sudo apt-get install clang-tidy" >&2; exit 1; }

# tidy FOLDER PATTERN: the files of a build's list that match.
tidy() {
  { grep -o '"file": "[^"]*"' "$1/compile_commands.json" || true; } | cut -d'"' -f4 | { grep "/cgo/native/$2" || true; } | sort -u >"$1/tidy.files"
  [ -s "$1/tidy.files" ] || { echo "clang-tidy: $1/compile_commands.json names no file of cgo/native/$2" >&2; exit 1; }
  # GCC takes C++17 for granted, clang may not. What clang-tidy counts on stderr is of no use.
  xargs -P "$(nproc)" -n 2 clang-tidy -p "$1" --quiet --extra-arg=-std=gnu++17 <"$1/tidy.files" 2>"$1/tidy.log" ||
    { echo "clang-tidy has found something in the files of $1/tidy.files" >&2; grep -i '^error' "$1/tidy.log" >&2 || true; return 1; }
}

status=0
tidy build/native '\(cpu/\)\?[^/]*$' || status=1
tidy build/cuda-emulation 'cuda/.*\(cpp\|cu\)$' || status=1
tidy build/cuda-test '\(cuda/\)\?test/' || status=1
exit $status
