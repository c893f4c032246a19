# What every target of ours is compiled with. A compiler cache is used where there is one.
add_library(gradthru_compile_options INTERFACE)
# GCC 12 reports -Wrestrict for plain "x" + std::string (its bug 105651).
target_compile_options(gradthru_compile_options INTERFACE
  -Wall -Wextra $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>
  $<$<BOOL:${GRADTHRU_WARNINGS_AS_ERRORS}>:-Werror>)
if(GRADTHRU_SANITIZE)
  # With sanitisers GCC takes the empty part of a std::optional for uninitialised.
  target_compile_options(gradthru_compile_options INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(gradthru_compile_options INTERFACE -fsanitize=address,undefined)
  # Lines are enough to find a place, and the checks grow with what is inlined.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  set(CMAKE_CXX_FLAGS_RELEASE "-O3 -DNDEBUG")
endif()

find_program(GRADTHRU_CCACHE ccache)
if(GRADTHRU_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${GRADTHRU_CCACHE})
endif()
