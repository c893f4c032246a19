#pragma once

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "gradthru/error.h"

// What the tests of the data readers share: small files and a place for them.
namespace support {

namespace fs = std::filesystem;
using gradthru::InvalidInput;

// The message of the InvalidInput that `act` throws; a test failure where it throws none.
inline std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const InvalidInput& error) {
    return error.what();
  }
  ADD_FAILURE() << "wanted InvalidInput, nothing was thrown";
  return "";
}

inline std::string read_all(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline void write_all(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

inline void write_gzip(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  gzFile stream = gzopen(file.c_str(), "wb1");
  ASSERT_EQ(gzwrite(stream, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(stream), Z_OK);
}

inline std::string big_endian(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16),
          static_cast<char>(number >> 8), static_cast<char>(number)};
}

inline std::string idx_images(uint32_t count, uint32_t height, uint32_t width,
                              const std::string& pixels) {
  return big_endian(0x803) + big_endian(count) + big_endian(height) + big_endian(width) + pixels;
}

inline std::string idx_labels(uint32_t count, const std::string& labels) {
  return big_endian(0x801) + big_endian(count) + labels;
}

// Each test has a folder of its own, holds no variable of ours, and leaves the environment alone.
class DataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "gradthru-data-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"GRADTHRU_DATA_DIR", "GRADTHRU_DIGITS", "GRADTHRU_DATA_MIRROR"}) {
      set_variable(name, nullptr);
    }
    set_variable("XDG_CACHE_HOME", (folder_ / "cache").c_str());
  }

  void TearDown() override {
    for (const auto& [name, value] : saved_) {
      if (value) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
    fs::remove_all(folder_);
  }

  void set_variable(const std::string& name, const char* value) {
    if (!saved_.contains(name)) {
      const char* before = std::getenv(name.c_str());
      saved_[name] = before == nullptr ? std::nullopt : std::optional<std::string>(before);
    }
    if (value == nullptr) {
      unsetenv(name.c_str());
    } else {
      setenv(name.c_str(), value, 1);
    }
  }

  fs::path gzipped(const std::string& bytes) {
    const fs::path file = folder_ / "file.gz";
    write_gzip(file, bytes);
    return file;
  }

  fs::path folder_;
  std::map<std::string, std::optional<std::string>> saved_;
};

}  // namespace support
