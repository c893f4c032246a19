#include <ATen/ops/mean.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/fetch.h"
#include "data/image_set.h"
#include "data/locate.h"
#include "support/data_files.h"

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
using ::testing::Not;

using ChecksumTest = DataTest;
using LocateTest = DataTest;
using ImageSetTest = DataTest;

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
              HasSubstr("unknown data set 'minst', wanted one of mnist, fashion-mnist, digits, "
                        "omniglot, binarized-mnist, listops; did you mean 'mnist'?"));
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
