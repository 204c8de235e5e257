#!/bin/bash
# Packs the CUDA library (make dist-cuda), to be unpacked beside the program:
#   dist_cuda.sh LIBRARY ARCHITECTURES
set -euo pipefail
cd "$(dirname "$0")/.."
library=${1:?usage: dist_cuda.sh LIBRARY ARCHITECTURES} archs=${2:?usage: dist_cuda.sh LIBRARY ARCHITECTURES}
release=${RELEASE:?is set by make dist-cuda} version=${VERSION:?is set by make dist-cuda}
name=steer-cuda-$release-linux-$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
work=build/dist-cuda/$name
rm -rf build/dist-cuda && mkdir -p "$work/licenses/ggml" dist
cp "$library" "$work/libsteer-cuda.so"
cp LICENSE "$work/LICENSE"
cp third_party/src/ggml/LICENSE "$work/licenses/ggml/LICENSE"
glibc=$(objdump -T "$library" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -1)
cat >"$work/REQUIREMENTS.txt" <<T
libsteer-cuda.so of steer $version, for the GPU architectures $archs.
Put it beside the program of the same version. It needs NVIDIA's driver 580 or newer, cuBLAS 13
(libcublas.so.13: beside this file, in /usr/local/cuda/lib64, or in LD_LIBRARY_PATH) and glibc ${glibc#GLIBC_}.
T
(cd "$work" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS)
tar -C build/dist-cuda --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
  --mode=u=rwX,go=rX --format=gnu -cf - "$name" | gzip -n9 >"dist/$name.tar.gz"
(cd dist && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
