#include "support/data_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "data/digits.h"
#include "data/gzip.h"
#include "data/idx.h"
#include "data/image_set.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;
using support::DataTest;
using support::idx_images;
using support::idx_labels;
using support::message_of;
using support::read_all;
using support::write_all;
using support::write_gzip;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using IdxTest = DataTest;
using DigitsTest = DataTest;

TEST_F(IdxTest, ReadsBigEndianSizesAndEveryByte) {
  std::string pixels;
  for (int i = 0; i < 300 * 2 * 3; ++i) pixels += static_cast<char>(i);
  const IdxImages images = read_idx_images(gzipped(idx_images(300, 2, 3, pixels)));
  EXPECT_EQ(images.count, 300);
  EXPECT_EQ(images.height, 2);
  EXPECT_EQ(images.width, 3);
  EXPECT_EQ(std::string(images.pixels.begin(), images.pixels.end()), pixels);
  EXPECT_THAT(read_idx_labels(gzipped(idx_labels(3, {"\0\7\11", 3}))), ElementsAre(0, 7, 9));
}

TEST_F(IdxTest, ReadsAFileThatConsistsOfSeveralGzipMembers) {
  const std::string first = read_all(gzipped(idx_labels(3, "\1")));
  const std::string second = read_all(gzipped("\2\3"));
  write_all(folder_ / "two.gz", first + second);
  EXPECT_THAT(read_idx_labels(folder_ / "two.gz"), ElementsAre(1, 2, 3));
}

TEST_F(IdxTest, RefusesTheOtherKind) {
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped(idx_labels(1, "\1"))); }),
              HasSubstr("file.gz: wanted magic 0x803 (images), got 0x801"));
  EXPECT_THAT(message_of([&] { read_idx_labels(gzipped(idx_images(1, 1, 1, "\1"))); }),
              HasSubstr("file.gz: wanted magic 0x801 (labels), got 0x803"));
}

TEST_F(IdxTest, RefusesFewerOrMoreBytesThanTheHeaderSays) {
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped(idx_images(2, 2, 2, "1234567"))); }),
              HasSubstr("wanted 8 bytes after the header (2x2x2), got 7"));
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped(idx_images(2, 2, 2, "123456789"))); }),
              HasSubstr("wanted 8 bytes after the header (2x2x2), got more"));
  EXPECT_THAT(message_of([&] { read_idx_labels(gzipped(idx_labels(4, "\1\2\3"))); }),
              HasSubstr("wanted 4 bytes after the header (4), got 3"));
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped("\0\0\x8")); }),
              HasSubstr("wanted a header of 16 bytes, got fewer"));
}

TEST_F(IdxTest, RefusesSizesThatNoFileCanHave) {
  // The product of these is 2^64, hence 0 to whoever multiplies in 64 bits and then compares.
  const std::string wraps = idx_images(0x80000000U, 0x80000000U, 4, "");
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped(wraps)); }),
              HasSubstr("got a header that says 2147483648x2147483648x4"));
  EXPECT_THAT(message_of([&] { read_idx_labels(gzipped(idx_labels(0xffffffffU, "\1"))); }),
              HasSubstr("wanted at most 1073741824 bytes"));
  EXPECT_THAT(message_of([&] { read_idx_images(gzipped(idx_images(1, 0, 28, ""))); }),
              HasSubstr("wanted sizes > 0, got 1x0x28"));
}

TEST_F(IdxTest, NamesTheRecordOfALabelOutOfRange) {
  EXPECT_THAT(message_of([&] { read_idx_labels(gzipped(idx_labels(3, {"\0\11\12", 3}))); }),
              HasSubstr("record 2: wanted a label from 0 to 9, got 10"));
  EXPECT_THAT(message_of([&] { read_idx_labels(gzipped(idx_labels(1, "\xff"))); }),
              HasSubstr("record 0: wanted a label from 0 to 9, got 255"));
}

// Every prefix of a gzip file is refused, also one that lacks only the check sum at the end.
TEST_F(IdxTest, RefusesEveryTruncationOfTheGzipFile) {
  const std::string whole = read_all(gzipped(idx_images(2, 2, 2, "abcdefgh")));
  for (size_t size = 0; size < whole.size(); ++size) {
    write_all(folder_ / "cut.gz", whole.substr(0, size));
    EXPECT_THAT(message_of([&] { read_idx_images(folder_ / "cut.gz"); }),
                AllOf(HasSubstr("cut.gz: wanted a"), HasSubstr(", got ")))
        << size << " bytes";
  }
}

TEST_F(IdxTest, RefusesDamagedAndForeignFiles) {
  std::string bytes = read_all(gzipped(idx_labels(4, "\1\2\3\4")));
  bytes[bytes.size() - 8] ^= 1;  // the check sum of the content
  write_all(folder_ / "damaged.gz", bytes);
  EXPECT_THAT(message_of([&] { read_idx_labels(folder_ / "damaged.gz"); }),
              HasSubstr("damaged.gz: wanted a gzip file, got damaged or other bytes"));

  bytes[bytes.size() - 8] ^= 1;
  write_all(folder_ / "longer.gz", bytes + "and more");
  EXPECT_THAT(message_of([&] { read_idx_labels(folder_ / "longer.gz"); }),
              HasSubstr("longer.gz: wanted a gzip file, got damaged or other bytes"));

  write_all(folder_ / "plain", idx_labels(1, "\1"));
  EXPECT_THAT(message_of([&] { read_idx_labels(folder_ / "plain"); }),
              HasSubstr("wanted a gzip file"));
  EXPECT_THAT(message_of([&] { read_idx_labels(folder_); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message_of([&] { read_idx_labels(folder_ / "none.gz"); }), HasSubstr("No such file"));
}

// 1,797 lines whose pixels and labels differ from line to line.
std::vector<std::string> digits_lines() {
  std::vector<std::string> lines;
  for (int row = 0; row < kDigitsCount; ++row) {
    std::string line;
    for (int column = 0; column < 64; ++column) {
      line += std::to_string((row + 3 * column) % 17) + ",";
    }
    lines.push_back(line + std::to_string(row % 10));
  }
  return lines;
}

std::string join_lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

TEST_F(DigitsTest, SplitsAndScales) {
  write_gzip(folder_ / "digits.csv.gz", join_lines(digits_lines()));
  const ImageSet digits = load_images("digits", {.dir = folder_.string(), .verify = false});
  EXPECT_EQ(digits.height, 8);
  EXPECT_EQ(digits.width, 8);
  EXPECT_EQ(digits.train_images.sizes(), (at::IntArrayRef{1437, 64}));
  EXPECT_EQ(digits.test_images.sizes(), (at::IntArrayRef{360, 64}));
  EXPECT_EQ(digits.train_images.scalar_type(), at::kFloat);
  EXPECT_EQ(digits.test_labels.scalar_type(), at::kLong);
  const float* first_test = digits.test_images.const_data_ptr<float>();
  EXPECT_EQ(first_test[5], static_cast<float>((1437 + 15) % 17) / 16);
  EXPECT_EQ(digits.train_images.const_data_ptr<float>()[64 + 5], 16.0f / 16);
  EXPECT_EQ(digits.test_labels.const_data_ptr<int64_t>()[0], 7);
  EXPECT_EQ(digits.train_labels.const_data_ptr<int64_t>()[1436], 6);
}

TEST_F(DigitsTest, NamesTheLineThatIsWrong) {
  const std::map<std::string, std::string> wrong = {
      {"1,2,3", "line 12: wanted 64 pixels and a label, got 3 numbers"},
      {"", "line 12: wanted 64 pixels and a label, got 1 numbers"},
      {digits_lines()[11] + ",1", "line 12: wanted 64 pixels and a label, got 66 numbers"},
      {"17" + digits_lines()[11].substr(2),
       "line 12: pixel 1: wanted a whole number from 0 to 16, got '17'"},
      {"-1" + digits_lines()[11].substr(2), "line 12: pixel 1: wanted a whole number"},
      {"x" + digits_lines()[11], "line 12: pixel 1: wanted a whole number from 0 to 16, got 'x11'"},
      {digits_lines()[11] + "0", "line 12: label: wanted a whole number from 0 to 9, got '10'"},
  };
  for (const auto& [line, message] : wrong) {
    std::vector<std::string> lines = digits_lines();
    lines[11] = line;
    EXPECT_THAT(message_of([&] { read_digits(gzipped(join_lines(lines))); }), HasSubstr(message));
  }
}

TEST_F(DigitsTest, RefusesTheWrongNumberOfLines) {
  std::vector<std::string> lines = digits_lines();
  lines.pop_back();
  EXPECT_THAT(message_of([&] { read_digits(gzipped(join_lines(lines))); }),
              HasSubstr("wanted 1797 lines, got 1796"));
  lines.push_back(lines[0]);
  lines.push_back(lines[0]);
  EXPECT_THAT(message_of([&] { read_digits(gzipped(join_lines(lines))); }),
              HasSubstr("wanted 1797 lines, got 1798"));
}

}  // namespace
}  // namespace gradthru::data
