#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <string>

#include "data/cifar.h"
#include "support/data_files.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;
using support::message_of;
using support::write_all;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A record whose byte number i is label + 3 i, but for the label itself.
std::string record(int label) {
  std::string bytes(1, static_cast<char>(label));
  for (int i = 0; i < 3072; ++i) bytes += static_cast<char>(label + 3 * i);
  return bytes;
}

class CifarTest : public support::DataTest {
 protected:
  fs::path file(const std::string& bytes) {
    write_all(folder_ / "some.bin", bytes);
    return folder_ / "some.bin";
  }

  void write_set(const std::string& records) {
    const fs::path set = folder_ / "cifar-10-batches-bin";
    for (int i = 1; i <= 5; ++i) {
      write_all(set / ("data_batch_" + std::to_string(i) + ".bin"), record(i) + records);
    }
    write_all(set / "test_batch.bin", record(9));
  }

  fs::path set_file(const std::string& name) { return folder_ / "cifar-10-batches-bin" / name; }
};

TEST_F(CifarTest, ReadsLabelsAndColourPlanesRowByRow) {
  const CifarImages images = read_cifar_file(file(record(3) + record(0) + record(9)));
  ASSERT_EQ(images.images.sizes(), (at::IntArrayRef{3, 3, 32, 32}));
  const int labels[] = {3, 0, 9};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(images.labels[i].item<int>(), labels[i]);
    for (const auto [c, y, x] : {std::array{0, 0, 0}, {0, 1, 2}, {1, 0, 5}, {2, 31, 31}}) {
      EXPECT_EQ(images.images[i][c][y][x].item<int>(),
                (labels[i] + 3 * (1024 * c + 32 * y + x)) % 256);
    }
  }
}

TEST_F(CifarTest, RefusesWhatIsNoListOfRecords) {
  const std::string wanted = "wanted records of 3073 bytes, got ";
  EXPECT_THAT(message_of([&] { read_cifar_file(file("")); }), HasSubstr(wanted + "0 bytes"));
  EXPECT_THAT(message_of([&] { read_cifar_file(file(record(1) + "x")); }),
              AllOf(HasSubstr("some.bin: "), HasSubstr(wanted + "3074 bytes")));
  EXPECT_THAT(message_of([&] { read_cifar_file(folder_ / "none.bin"); }),
              HasSubstr("none.bin: cannot be read"));
  EXPECT_THAT(message_of([&] { read_cifar_file(file(record(1) + record(10))); }),
              HasSubstr("record 1: wanted a label from 0 to 9, got 10"));
}

TEST_F(CifarTest, TakesTheFiveFilesInOrderAndNotesTheirHashes) {
  write_set(record(0));
  const Cifar cifar = load_cifar({.dir = folder_.string(), .verify = false});
  ASSERT_EQ(cifar.train.labels.size(0), 10);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(cifar.train.labels[i].item<int>(), i % 2 == 0 ? i / 2 + 1 : 0);
  }
  EXPECT_EQ(cifar.test.labels.size(0), 1);
  ASSERT_EQ(cifar.sha256.size(), 6u);
  EXPECT_EQ(cifar.sha256.at("test_batch.bin").size(), 64u);
}

TEST_F(CifarTest, WantsTenThousandRecordsUnlessToldOtherwise) {
  write_set("");
  EXPECT_THAT(message_of([&] { load_cifar({.dir = folder_.string()}); }),
              HasSubstr("data_batch_1.bin: wanted 10000 records, got 1"));
}

TEST_F(CifarTest, SaysWhatIsMissingAndHowToGetIt) {
  write_set("");
  fs::remove(set_file("data_batch_4.bin"));
  EXPECT_THAT(message_of([&] { load_cifar({.dir = folder_.string(), .verify = false}); }),
              AllOf(HasSubstr("file data_batch_4.bin is missing: looked in data.dir"),
                    HasSubstr("cifar-10-binary.tar.gz")));
}

}  // namespace
}  // namespace gradthru::data
