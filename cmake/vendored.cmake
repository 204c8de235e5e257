# For builds beside the main one: the tree that cmake/vendor.cmake copied, and its stamp. Sets
# GGML_DIR, VENDOR_ID and OLLAMA_VERSION as that does.
set(VENDOR_DIR ${CMAKE_CURRENT_LIST_DIR}/../third_party/src)
set(GGML_DIR ${VENDOR_DIR}/ggml)
if(NOT EXISTS ${VENDOR_DIR}/STAMP)
  message(FATAL_ERROR "third_party/src is not there: run `make native` first")
endif()
file(READ ${VENDOR_DIR}/STAMP VENDOR_ID)
string(REGEX MATCH "v[0-9][^ ]*" OLLAMA_VERSION "${VENDOR_ID}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${VENDOR_DIR}/STAMP)
