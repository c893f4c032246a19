gradthru_test(data_test SOURCES cpp/data_test.cpp LIBRARIES gradthru_data ZLIB::ZLIB)
gradthru_test(train_test
  SOURCES cpp/train_checkpoint_test.cpp cpp/train_config_test.cpp cpp/train_files_test.cpp
          cpp/train_optimiser_test.cpp cpp/train_streams_test.cpp cpp/train_terminal_test.cpp
  LIBRARIES gradthru_train nlohmann_json::nlohmann_json)
gradthru_test(estimator_test SOURCES cpp/estimator_test.cpp LIBRARIES gradthru)
gradthru_test(philox_test SOURCES cpp/philox_test.cpp)
gradthru_test(worked_example_test SOURCES cpp/worked_example_test.cpp LIBRARIES gradthru)
gradthru_test(sampler_test
  SOURCES cpp/sampler_test.cpp cpp/sampler_edges_test.cpp cpp/sampler_law_test.cpp
  LIBRARIES gradthru)
gradthru_test(backward_test SOURCES cpp/backward_test.cpp cpp/autograd_test.cpp LIBRARIES gradthru)
gradthru_test(exactness_test
  SOURCES cpp/exactness_test.cpp cpp/exactness_noise_test.cpp LIBRARIES gradthru)
gradthru_test(binary_test SOURCES cpp/binary_test.cpp LIBRARIES gradthru)
