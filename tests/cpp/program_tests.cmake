gradthru_test(fidelity_test
  SOURCES cpp/fidelity_test.cpp cpp/gap_test.cpp cpp/polynomial_test.cpp LIBRARIES gradthru_lab)
gradthru_test(data_test
  SOURCES cpp/data_cifar_test.cpp cpp/data_drawings_test.cpp cpp/data_files_test.cpp
          cpp/data_sets_test.cpp
  LIBRARIES gradthru_data LibArchive::LibArchive PNG::PNG ZLIB::ZLIB)
gradthru_test(train_test
  SOURCES cpp/train_checkpoint_test.cpp cpp/train_config_test.cpp cpp/train_files_test.cpp
          cpp/train_optimiser_test.cpp cpp/train_streams_test.cpp cpp/train_terminal_test.cpp
  LIBRARIES gradthru_train nlohmann_json::nlohmann_json)
gradthru_test(report_test SOURCES cpp/report_test.cpp LIBRARIES gradthru_report)
gradthru_test(network_test
  SOURCES cpp/network_test.cpp cpp/network_fidelity_test.cpp LIBRARIES gradthru_lab)
gradthru_test(nn_test
  SOURCES cpp/nn_layer_test.cpp cpp/nn_sequential_test.cpp LIBRARIES gradthru_lab)
gradthru_test(bernoulli_vae_test SOURCES cpp/bernoulli_vae_test.cpp LIBRARIES gradthru_experiments)
gradthru_test(cost_test SOURCES cpp/cost_test.cpp LIBRARIES gradthru_experiments)
gradthru_test(listops_test
  SOURCES cpp/listops_test.cpp cpp/listops_model_test.cpp LIBRARIES gradthru_experiments)
gradthru_test(sbn_train_test SOURCES cpp/sbn_train_test.cpp LIBRARIES gradthru_experiments)
