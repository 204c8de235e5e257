#!/bin/bash
# Compiles every CUDA kernel with nvcc, without a GPU, for all architectures that releases hold:
#   cmake/cuda_check.sh CACHE FOLDER
# CACHE: where nvcc is kept (cmake/nvcc.sh); FOLDER: stamps of what was compiled before.
# Fails on any warning, and where a hot kernel (attention, heads) spills registers to memory
# or uses more shared memory than every architecture has.
set -euo pipefail
cache=${1:?usage: cuda_check.sh CACHE FOLDER} out=${2:?usage: cuda_check.sh CACHE FOLDER}
root=$(cd "$(dirname "$0")/.." && pwd)
sources=$root/cgo/native/cuda
ggml=$root/third_party/src/ggml
hot='^(attn|attn_back|head.*)\.cu$'
archs="80 86 89 90 120"

cu=$("$root/cmake/nvcc.sh" "$cache") || {
  echo "check-cuda: there is no nvcc. It comes by pip, so pip must reach a package index (PIP_INDEX_URL); or install a CUDA toolkit of 13.0 or newer" >&2
  exit 1
}
flags=(-std=c++17 -O3 -Werror all-warnings -Xptxas -v -Xcompiler -Wall,-Wextra -DGGML_CUDA_NO_VMM -DGGML_CUDA_PEER_MAX_BATCH_SIZE=128
  -isystem "$ggml/include" -isystem "$ggml/src" -I"$sources")
for a in $archs; do flags+=(-gencode "arch=compute_$a,code=sm_$a"); done
mkdir -p "$out"

# What a file's result depends on besides itself.
common=$({ "$cu/bin/nvcc" --version; echo "${flags[@]}"; cat "$0" "$sources"/*.h "$sources/../ops.h"; cat "$root/third_party/src/STAMP"; } | sha256sum | cut -c1-16)

check() { # FILE: compiles it unless its stamp is there
  local file=$1 name log stamp
  name=$(basename "$file") log=$out/$name.log
  stamp=$out/$name.$(sha256sum <"$file" | cut -c1-16).$common
  [ -e "$stamp" ] && return 0
  if ! "$cu/bin/nvcc" "${flags[@]}" -c "$file" -o "$out/$name.o" >"$log" 2>&1; then
    grep -vE '^(ptxas )?info|bytes stack frame' "$log" >&2 || true
    echo "check-cuda: $name does not compile" >&2
    return 1
  fi
  if [[ $name =~ $hot ]] && grep -qE '[1-9][0-9]* bytes spill' "$log"; then
    grep -B1 -E '[1-9][0-9]* bytes spill' "$log" | sed 's/^ptxas info *: *//' >&2
    echo "check-cuda: $name spills registers to memory" >&2
    return 1
  fi
  rm -f "$out/$name".*.* "$out/$name.o"
  touch "$stamp"
  echo "$name" >>"$out/compiled"
}
rm -f "$out/compiled"

# Two at a time, the slowest first.
failed=0 running=0
for file in $(ls -S "$sources"/*.cu); do
  check "$file" &
  running=$((running + 1))
  if [ $running -ge 2 ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
done
while [ $running -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
[ $failed = 0 ] || exit 1
echo "check-cuda: $(ls "$sources"/*.cu | wc -l) files for sm_${archs// /, sm_} with nvcc $("$cu/bin/nvcc" --version | sed -n 's/.*release \([0-9.]*\).*/\1/p'), no warning, no spills in attention and heads ($(cat "$out/compiled" 2>/dev/null | wc -l) compiled now)"
