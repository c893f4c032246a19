#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/binarized_mnist.h"
#include "data/checksum.h"
#include "data/omniglot.h"
#include "support/data_files.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;
using support::DataTest;
using support::message_of;
using support::read_all;
using support::write_all;
using support::write_gzip;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kDrawnPixels = kOmniglotDrawn * kOmniglotDrawn;

std::string png(uint32_t side, const std::vector<uint8_t>& grey) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = image.height = side;
  image.format = PNG_FORMAT_GRAY;
  std::string bytes(size_t{1} << 18, '\0');
  png_alloc_size_t size = bytes.size();
  EXPECT_NE(png_image_write_to_memory(&image, bytes.data(), &size, 0, grey.data(), 0, nullptr), 0);
  bytes.resize(size);
  return bytes;
}

/// Paper with this many rows of ink on top.
std::string drawing(int64_t rows) {
  std::vector<uint8_t> grey(kDrawnPixels, 255);
  std::fill_n(grey.begin(), rows * kOmniglotDrawn, uint8_t{0});
  return png(kOmniglotDrawn, grey);
}

using Files = std::vector<std::pair<std::string, std::string>>;

fs::path write_archive(const fs::path& root, const Files& files) {
  const fs::path path = root / "omniglot" / "omniglot_images_105.tar.gz";
  fs::create_directories(path.parent_path());
  const std::unique_ptr<archive, int (*)(archive*)> out(archive_write_new(), &archive_write_free);
  archive_write_add_filter_gzip(out.get());
  archive_write_set_format_ustar(out.get());
  EXPECT_EQ(archive_write_open_filename(out.get(), path.c_str()), ARCHIVE_OK);
  for (const auto& [name, bytes] : files) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(),
                                                                         &archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<int64_t>(bytes.size()));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    EXPECT_EQ(archive_write_header(out.get(), entry.get()), ARCHIVE_OK);
    EXPECT_EQ(archive_write_data(out.get(), bytes.data(), bytes.size()),
              static_cast<la_ssize_t>(bytes.size()));
  }
  EXPECT_EQ(archive_write_close(out.get()), ARCHIVE_OK);
  return path;
}

class OmniglotTest : public DataTest {
 protected:
  Omniglot load(bool verify = false) {
    return load_omniglot({.dir = folder_.string(), .verify = verify});
  }
  std::string refusal(const Files& files, bool verify = false) {
    write_archive(folder_, files);
    return message_of([&] { load(verify); });
  }
};

TEST_F(OmniglotTest, ShrinksByTheExactArea) {
  std::vector<uint8_t> ink(kDrawnPixels, 1);
  for (const uint8_t value : shrink_ink(ink)) ASSERT_EQ(value, 225);
  // Drawn pixel 3 is three quarters in shrunk pixel 0, one quarter in shrunk pixel 1, and
  // pixel 101 the other way round at the far end.
  std::fill(ink.begin(), ink.end(), uint8_t{0});
  ink[3 * kOmniglotDrawn + 3] = 1;
  ink[101 * kOmniglotDrawn + 101] = 1;
  const auto small = shrink_ink(ink);
  const auto at = [&](int y, int x) { return small[static_cast<size_t>(y * kOmniglotSide + x)]; };
  EXPECT_EQ(at(0, 0), 9);
  EXPECT_EQ(at(0, 1), 3);
  EXPECT_EQ(at(1, 0), 3);
  EXPECT_EQ(at(1, 1), 1);
  EXPECT_EQ(at(26, 26), 1);
  EXPECT_EQ(at(26, 27), 3);
  EXPECT_EQ(at(27, 27), 9);
  int sum = 0;
  for (const uint8_t value : small) sum += value;
  EXPECT_EQ(sum, 2 * 16);
}

TEST_F(OmniglotTest, ReadsBlackAsInkInTheOrderOfTheHashesOfPaths) {
  Files files = {{"notes.txt", "no image"}};
  std::vector<std::pair<std::string, int64_t>> order;
  for (int64_t i = 0; i < 8; ++i) {
    const std::string path = "Omniglot Dataset/images_background/" + std::to_string(i) + ".png";
    files.emplace_back(path, drawing(i));
    order.emplace_back(sha256_hex(path), i);
  }
  std::sort(order.begin(), order.end());
  write_archive(folder_, files);
  const Omniglot set = load();
  EXPECT_EQ(set.train.size(0), 5);  // 8 * 23000 / 32460
  EXPECT_EQ(set.valid.size(0), 1);
  EXPECT_EQ(set.test.size(0), 2);
  const at::Tensor all = at::cat({set.train, set.valid, set.test}).to(at::kLong).sum(1);
  for (int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(all[i].item<int64_t>(), order[static_cast<size_t>(i)].second * kOmniglotDrawn * 16);
  }
}

TEST_F(OmniglotTest, SaysWhatIsWrongWithAnArchive) {
  const Files good = {
      {"a.png", drawing(1)}, {"b.png", drawing(2)}, {"c.png", drawing(3)}, {"d.png", drawing(4)}};
  const auto with = [&](const std::string& name, const std::string& bytes) {
    Files files = good;
    files.emplace_back(name, bytes);
    return files;
  };
  EXPECT_THAT(refusal(with("e.png", png(7, std::vector<uint8_t>(49)))),
              HasSubstr("e.png: wanted an image of 105x105, got 7x7"));
  EXPECT_THAT(refusal(with("e.png", png(105, std::vector<uint8_t>(kDrawnPixels, 100)))),
              HasSubstr("e.png: wanted black and white pixels, got grey 100"));
  EXPECT_THAT(refusal(with("e.png", drawing(5).substr(0, 60))),
              HasSubstr("e.png: wanted a PNG image: "));
  EXPECT_THAT(refusal(with("e.png", "")), HasSubstr("e.png: wanted a PNG image"));
  EXPECT_THAT(refusal(with("d.png", drawing(5))), HasSubstr("holds d.png twice"));
  EXPECT_THAT(refusal({{"a.png", drawing(1)}}), HasSubstr("wanted at least 4 PNG images, got 1"));
  EXPECT_THAT(refusal(with("e.png", std::string((size_t{1} << 20) + 1, ' '))),
              HasSubstr("e.png: wanted at most 1 MiB"));
  EXPECT_THAT(refusal(good, /*verify=*/true),
              AllOf(HasSubstr("wanted the published images"), HasSubstr("got 4 images")));

  const fs::path path = write_archive(folder_, good);
  write_all(path, read_all(path).substr(0, 200));
  EXPECT_THAT(message_of([&] { load(); }), HasSubstr("omniglot_images_105.tar.gz: "));
  write_all(path, "not an archive, but text that is long enough to be looked at");
  EXPECT_THAT(message_of([&] { load(); }), HasSubstr("tar archive"));
  fs::remove(path);
  EXPECT_THAT(message_of([&] { load(); }),
              AllOf(HasSubstr("is missing"), HasSubstr("github.com/brendenlake/omniglot")));
}

// --- the published files -------------------------------------------------------------------------

std::string bytes_of(const at::Tensor& t) {
  return {reinterpret_cast<const char*>(t.const_data_ptr<uint8_t>()),
          static_cast<size_t>(t.numel())};
}

class PublishedTest : public DataTest {
 protected:
  void SetUp() override {
    const char* variable = std::getenv("GRADTHRU_DATA_DIR");
    if (variable != nullptr) root_ = fs::absolute(variable).string();
    DataTest::SetUp();
    if (variable == nullptr) GTEST_SKIP() << "GRADTHRU_DATA_DIR is not set";
  }
  std::string root_;
};

TEST_F(PublishedTest, OmniglotHasTheKnownPartsAndIsKept) {
  if (!fs::exists(fs::path(root_) / "omniglot")) GTEST_SKIP() << "no omniglot there";
  set_variable("XDG_CACHE_HOME", (folder_ / "cache").c_str());
  const LoadOptions options{.dir = root_};
  const auto expect_parts = [&] {
    const Omniglot set = load_omniglot(options);
    EXPECT_EQ(sha256_hex(bytes_of(set.train)),
              "a37e9f8acfc1c622797f5d4aaf39e3c5ebaa78177fbacdc2024025464bd923a2");
    EXPECT_EQ(sha256_hex(bytes_of(set.valid)),
              "a82c81b9384539560fc767481650b637ea9c1e6ff0ba994df03bb2e2515d410b");
    EXPECT_EQ(sha256_hex(bytes_of(set.test)),
              "978d400e921758e2a40f962c206551ae50dacda6757bfb0bedeeb1579ad4fe11");
    const at::Tensor all = at::cat({set.train, set.valid, set.test}).to(at::kDouble);
    EXPECT_NEAR(all.mean().item<double>() / kOmniglotFullInk, 0.080516, 5e-7);
  };
  expect_parts();
  fs::path kept;
  for (const auto& entry : fs::directory_iterator(folder_ / "cache/gradthru/converted")) {
    kept = entry.path();  // and nothing unfinished beside it
  }
  ASSERT_TRUE(kept.filename().string().starts_with("omniglot-28x28-")) << kept;
  const std::string bytes = read_all(kept);
  EXPECT_EQ(bytes.size(), 32'460u * 784u);
  const auto written = fs::last_write_time(kept);
  expect_parts();
  EXPECT_EQ(fs::last_write_time(kept), written);  // read, not made again
  std::string damaged = bytes;
  damaged[1000] = static_cast<char>(damaged[1000] ^ 1);
  write_all(kept, damaged);
  expect_parts();
  EXPECT_EQ(read_all(kept), bytes);
}

TEST_F(PublishedTest, BinarizedMnistHasTheKnownMeans) {
  if (!fs::exists(fs::path(root_) / "binarized-mnist")) GTEST_SKIP() << "no binarized-mnist there";
  const BinarizedMnist set = load_binarized_mnist({.dir = root_});
  EXPECT_EQ(set.train.sizes(), at::IntArrayRef({50'000, 784}));
  EXPECT_EQ(set.valid.sizes(), at::IntArrayRef({10'000, 784}));
  EXPECT_EQ(set.test.sizes(), at::IntArrayRef({10'000, 784}));
  EXPECT_NEAR(set.valid.to(at::kDouble).mean().item<double>(), 0.13113, 5e-6);
  EXPECT_NEAR(set.test.to(at::kDouble).mean().item<double>(), 0.13251, 5e-6);
  EXPECT_EQ(set.sha256.at("binarized_mnist_test.amat"),
            "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c");
}

// --- rows of digits ------------------------------------------------------------------------------

using BinaryRowsTest = DataTest;

std::string row(int64_t digits, char last) {
  std::string text;
  for (int64_t i = 1; i < digits; ++i) text += "0 ";
  return text + last + " \n";
}

TEST_F(BinaryRowsTest, ReadsPlainAndCompressedFiles) {
  const std::string text = row(784, '1') + row(784, '0') + row(784, '1');
  write_all(folder_ / "plain.amat", text);
  write_gzip(folder_ / "rows.amat.gz", text);
  for (const char* name : {"plain.amat", "rows.amat.gz"}) {
    const at::Tensor rows = read_binary_rows(folder_ / name);
    EXPECT_EQ(rows.sizes(), at::IntArrayRef({3, 784}));
    EXPECT_EQ(rows.sum().item<int64_t>(), 2);
    EXPECT_EQ(rows[2][783].item<int64_t>(), 1);
  }
}

TEST_F(BinaryRowsTest, NamesTheLineOfAMistake) {
  const auto refusal = [&](const std::string& text) {
    write_all(folder_ / "rows.amat", text);
    return message_of([&] { read_binary_rows(folder_ / "rows.amat"); });
  };
  EXPECT_THAT(refusal(row(784, '1') + row(783, '1')),
              HasSubstr("line 2: wanted 784 digits, got 783"));
  EXPECT_THAT(refusal(row(785, '1')), HasSubstr("line 1: wanted 784 digits, got more"));
  EXPECT_THAT(refusal(row(784, '2')), HasSubstr("line 1: wanted digits 0 or 1"));
  EXPECT_THAT(refusal(row(784, '1') + "0 1 01"), HasSubstr("line 2: wanted digits 0 or 1"));
  EXPECT_THAT(refusal(""), HasSubstr("wanted rows of 784 digits, got none"));
  EXPECT_THAT(message_of([&] { read_binary_rows(folder_ / "none"); }), HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace gradthru::data
