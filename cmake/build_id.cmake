# STEER_BUILD_ID: what a program and a CUDA library must have in common to work together: the
# ggml they were compiled from (tensors are shared as C structs) and the list of operations.
set(id "${VENDOR_ID}")
foreach(file cgo/native/ops.h cgo/native/cuda/cuda_api.h)
  file(SHA256 ${CMAKE_CURRENT_LIST_DIR}/../${file} sum)
  string(APPEND id "\n${sum}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/../${file})
endforeach()
string(SHA256 id "${id}")
string(SUBSTRING ${id} 0 12 id)
set(STEER_BUILD_ID "ggml ${OLLAMA_VERSION} ${id}")
