# ggml: base + CPU backend in one static library. ggml's own CMake files are not used:
# they assume shared backends and a source tree that the module does not carry.
# No OpenMP (one thread pool owned by ggml.Device) and no BLAS (see ARCHITECTURE.md).
set(s ${GGML_DIR}/src)
set(c ${GGML_DIR}/src/ggml-cpu)
set(GGML_SOURCES
  ${s}/ggml.c ${s}/ggml.cpp ${s}/ggml-alloc.c ${s}/ggml-backend.cpp ${s}/ggml-backend-reg.cpp
  ${s}/ggml-opt.cpp ${s}/ggml-threading.cpp ${s}/ggml-quants.c ${s}/gguf.cpp
  ${s}/mem_hip.cpp ${s}/mem_nvml.cpp
  ${c}/ggml-cpu.c ${c}/ggml-cpu.cpp ${c}/repack.cpp ${c}/hbm.cpp ${c}/quants.c ${c}/traits.cpp
  ${c}/binary-ops.cpp ${c}/unary-ops.cpp ${c}/vec.cpp ${c}/ops.cpp
  ${c}/amx/amx.cpp ${c}/amx/mmq.cpp ${c}/llamafile/sgemm.cpp)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND GGML_SOURCES ${c}/arch/x86/quants.c ${c}/arch/x86/repack.cpp)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
  list(APPEND GGML_SOURCES ${c}/arch/arm/quants.c ${c}/arch/arm/repack.cpp)
endif()

add_library(ggml STATIC ${GGML_SOURCES})
target_include_directories(ggml PUBLIC ${GGML_DIR}/include PRIVATE ${s} ${c} ${c}/amx ${c}/llamafile)
target_compile_definitions(ggml PRIVATE NDEBUG _GNU_SOURCE GGML_USE_CPU GGML_USE_LLAMAFILE GGML_SCHED_MAX_COPIES=1
  GGML_VERSION="${OLLAMA_VERSION}" GGML_COMMIT="${OLLAMA_VERSION}")
target_compile_options(ggml PRIVATE -w)
if(STEER_NATIVE)
  target_compile_options(ggml PRIVATE -march=native)
endif()
target_link_libraries(ggml PUBLIC Threads::Threads ${CMAKE_DL_LIBS} m)
