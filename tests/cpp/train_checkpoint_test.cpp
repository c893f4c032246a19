#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <system_error>

#include "support/file_size_limit.h"
#include "train/checkpoint.h"

// Torch's reader loses its directory of the archive if it throws while opening a damaged one. Read
// by the leak sanitizer; without it nobody calls this.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:mz_zip_reader_init\n";
}

namespace gradthru::train {
namespace {
namespace fs = std::filesystem;

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "train_checkpoint_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ / "last.pt";
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string bytes() const {
    std::ostringstream text;
    text << std::ifstream(path_, std::ios::binary).rdbuf();
    return text.str();
  }
  void overwrite(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  fs::path folder_, path_;
};

Checkpoint example() {
  Checkpoint checkpoint;
  for (const auto dtype : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
                           at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    checkpoint.tensors[c10::toString(dtype)] = at::arange(6).remainder(2).to(dtype).view({2, 3});
  }
  checkpoint.tensors["transposed"] = at::arange(6.0).view({2, 3}).t();
  checkpoint.tensors["scalar"] = at::ones({});
  checkpoint.tensors["empty"] = at::empty({0, 3});
  checkpoint.integers = {{"step", std::numeric_limits<int64_t>::max()}, {"low", -5}};
  checkpoint.numbers = {{"third", 1.0 / 3}, {"tiny", 5e-324}, {"best", INFINITY}, {"none", NAN}};
  checkpoint.texts = {{"method", "reinmax(tau=1.3)"}, {"utf8", "é\n\"quoted\""}};
  checkpoint.config_sha256 = "abc";
  return checkpoint;
}

void expect_equal(const Checkpoint& got, const Checkpoint& wanted) {
  ASSERT_EQ(got.tensors.size(), wanted.tensors.size());
  for (const auto& [name, tensor] : wanted.tensors) {
    EXPECT_EQ(got.tensor(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(got.tensor(name).sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(at::equal(got.tensor(name), tensor)) << name;
  }
  EXPECT_EQ(got.integers, wanted.integers);
  EXPECT_EQ(got.texts, wanted.texts);
  EXPECT_EQ(got.config_sha256, wanted.config_sha256);
  ASSERT_EQ(got.numbers.size(), wanted.numbers.size());
  for (const auto& [name, number] : wanted.numbers) {
    if (std::isnan(number)) {
      EXPECT_TRUE(std::isnan(got.number(name)));
    } else {
      EXPECT_EQ(got.number(name), number) << name;
    }
  }
}

TEST_F(CheckpointTest, ComesBackExactly) {
  save(example(), path_);
  expect_equal(load(path_), example());
  EXPECT_FALSE(fs::exists(folder_ / "last.pt.tmp"));
}

TEST_F(CheckpointTest, MissingEntriesAreNamed) {
  const Checkpoint checkpoint = example();
  try {
    checkpoint.tensor("decoder.weight");
    FAIL();
  } catch (const InvalidInput& error) {
    EXPECT_NE(std::string(error.what()).find("decoder.weight"), std::string::npos);
  }
}

void expect_refused(const fs::path& path) {
  try {
    load(path);
    FAIL() << "was read";
  } catch (const InvalidInput& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(path.string()), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST_F(CheckpointTest, ForeignFilesAreRefused) {
  expect_refused(path_);    // missing
  expect_refused(folder_);  // a folder
  overwrite("");
  expect_refused(path_);
  std::mt19937 random(1);
  std::string noise(4096, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  overwrite(noise);
  expect_refused(path_);
}

TEST_F(CheckpointTest, TruncatedFilesAreRefused) {
  save(example(), path_);
  const std::string whole = bytes();
  for (size_t size = 0; size < whole.size(); size += 37) {
    overwrite(whole.substr(0, size));
    expect_refused(path_);
  }
  overwrite(whole.substr(0, whole.size() - 1));
  expect_refused(path_);
}

// A changed byte in padding changes nothing; anywhere else it must be noticed. Never may it give
// other values, or a crash.
TEST_F(CheckpointTest, AChangedByteNeverGivesOtherValues) {
  save(example(), path_);
  const std::string whole = bytes();
  int refused = 0;
  for (size_t i = 0; i < whole.size(); i += 3) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ (i % 2 ? 0x01 : 0xff));
    overwrite(changed);
    try {
      expect_equal(load(path_), example());
    } catch (const InvalidInput&) {
      ++refused;
    }
    ASSERT_FALSE(HasFailure()) << "byte " << i;
  }
  EXPECT_GT(refused, 300);
}

TEST_F(CheckpointTest, AChangedTensorIsRefused) {
  Checkpoint checkpoint;
  checkpoint.tensors["weight"] = at::ones({1000});
  save(checkpoint, path_);
  std::string changed = bytes();
  const size_t place = changed.find(std::string("\0\0\x80\x3f\0\0\x80\x3f", 8));
  ASSERT_NE(place, std::string::npos);
  changed[place + 2000] ^= 1;
  overwrite(changed);
  expect_refused(path_);
}

TEST_F(CheckpointTest, AFullDiscLeavesTheOldOne) {
  save(example(), path_);
  Checkpoint large = example();
  large.tensors["large"] = at::ones({100000});
  {
    const support::FileSizeLimit limit(50000);
    try {
      save(large, path_);
      FAIL();
    } catch (const std::system_error& error) {
      EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos);
    }
  }
  expect_equal(load(path_), example());
  EXPECT_FALSE(fs::exists(folder_ / "last.pt.tmp"));
}

// The archive is half-written when the mistake is found; it must end in an exception all the same.
TEST_F(CheckpointTest, WhatCannotBeHeldLeavesTheOldOne) {
  save(example(), path_);
  Checkpoint wrong = example();
  wrong.tensors["zz"] = at::ones({2}, at::kComplexFloat);
  EXPECT_THROW(save(wrong, path_), std::invalid_argument);
  expect_equal(load(path_), example());
}

}  // namespace
}  // namespace gradthru::train
