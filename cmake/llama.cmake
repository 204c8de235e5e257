# libllama: loader, tokenizer, decode. Only `llama` architecture models are trained, but
# the library is built whole, so that an update of the module is a rebuild and no more.
file(GLOB LLAMA_SOURCES CONFIGURE_DEPENDS ${LLAMA_DIR}/src/*.cpp ${LLAMA_DIR}/src/models/*.cpp)
add_library(llama STATIC ${LLAMA_SOURCES})
target_include_directories(llama PUBLIC ${LLAMA_DIR}/include PRIVATE ${LLAMA_DIR}/src)
target_compile_definitions(llama PRIVATE NDEBUG _GNU_SOURCE)
target_compile_options(llama PRIVATE -w -O2)
target_link_libraries(llama PUBLIC ggml)
