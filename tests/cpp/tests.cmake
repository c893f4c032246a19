gradthru_test(data_test SOURCES cpp/data_test.cpp LIBRARIES gradthru_data ZLIB::ZLIB)
