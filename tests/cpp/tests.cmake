gradthru_test(estimator_test
  SOURCES cpp/estimator_test.cpp cpp/estimator_value_test.cpp LIBRARIES gradthru)
gradthru_test(philox_test SOURCES cpp/philox_test.cpp cpp/philox_cells_test.cpp)
gradthru_test(worked_example_test SOURCES cpp/worked_example_test.cpp LIBRARIES gradthru)
gradthru_test(sampler_test
  SOURCES cpp/sampler_test.cpp cpp/sampler_edges_test.cpp cpp/sampler_law_test.cpp
  LIBRARIES gradthru)
gradthru_test(backward_test SOURCES cpp/backward_test.cpp cpp/autograd_test.cpp LIBRARIES gradthru)
gradthru_test(exactness_test
  SOURCES cpp/exactness_test.cpp cpp/exactness_noise_test.cpp LIBRARIES gradthru)
gradthru_test(binary_test SOURCES cpp/binary_test.cpp LIBRARIES gradthru)
gradthru_test(psa_test
  SOURCES cpp/psa_test.cpp cpp/psa_contract_test.cpp cpp/psa_exactness_test.cpp LIBRARIES gradthru)
gradthru_test(logic_test SOURCES cpp/logic_test.cpp LIBRARIES gradthru)
gradthru_test(mve_test SOURCES cpp/mve_test.cpp LIBRARIES gradthru)
gradthru_test(reinmax_variants_test SOURCES cpp/reinmax_variants_test.cpp LIBRARIES gradthru)
gradthru_test(options_test
  SOURCES cpp/options_test.cpp cpp/options_binary_test.cpp cpp/options_exactness_test.cpp
  LIBRARIES gradthru)
target_compile_definitions(options_test
  PRIVATE GRADTHRU_OPTIONS_PAGE="${PROJECT_SOURCE_DIR}/docs/options.md")

# The tiles of the CUDA kernels, run on the CPU: with philox_test the only programs that look into
# src.
gradthru_test(tile_test
  SOURCES cpp/tile_test.cpp cpp/tile_sampler_test.cpp cpp/tile_binary_test.cpp
  LIBRARIES gradthru)
# Every function of a tile is inlined into every rule: optimising that fully takes minutes.
target_compile_options(tile_test PRIVATE -O1)
foreach(program tile_test philox_test)
  target_include_directories(${program} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
endforeach()

gradthru_test(expectation_test SOURCES cpp/expectation_test.cpp LIBRARIES gradthru)
gradthru_test(soak_test SOURCES cpp/soak_test.cpp LIBRARIES gradthru)

# One process per instruction set: the variable is read once.
add_executable(bits_digest cpp/bits_digest.cpp)
target_include_directories(bits_digest PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
                           ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(bits_digest PRIVATE gradthru GTest::gtest gradthru_compile_options)
gradthru_test(bits_test SOURCES cpp/bits_test.cpp LIBRARIES gradthru)
target_compile_definitions(bits_test PRIVATE GRADTHRU_BITS_DIGEST="$<TARGET_FILE:bits_digest>")
add_dependencies(bits_test bits_digest)

# The elementary functions of the vector kernels, compiled for each instruction set as they are.
gradthru_test(functions_test SOURCES cpp/functions_test.cpp LIBRARIES gradthru)
set(test_sets "")
foreach(set avx512 avx2 baseline)
  if(NOT TARGET gradthru_kernels_${set})
    continue()
  endif()
  set(kernels gradthru_kernels_${set})
  add_library(test_functions_${set} OBJECT simd/vector_functions.cpp)
  target_include_directories(test_functions_${set} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
                             $<TARGET_PROPERTY:${kernels},INCLUDE_DIRECTORIES>)
  target_compile_options(test_functions_${set} PRIVATE
                         $<TARGET_PROPERTY:${kernels},COMPILE_OPTIONS>)
  target_compile_definitions(test_functions_${set} PRIVATE
                             $<TARGET_PROPERTY:${kernels},COMPILE_DEFINITIONS>
                             GRADTHRU_TEST_SET_NAME=${set})
  target_link_libraries(functions_test PRIVATE test_functions_${set})
  string(APPEND test_sets " GRADTHRU_TEST_SET(${set})")
endforeach()
foreach(program functions_test test_functions_avx512 test_functions_avx2 test_functions_baseline)
  if(TARGET ${program})
    target_compile_definitions(${program} PRIVATE "GRADTHRU_TEST_SETS=${test_sets}")
  endif()
endforeach()
gradthru_test(error_bound_test SOURCES cpp/error_bound_test.cpp LIBRARIES gradthru)
gradthru_test(tail_test SOURCES cpp/tail_test.cpp LIBRARIES gradthru)

# Not in the default run: `ctest -C slow -L slow`.
add_executable(huge_test cpp/huge_test.cpp)
target_include_directories(huge_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}
                           ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(huge_test PRIVATE gradthru GTest::gtest_main gradthru_compile_options)
add_test(NAME huge_test CONFIGURATIONS slow COMMAND huge_test)
add_test(NAME soak CONFIGURATIONS slow COMMAND soak_test)
set_tests_properties(soak PROPERTIES ENVIRONMENT GRADTHRU_SOAK_DRAWS=1000000000)
add_test(NAME functions_exhaustive CONFIGURATIONS slow COMMAND functions_test)
set_tests_properties(functions_exhaustive PROPERTIES ENVIRONMENT GRADTHRU_EXHAUSTIVE=1)
set_tests_properties(huge_test soak functions_exhaustive PROPERTIES LABELS slow TIMEOUT 400000)

# Debian's librapidcheck-dev; without it the test is skipped by name.
find_package(rapidcheck QUIET)
if(rapidcheck_FOUND)
  gradthru_test(property_test SOURCES cpp/property_test.cpp LIBRARIES gradthru rapidcheck)
else()
  gradthru_test(property_test SOURCES cpp/property_skipped.cpp)
endif()

# What differs most between the sets of instructions, on the oldest of them: half precision, every
# rule, and what no other program asks of it.
function(gradthru_baseline_test program filter)
  add_test(NAME ${program}_baseline COMMAND ${program} --gtest_filter=${filter})
  set_tests_properties(${program}_baseline PROPERTIES ENVIRONMENT GRADTHRU_CPU=baseline)
endfunction()
gradthru_baseline_test(options_test "Table/Option.*_dtypes")
gradthru_baseline_test(backward_test "*.AllSizes/*")
gradthru_baseline_test(psa_test "Psa*.*")
gradthru_baseline_test(tail_test "Deep.*:InverseCdf.*:Race.*")
gradthru_baseline_test(bits_test "*OnTheSplitOfTheBatch/*_Half:*OnTheLayout/*_BFloat16")

# What looks into every kernel: run under sanitizers as well.
set(kernel_tests philox_test sampler_test backward_test binary_test mve_test logic_test psa_test soak_test
                 tail_test)
set_tests_properties(${kernel_tests} PROPERTIES LABELS kernels)
add_custom_target(kernel_tests DEPENDS ${kernel_tests})
