# Copies the parts of the ollama module that are compiled here to third_party/src/,
# applies third_party/patches/*.patch, and stamps the copy with its version.
# Sets GGML_DIR and LLAMA_DIR.
set(VENDOR_DIR ${CMAKE_SOURCE_DIR}/third_party/src)
set(GGML_DIR ${VENDOR_DIR}/ggml)
set(LLAMA_DIR ${VENDOR_DIR}/llama.cpp)

file(STRINGS ${CMAKE_SOURCE_DIR}/go.mod OLLAMA_LINE REGEX "github.com/ollama/ollama v")
string(REGEX MATCH "v[0-9][^ ]*" OLLAMA_VERSION "${OLLAMA_LINE}")
if(NOT OLLAMA_VERSION)
  message(FATAL_ERROR "go.mod does not require github.com/ollama/ollama: cannot tell which ggml to build")
endif()
file(GLOB VENDOR_PATCHES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/third_party/patches/*.patch)
set(VENDOR_ID "ollama ${OLLAMA_VERSION} ${STEER_OLLAMA_DIR}")
foreach(patch ${VENDOR_PATCHES})
  file(SHA256 ${patch} sum)
  string(APPEND VENDOR_ID "\n${sum}")
endforeach()

set(VENDOR_STAMP "")
if(EXISTS ${VENDOR_DIR}/STAMP)
  file(READ ${VENDOR_DIR}/STAMP VENDOR_STAMP)
endif()
if(NOT VENDOR_STAMP STREQUAL VENDOR_ID)
  set(tree ${STEER_OLLAMA_DIR})
  if(NOT tree)
    execute_process(COMMAND go mod download github.com/ollama/ollama WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} RESULT_VARIABLE failed)
    execute_process(COMMAND go list -m -f "{{.Dir}}" github.com/ollama/ollama
      WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} OUTPUT_VARIABLE tree OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(failed OR NOT tree)
      message(FATAL_ERROR "cannot fetch github.com/ollama/ollama ${OLLAMA_VERSION} with `go mod download`: "
        "check the network or GOPROXY, or pass -DSTEER_OLLAMA_DIR=<source tree>")
    endif()
  endif()
  message(STATUS "vendoring ggml and llama.cpp from ollama ${OLLAMA_VERSION}")
  file(REMOVE_RECURSE ${VENDOR_DIR})
  file(COPY ${tree}/ml/backend/ggml/ggml/ DESTINATION ${GGML_DIR} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
    DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE
    PATTERN "*.go" EXCLUDE PATTERN "ggml-metal" EXCLUDE PATTERN "ggml-vulkan" EXCLUDE PATTERN "ggml-hip" EXCLUDE PATTERN "ggml-blas" EXCLUDE)
  file(COPY ${tree}/llama/llama.cpp/ DESTINATION ${LLAMA_DIR} FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
    DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE
    PATTERN "*.go" EXCLUDE PATTERN "tools" EXCLUDE PATTERN "common" EXCLUDE)
  foreach(patch ${VENDOR_PATCHES})
    execute_process(COMMAND patch -p1 -i ${patch} WORKING_DIRECTORY ${VENDOR_DIR} RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "patch ${patch} does not apply to ollama ${OLLAMA_VERSION}")
    endif()
  endforeach()
  file(WRITE ${VENDOR_DIR}/STAMP "${VENDOR_ID}")
endif()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/go.mod ${VENDOR_DIR}/STAMP)
