#!/bin/bash
# Turns CUDA_ARCH, such as "80;90", into CMAKE_CUDA_ARCHITECTURES, "80-real;90-real", or says which
# architectures there are. The list is nvcc 13.0's without the variants that only run on themselves.
set -euo pipefail
known="75 80 86 87 88 89 90 100 103 110 120 121"
out=""
for arch in $(tr ';,' '  ' <<<"${1:-}"); do
  if ! grep -qw -- "$arch" <<<"$known"; then
    echo "CUDA_ARCH: there is no architecture \"$arch\"; known are: $known (90: H100, H200; 80: A100; 89: L4, RTX 40; 120: RTX 50)" >&2
    exit 1
  fi
  out+="${out:+;}$arch-real"
done
[ -n "$out" ] || { echo "CUDA_ARCH is empty: give architectures out of: $known" >&2; exit 1; }
echo "$out"
