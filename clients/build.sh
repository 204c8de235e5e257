#!/usr/bin/env bash
# Builds the clients into a folder: llama.cpp as PyPI's llama-cpp-python brings it, and the Ollama whose
# module go.mod names. What is there already stays.
#
#   clients/build.sh FOLDER PYTHON
set -euo pipefail
folder=$1 python=$2
version=0.3.36 # of llama-cpp-python; its llama.cpp is in the source archive
go=${GO:-go}
ollama=$("$go" list -m -f '{{.Version}}' github.com/ollama/ollama)
mkdir -p "$folder/src" "$folder/bin"
source="$folder/src/llama_cpp_python-$version"

if [ ! -d "$source" ]; then
  echo "fetching llama-cpp-python $version (77 MB)"
  "$python" -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: -d "$folder/src" \
    "llama-cpp-python==$version"
  tar -xzf "$source.tar.gz" -C "$folder/src"
fi

# The module of Ollama lacks headers of others that lie in a folder "vendor", which modules leave out.
# Those of llama.cpp are the same.
if [ "$(cat "$folder/bin/ollama.version" 2>/dev/null)" != "$ollama" ]; then
  echo "building Ollama $ollama (some minutes)"
  headers="-O2 -I$source/vendor/llama.cpp/vendor"
  GOBIN="$folder/bin" CGO_ENABLED=1 CGO_CFLAGS="$headers" CGO_CXXFLAGS="$headers" CGO_LDFLAGS= GOFLAGS= \
    "$go" install -p 2 "github.com/ollama/ollama@$ollama" 2>"$folder/ollama.log" || { tail -20 "$folder/ollama.log"; exit 1; }
  echo "$ollama" >"$folder/bin/ollama.version"
fi

if [ ! -e "$folder/llama/bin/libllama.so" ] || [ ! -e "$folder/llama/bin/llama-completion" ]; then
  echo "building llama.cpp (some minutes)"
  { cmake -G Ninja -S "$source/vendor/llama.cpp" -B "$folder/llama" -DCMAKE_BUILD_TYPE=Release \
      -DBUILD_SHARED_LIBS=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF &&
    ninja -C "$folder/llama" -j2 llama llama-completion; } >"$folder/llama.log" 2>&1 ||
    { tail -20 "$folder/llama.log"; exit 1; }
fi
