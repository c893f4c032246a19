#include <ATen/ops/mean.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/digits.h"
#include "data/fetch.h"
#include "data/gzip.h"
#include "data/idx.h"
#include "data/image_set.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// The message of the InvalidInput that `act` throws; a test failure where it throws none.
std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const InvalidInput& error) {
    return error.what();
  }
  ADD_FAILURE() << "wanted InvalidInput, nothing was thrown";
  return "";
}

std::string read_all(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void write_all(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

void write_gzip(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  gzFile stream = gzopen(file.c_str(), "wb1");
  ASSERT_EQ(gzwrite(stream, bytes.data(), static_cast<unsigned>(bytes.size())),
            static_cast<int>(bytes.size()));
  ASSERT_EQ(gzclose(stream), Z_OK);
}

std::string big_endian(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16),
          static_cast<char>(number >> 8), static_cast<char>(number)};
}

std::string idx_images(uint32_t count, uint32_t height, uint32_t width, const std::string& pixels) {
  return big_endian(0x803) + big_endian(count) + big_endian(height) + big_endian(width) + pixels;
}

std::string idx_labels(uint32_t count, const std::string& labels) {
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

using IdxTest = DataTest;
using DigitsTest = DataTest;
using ChecksumTest = DataTest;
using LocateTest = DataTest;
using ImageSetTest = DataTest;

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

TEST_F(ChecksumTest, KnowsThePublishedDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const std::string million_a(1'000'000, 'a');
  write_all(folder_ / "a", million_a);
  EXPECT_EQ(sha256_of_file(folder_ / "a"),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(ChecksumTest, SaysWhatWasWantedAndGot) {
  write_all(folder_ / "f", "abc");
  const DataFile other{"f", 3, sha256_hex("abd"), FileRole::kTable};
  EXPECT_THAT(
      message_of([&] { verify_file(folder_ / "f", other); }),
      AllOf(HasSubstr((folder_ / "f").string()), HasSubstr("wanted SHA-256 " + other.sha256),
            HasSubstr("got " + sha256_hex("abc"))));
  const DataFile longer{"f", 4, sha256_hex("abc"), FileRole::kTable};
  EXPECT_THAT(message_of([&] { verify_file(folder_ / "f", longer); }),
              HasSubstr("wanted 4 bytes, got 3"));
  EXPECT_THAT(message_of([&] { sha256_of_file(folder_); }), HasSubstr("cannot be read"));
}

void make_old(const fs::path& file, int hours) {
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(hours));
}

// A file of the same size and mtime is believed unread; any other is read again.
TEST_F(ChecksumTest, RemembersHashesByPathSizeAndTime) {
  const fs::path file = folder_ / "f";
  const DataFile wanted{"f", 3, sha256_hex("abc"), FileRole::kTable};
  write_all(file, "abc");
  const auto time = fs::file_time_type::clock::now() - std::chrono::hours(5);
  fs::last_write_time(file, time);
  verify_file(file, wanted);
  ASSERT_TRUE(fs::exists(folder_ / "cache/gradthru/checksums.json"));

  write_all(file, "abd");
  fs::last_write_time(file, time);
  EXPECT_EQ(verify_file(file, wanted), wanted.sha256);
  make_old(file, 4);
  EXPECT_THROW(verify_file(file, wanted), InvalidInput);

  // A wrong hash is remembered like a right one, and a fresh look corrects it.
  const auto later = fs::last_write_time(file);
  write_all(file, "abc");
  fs::last_write_time(file, later);
  EXPECT_THROW(verify_file(file, wanted), InvalidInput);
  EXPECT_EQ(verify_file(file, wanted, Hashing::kFresh), wanted.sha256);
  EXPECT_EQ(verify_file(file, wanted), wanted.sha256);
}

// A file that has just been written may change once more without a visible change of its time.
TEST_F(ChecksumTest, DoesNotRememberAFileOfThisVeryMoment) {
  write_all(folder_ / "f", "abc");
  verify_file(folder_ / "f", {"f", 3, sha256_hex("abc"), FileRole::kTable});
  EXPECT_FALSE(fs::exists(folder_ / "cache/gradthru/checksums.json"));
}

TEST_F(ChecksumTest, IsNotDisturbedByABrokenCache) {
  const fs::path file = folder_ / "f";
  const fs::path cache = folder_ / "cache/gradthru/checksums.json";
  const DataFile wanted{"f", 3, sha256_hex("abc"), FileRole::kTable};
  write_all(file, "abc");
  make_old(file, 5);
  const std::string entry = "{\"v\":1,\"files\":{\"" + fs::canonical(file).string() + "\":";
  for (const std::string& broken :
       {std::string(""), std::string("{\"v\":1,\"files\":{"), std::string("[1]"),
        std::string("{\"v\":1,\"files\":[]}"), std::string("{\"v\":\"x\"}"), entry + "7}}",
        entry + "{\"size\":\"3\",\"mtime_ns\":null,\"sha256\":5}}}"}) {
    write_all(cache, broken);
    EXPECT_EQ(verify_file(file, wanted), wanted.sha256) << broken;
    EXPECT_THAT(read_all(cache), HasSubstr(wanted.sha256)) << broken;
  }
  fs::remove(cache);
  fs::create_directories(cache / "in the way");
  EXPECT_EQ(verify_file(file, wanted), wanted.sha256);
  fs::remove_all(folder_ / "cache");
  write_all(folder_ / "cache", "a file where the folder should be");
  EXPECT_EQ(verify_file(file, wanted), wanted.sha256);
}

TEST_F(LocateTest, NamesTheNearestSet) {
  EXPECT_THAT(message_of([] { find_data_set("minst"); }),
              HasSubstr("unknown data set 'minst', wanted one of mnist, fashion-mnist, digits; did "
                        "you mean 'mnist'?"));
}

// The first that is set decides, even where only a later one has the file.
TEST_F(LocateTest, NeverFallsThrough) {
  const DataSet& set = find_data_set("mnist");
  const DataFile& file = set.files.front();
  const fs::path in_cache = folder_ / "cache/gradthru/mnist" / file.name;
  const fs::path in_variable = folder_ / "variable/mnist" / file.name;
  write_all(in_cache, "x");
  EXPECT_EQ(require_file(set, file, std::nullopt), in_cache);
  EXPECT_EQ(require_file(set, file, ""), in_cache);

  set_variable("GRADTHRU_DATA_DIR", (folder_ / "variable").c_str());
  EXPECT_THAT(message_of([&] { require_file(set, file, std::nullopt); }),
              AllOf(HasSubstr("looked in data.dir (not set), then GRADTHRU_DATA_DIR (no file " +
                              in_variable.string() + "), then cache (not tried)"),
                    HasSubstr("run 'gradthru data fetch mnist --dir " +
                              (folder_ / "variable").string() + "'")));
  write_all(in_variable, "x");
  EXPECT_EQ(require_file(set, file, std::nullopt), in_variable);
  EXPECT_THAT(
      message_of([&] { require_file(set, file, (folder_ / "setting").string()); }),
      HasSubstr("looked in data.dir (no file " + (folder_ / "setting/mnist" / file.name).string() +
                "), then GRADTHRU_DATA_DIR (not tried), then cache (not tried)"));
}

TEST_F(LocateTest, TellsTheCommandWhereNothingIsSet) {
  const DataSet& set = find_data_set("fashion-mnist");
  EXPECT_THAT(message_of([&] { require_file(set, set.files[0], std::nullopt); }),
              AllOf(HasSubstr("file train-images-idx3-ubyte.gz is missing"),
                    HasSubstr("run 'gradthru data fetch fashion-mnist'")));
}

TEST_F(LocateTest, CacheFollowsTheDesktopRules) {
  set_variable("HOME", "/home/someone");
  set_variable("XDG_CACHE_HOME", "relative");
  EXPECT_EQ(cache_root(), fs::path("/home/someone/.cache/gradthru"));
  set_variable("XDG_CACHE_HOME", nullptr);
  EXPECT_EQ(cache_root(), fs::path("/home/someone/.cache/gradthru"));
  set_variable("HOME", nullptr);
  EXPECT_EQ(cache_root(), std::nullopt);
  EXPECT_THAT(message_of([] { find_place(find_data_set("mnist"), std::nullopt); }),
              HasSubstr("nowhere to look"));
}

TEST_F(LocateTest, FindsDigitsBySettingThenVariable) {
  const DataSet& set = find_data_set("digits");
  const DataFile& file = set.files.front();
  const fs::path elsewhere = folder_ / "site/any-name.gz";
  write_all(elsewhere, "x");
  write_all(folder_ / "root/digits.csv.gz", "x");
  set_variable("GRADTHRU_DIGITS", elsewhere.c_str());
  set_variable("GRADTHRU_DATA_DIR", (folder_ / "root").c_str());
  EXPECT_EQ(require_file(set, file, std::nullopt), elsewhere);
  EXPECT_EQ(require_file(set, file, (folder_ / "root").string()), folder_ / "root/digits.csv.gz");
  set_variable("GRADTHRU_DIGITS", "/nowhere/digits.csv.gz");
  EXPECT_THAT(message_of([&] { require_file(set, file, std::nullopt); }),
              AllOf(HasSubstr("GRADTHRU_DIGITS (no file /nowhere/digits.csv.gz)"),
                    HasSubstr("installed scikit-learn"), Not(HasSubstr("fetch"))));
  set_variable("GRADTHRU_DIGITS", nullptr);
  EXPECT_EQ(require_file(set, file, std::nullopt), folder_ / "root/digits.csv.gz");
}

TEST_F(LocateTest, MirrorsCanBeReplaced) {
  const DataSet& set = find_data_set("mnist");
  EXPECT_EQ(mirrors_of(set), set.mirrors);
  set_variable("GRADTHRU_DATA_MIRROR", " http://a/x  http://b/ ");
  EXPECT_THAT(mirrors_of(set), ElementsAre("http://a/x/mnist/", "http://b/mnist/"));
  set_variable("GRADTHRU_DATA_MIRROR", "");
  EXPECT_EQ(mirrors_of(set), set.mirrors);
}

// A folder with the four files of MNIST's sizes, all of one colour but for a few pixels.
fs::path write_pseudo_mnist(const fs::path& root, uint32_t test_count = 10'000,
                            uint32_t side = 28) {
  const auto write_pair = [&](const std::string& stem, uint32_t count) {
    std::string pixels(size_t{count} * side * side, '\0');
    pixels[side * side + 1] = static_cast<char>(128);
    pixels.back() = static_cast<char>(255);
    write_gzip(root / "mnist" / (stem + "-images-idx3-ubyte.gz"),
               idx_images(count, side, side, pixels));
    std::string labels(60'000, '\3');
    labels[1] = '\11';
    const uint32_t label_count = stem == "train" ? 60'000 : 10'000;
    write_gzip(root / "mnist" / (stem + "-labels-idx1-ubyte.gz"),
               idx_labels(label_count, labels.substr(0, label_count)));
  };
  write_pair("train", 60'000);
  write_pair("t10k", test_count);
  return root;
}

TEST_F(ImageSetTest, ScalesPixelsAndKeepsTheOrder) {
  const std::string root = write_pseudo_mnist(folder_).string();
  const ImageSet set = load_images("mnist", {.dir = root, .verify = false});
  EXPECT_EQ(set.height, 28);
  EXPECT_EQ(set.width, 28);
  EXPECT_EQ(set.train_images.sizes(), (at::IntArrayRef{60'000, 784}));
  EXPECT_EQ(set.test_images.sizes(), (at::IntArrayRef{10'000, 784}));
  EXPECT_EQ(set.train_labels.sizes(), at::IntArrayRef{60'000});
  EXPECT_EQ(set.test_labels.sizes(), at::IntArrayRef{10'000});
  const float* pixels = set.test_images.const_data_ptr<float>();
  EXPECT_EQ(pixels[784 + 1], 128.0f / 255.0f);
  EXPECT_EQ(pixels[10'000 * 784 - 1], 1.0f);
  EXPECT_EQ(pixels[0], 0.0f);
  EXPECT_EQ(set.train_labels.const_data_ptr<int64_t>()[1], 9);
  EXPECT_TRUE(set.sha256.empty());
}

TEST_F(ImageSetTest, HashIsCheckedUnlessSwitchedOff) {
  const std::string root = write_pseudo_mnist(folder_).string();
  EXPECT_THAT(message_of([&] { load_images("mnist", {.dir = root}); }),
              AllOf(HasSubstr(root + "/mnist/"), HasSubstr("wanted "), HasSubstr(", got ")));
}

TEST_F(ImageSetTest, StructureIsCheckedAlways) {
  std::string root = write_pseudo_mnist(folder_ / "count", 9'999).string();
  EXPECT_THAT(message_of([&] { load_images("mnist", {.dir = root, .verify = false}); }),
              HasSubstr("wanted 10000 images of 28x28, got 9999 of 28x28"));
  root = write_pseudo_mnist(folder_ / "side", 10'000, 8).string();
  EXPECT_THAT(message_of([&] { load_images("mnist", {.dir = root, .verify = false}); }),
              HasSubstr("wanted 60000 images of 28x28, got 60000 of 8x8"));
}

// What the real files must give; where they are is told by the environment, before SetUp() hides
// it.
class RealImagesTest : public DataTest {
 protected:
  void SetUp() override {
    const char* variable = std::getenv("GRADTHRU_DATA_DIR");
    if (variable != nullptr) root_ = fs::absolute(variable).string();
    DataTest::SetUp();
    if (variable == nullptr) GTEST_SKIP() << "GRADTHRU_DATA_DIR is not set";
  }

  void expect_means(const std::string& name, double train, double test) {
    if (!fs::exists(fs::path(root_) / name)) GTEST_SKIP() << name << " is not there";
    const ImageSet set = load_images(name, {.dir = root_});
    EXPECT_EQ(set.train_images.sizes(), (at::IntArrayRef{60'000, 784}));
    EXPECT_EQ(set.test_images.sizes(), (at::IntArrayRef{10'000, 784}));
    EXPECT_NEAR(at::mean(set.train_images, at::kDouble).item<double>(), train, 5e-7);
    EXPECT_NEAR(at::mean(set.test_images, at::kDouble).item<double>(), test, 5e-7);
    EXPECT_EQ(set.sha256.size(), 4);
    EXPECT_EQ(set.sha256.at("train-images-idx3-ubyte.gz"), find_data_set(name).files[0].sha256);
  }

  std::string root_;
};

TEST_F(RealImagesTest, MnistHasItsKnownMeans) {
  expect_means("mnist", .130660, .132515);
}
TEST_F(RealImagesTest, FashionMnistHasItsKnownMeans) {
  expect_means("fashion-mnist", .286041, .286849);
}

}  // namespace
}  // namespace gradthru::data
