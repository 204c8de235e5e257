#!/bin/bash
# Builds dist/steer-RELEASE-linux-ARCH.tar.gz (make dist): program, documents, experiments, licences.
# The same commit gives the same bytes with the same compiler and Go, wherever the checkout lies:
# paths are left out, times are the commit's, files are sorted.
#
# The program differs from bin/steer: ggml is compiled for every CPU of the architecture, not for this
# machine's, and libstdc++ and libgcc are linked in. steer's own kernels choose by CPU in both.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go} release=${RELEASE:?is set by make dist} version=${VERSION:?is set by make dist}
root=$PWD
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
name=steer-$release-linux-$arch
native=build/dist-native
work=build/dist/$name

mkdir -p build
cmake -G Ninja -S . -B "$native" -DCMAKE_BUILD_TYPE=Release -DSTEER_NATIVE=OFF \
  "-DCMAKE_C_FLAGS=-ffile-prefix-map=$root=." "-DCMAKE_CXX_FLAGS=-ffile-prefix-map=$root=." >"$native.log" 2>&1 ||
  { tail -20 "$native.log"; exit 1; }
ninja -C "$native" --quiet

# The linker takes libstdc++ from the first folder that has one: a folder with nothing but the archive.
rm -rf build/dist
mkdir -p build/dist/static "$work"
ln -s "$(g++ -print-file-name=libstdc++.a)" build/dist/static/
CGO_ENABLED=1 CGO_LDFLAGS="-O2 -g -static-libgcc -L$root/build/dist/static -L$root/$native/lib" \
  "$go" build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version -extldflags '-Wl,--build-id=none'" \
  -o "$work/steer" ./cmd/steer
needs=$(objdump -p "$work/steer" | awk '/NEEDED/ { print $2 }' | sort)
if grep -E 'libstdc|libgcc' <<<"$needs"; then echo "make dist: these must be linked in"; exit 1; fi
glibc=$(objdump -T "$work/steer" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -1)
glibc=${glibc#GLIBC_}

cat >"$work/REQUIREMENTS.txt" <<T
steer $version
Linux on $arch with glibc $glibc or newer (ldd --version shows yours).
Shared libraries: $(tr '\n' ' ' <<<"$needs")
libstdc++ and libgcc are linked in. The program chooses its kernels by CPU: ./steer version.
An NVIDIA GPU needs libsteer-cuda.so of the same version beside the program, see docs.
T
git ls-files -- '*.md' docs experiments LICENSE CITATION.cff |
  grep -vE '^(testdata|third_party|demo|bench|eval)/|_test\.go$|\.go$' | while read -r f; do install -Dm644 "$f" "$work/$f"; done
"$go" run ./internal/licenses -go "$go" -o "$work/licenses" ./cmd/steer
for part in ggml llama.cpp; do install -Dm644 "third_party/src/$part/LICENSE" "$work/licenses/$part/LICENSE"; done
mkdir -p "$work/licenses/gcc"
for doc in /usr/share/doc/libstdc++6/copyright /usr/share/doc/gcc-*-base/copyright; do
  [ -e "$doc" ] && cp "$doc" "$work/licenses/gcc/copyright" && break
done
echo "libstdc++ and libgcc are under GPL-3.0 with the GCC Runtime Library Exception 3.1, which lets programs
of any licence link them: https://www.gnu.org/licenses/gcc-exception-3.1.html" >"$work/licenses/gcc/NOTE"
install -Dm644 third_party/README.md "$work/licenses/README.md"

(cd "$work" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum >SHA256SUMS)
mkdir -p dist
tar -C build/dist --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
  --format=gnu -cf - "$name" | gzip -n9 >"dist/$name.tar.gz"
(cd dist && sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256")
echo "dist/$name.tar.gz: $(du -m "dist/$name.tar.gz" | cut -f1) MiB, needs glibc $glibc or newer (Debian 11 and Ubuntu 20.04 have 2.31, Debian 12 has 2.36: build on the oldest you want)"
