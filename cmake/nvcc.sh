#!/bin/bash
# Prints the root of a CUDA toolkit (13.0 or newer, with cuBLAS) for builds:
#   cmake/nvcc.sh CACHE
# the system's if there is one, else pip wheels in a virtual environment CACHE/cuda-13.0
# (made on the first call: 700 MB to fetch, 840 MB on disk). Nothing is installed elsewhere.
#
# 13.0 is pinned because real code of 13.0 runs on every driver from 580 on.
set -euo pipefail
cache=${1:?usage: nvcc.sh CACHE}

version() { "$1/bin/nvcc" --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\.\([0-9]*\).*/\1\2/p'; }

for root in "${CUDA_PATH:-}" "${CUDA_HOME:-}" /usr/local/cuda "$(dirname "$(dirname "$(command -v nvcc || echo /none/bin/nvcc)")")"; do
  if [ -n "$root" ] && [ -x "$root/bin/nvcc" ] && [ "$(version "$root")" -ge 130 ] && [ -n "$(find "$root/" -name cublas_v2.h -print -quit)" ]; then
    echo "$root"; exit
  fi
done

venv=$cache/cuda-13.0
mkdir -p "$cache"
exec 9>"$cache/cuda-13.0.lock"
flock 9 # two builds at once fetch it once
root() { find "$venv"/lib/python3*/site-packages/nvidia -maxdepth 1 -name cu13 2>/dev/null | head -1; }
if [ ! -e "$venv/complete" ]; then
  python3 -c 'import ensurepip, venv' 2>/dev/null || { echo "neither a CUDA toolkit of 13.0 or newer nor python3-venv: install one of them (Debian: apt-get install python3-venv)" >&2; exit 1; }
  echo "fetching nvcc 13.0 and cuBLAS (700 MB) into $venv" >&2
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check "cuda-toolkit[nvcc,cudart,crt,cccl,nvvm]==13.0.2" >&2
  "$venv/bin/pip" install -q --disable-pip-version-check --no-deps nvidia-cublas==13.1.0.3 >&2 # without its nvrtc
  cu=$(root)
  ln -sfn lib "$cu/lib64"
  for l in cudart cublas cublasLt; do ln -sf lib$l.so.13 "$cu/lib/lib$l.so"; done # wheels hold only .so.13
  touch "$venv/complete"
fi
root
