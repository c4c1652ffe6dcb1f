# Finds llama.cpp and gives it as the target llama::llama (libllama, ggml and
# the C++ library llama-common, headers as system headers). The only file that
# knows where its libraries lie. Without them there is no such target, and all
# but src/llama builds.
#
#   LLAMA=prebuilt  libraries that scripts/fetch brought, for every x86-64 CPU
#   LLAMA=source    libraries that scripts/fetch built from the pinned source
#   LLAMA=system    installed ones (find_package); llama-common's headers are
#                   never installed and come from LLAMA_COMMON_DIR
#
# llama::mtmd, for models that see, is there too where libmtmd is (scripts/fetch
# --images builds it) and IMAGES is ON.
#
# LLAMA_RUNTIME is the list of libraries that `install` puts into
# libexec/modeld/lib; the CPU backends are among them, loaded from that folder.
set(LLAMA prebuilt CACHE STRING "prebuilt, source or system")
set_property(CACHE LLAMA PROPERTY STRINGS prebuilt source system)
set(LLAMA_DIR ${CMAKE_SOURCE_DIR}/build/llama CACHE PATH
  "where scripts/fetch puts the engine")
set(LLAMA_COMMON_DIR ${LLAMA_DIR}/src CACHE PATH "llama.cpp's source")
option(IMAGES "models that see, where libmtmd is found" ON)
set(LLAMA_RUNTIME)
set(llama_libraries)

if(LLAMA STREQUAL system)
  find_package(llama QUIET)
  find_library(LLAMA_COMMON_LIBRARY NAMES llama-common)
  find_library(LLAMA_MTMD_LIBRARY NAMES mtmd)
  if(llama_FOUND AND LLAMA_COMMON_LIBRARY)
    set(llama_libraries ${LLAMA_COMMON_LIBRARY} llama)
  endif()
else()
  set(llama_libdir ${LLAMA_DIR}/${LLAMA}/lib)
  # The prebuilt ones carry the version in their name: libllama.v0.5.0.so.
  file(GLOB llama_libraries CONFIGURE_DEPENDS
    ${llama_libdir}/libllama-common.so ${llama_libdir}/libllama.so
    ${llama_libdir}/libllama.v*.so ${llama_libdir}/libggml.so
    ${llama_libdir}/libggml.v*.so ${llama_libdir}/libggml-base.so)
  unset(LLAMA_MTMD_LIBRARY CACHE)
  file(GLOB LLAMA_MTMD_LIBRARY CONFIGURE_DEPENDS ${llama_libdir}/libmtmd.so)
  file(GLOB LLAMA_RUNTIME CONFIGURE_DEPENDS ${llama_libdir}/*.so
    ${llama_libdir}/*.so.*)
endif()

if(llama_libraries AND EXISTS ${LLAMA_COMMON_DIR}/common/chat.h)
  add_library(llama::llama INTERFACE IMPORTED)
  target_include_directories(llama::llama SYSTEM INTERFACE ${LLAMA_COMMON_DIR}
    ${LLAMA_COMMON_DIR}/include ${LLAMA_COMMON_DIR}/ggml/include
    ${LLAMA_COMMON_DIR}/ggml/src
    ${LLAMA_COMMON_DIR}/common ${LLAMA_COMMON_DIR}/vendor)
  target_link_libraries(llama::llama INTERFACE ${llama_libraries})
  if(IMAGES AND LLAMA_MTMD_LIBRARY)
    add_library(llama::mtmd INTERFACE IMPORTED)
    target_include_directories(llama::mtmd SYSTEM INTERFACE
      ${LLAMA_COMMON_DIR}/tools/mtmd)
    target_link_libraries(llama::mtmd INTERFACE ${LLAMA_MTMD_LIBRARY})
  else()
    message(STATUS "modeld-llama takes no images: scripts/fetch --images "
      "brings what it lacks")
  endif()
else()
  message(STATUS "modeld-llama is left out: no llama.cpp here "
    "(LLAMA=${LLAMA}); scripts/fetch brings it")
endif()
