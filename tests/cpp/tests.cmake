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
