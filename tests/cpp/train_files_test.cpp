#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "support/file_size_limit.h"
#include "train/atomic_file.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/summary.h"

namespace gradthru::train {
namespace {
namespace fs = std::filesystem;
using ::testing::HasSubstr;

class TrainFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "train_files_XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
};

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

template <typename Error>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "did not throw";
  return "";
}

using AtomicFileTest = TrainFiles;

TEST_F(AtomicFileTest, ReplacesWholeFilesOnly) {
  const fs::path path = folder_ / "summary.json";
  write(fs::path(path) += ".tmp", "left behind by a killed process, longer than the new text");
  write_atomically(path, std::string("a\0b", 3));
  EXPECT_EQ(read(path), std::string("a\0b", 3));
  {
    const support::FileSizeLimit limit(100);
    EXPECT_THAT(
        message_of<std::system_error>([&] { write_atomically(path, std::string(500, 'x')); }),
        HasSubstr(path.string()));
  }
  EXPECT_EQ(read(path), std::string("a\0b", 3));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  EXPECT_THROW(write_atomically(folder_ / "absent" / "file", "x"), std::system_error);
}

using RunDirectoryTest = TrainFiles;

TEST_F(RunDirectoryTest, NothingIsOverwrittenSilently) {
  const fs::path out = folder_ / "runs" / "a";
  {
    RunDirectory run(out, Resume::no);
    EXPECT_TRUE(run.fresh());
    EXPECT_TRUE(fs::is_directory(run.last_checkpoint().parent_path()));
    EXPECT_THAT(message_of<InvalidInput>([&] { RunDirectory(out, Resume::yes); }),
                HasSubstr("in use"));
  }
  EXPECT_THAT(message_of<InvalidInput>([&] { RunDirectory(out, Resume::no); }),
              HasSubstr("--resume"));
  EXPECT_FALSE(RunDirectory(out, Resume::yes).fresh());
  EXPECT_TRUE(RunDirectory(folder_ / "new", Resume::yes).fresh());
  fs::create_directory(folder_ / "empty");
  EXPECT_TRUE(RunDirectory(folder_ / "empty", Resume::no).fresh());
}

TEST_F(RunDirectoryTest, WhatIsNoRunIsRefused) {
  write(folder_ / "letter.txt", "dear");
  EXPECT_THAT(message_of<InvalidInput>([&] { RunDirectory(folder_, Resume::yes); }),
              HasSubstr("no run"));
  EXPECT_THROW(RunDirectory(folder_ / "letter.txt", Resume::yes), InvalidInput);
  EXPECT_THAT(message_of<std::system_error>([] { RunDirectory("/proc/gradthru", Resume::no); }),
              HasSubstr("/proc/gradthru"));
}

TEST_F(RunDirectoryTest, LogsToFileAndTerminal) {
  ::testing::internal::CaptureStdout();
  { RunDirectory(folder_ / "a", Resume::no).log("one"); }
  { RunDirectory(folder_ / "a", Resume::yes).log("two"); }
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "one\ntwo\n");
  EXPECT_EQ(read(folder_ / "a" / "log.txt"), "one\ntwo\n");
}

TEST_F(RunDirectoryTest, StatusIsTheSummarys) {
  const RunDirectory run(folder_ / "a", Resume::no);
  EXPECT_EQ(run.status(), std::nullopt);
  write_summary(run.summary(), {.status = Status::diverged, .final_values = {{"test_nelbo", NAN}}});
  EXPECT_EQ(run.status(), Status::diverged);
  const auto json = nlohmann::json::parse(read(run.summary()));
  EXPECT_TRUE(json["final"]["test_nelbo"].is_null());
  EXPECT_EQ(json["nonfinite"], nlohmann::json({"test_nelbo"}));
  for (const char* key : {"v", "experiment", "preset", "method", "seed", "status", "steps",
                          "wall_s", "best", "data", "config_sha256", "version", "device"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  for (const char* broken : {"", "{", "[]", "{\"status\":3}", "{\"status\":\"done\"}"}) {
    write(run.summary(), broken);
    EXPECT_THAT(message_of<InvalidInput>([&] { run.status(); }), HasSubstr("summary.json"));
  }
}

TEST_F(RunDirectoryTest, ASummaryReadsBack) {
  const fs::path path = folder_ / "summary.json";
  EXPECT_FALSE(read_summary(path).has_value());
  write_summary(path, {.method = "reinmax(tau=1.3)",
                       .seed = 18446744073709551615u,
                       .status = Status::interrupted,
                       .steps = 12,
                       .final_values = {{"test_nelbo", 145.54}, {"train_nelbo", NAN}},
                       .best_values = {{"valid_nelbo", 0.1}},
                       .data = {{"train images", "ab"}}});
  const auto summary = read_summary(path);
  ASSERT_TRUE(summary.has_value());
  EXPECT_EQ(summary->method, "reinmax(tau=1.3)");
  EXPECT_EQ(summary->seed, 18446744073709551615u);
  EXPECT_EQ(summary->status, Status::interrupted);
  EXPECT_EQ(summary->steps, 12);
  ASSERT_EQ(summary->final_values.size(), 2u);
  EXPECT_EQ(summary->final_values[0], (std::pair<std::string, double>("test_nelbo", 145.54)));
  EXPECT_TRUE(std::isnan(summary->final_values[1].second));
  EXPECT_EQ(summary->best_values, (Summary::Values{{"valid_nelbo", 0.1}}));
  ASSERT_EQ(summary->data.size(), 1u);
  EXPECT_EQ(summary->data[0].second, "ab");
}

using MetricsTest = TrainFiles;

MetricLine line_at(int64_t step) {
  return {.kind = Kind::eval,
          .step = step,
          .epoch = 5,
          .wall_s = 71.2,
          .split = Split::test,
          .n = 10000,
          .values = {{"nelbo", 145.54}, {"recon", 138.49}, {"kl", 7.05}}};
}

TEST_F(MetricsTest, LineIsTheOneOfTheSchema) {
  EXPECT_EQ(
      to_json(line_at(3000)),
      R"({"v":1,"kind":"eval","step":3000,"epoch":5.0,"wall_s":71.2,"split":"test","n":10000,)"
      R"("values":{"nelbo":145.54,"recon":138.49,"kl":7.05}})");
}

TEST_F(MetricsTest, NonFiniteNumbersAreNullAndListed) {
  const MetricLine line{
      .values = {{"loss", NAN}, {"good", 1.0}, {"rates", std::vector<double>{1, INFINITY}}},
      .sd = {{"loss", NAN}},
      .note = "x"};
  const auto json = nlohmann::ordered_json::parse(to_json(line));
  EXPECT_TRUE(json["values"]["loss"].is_null());
  EXPECT_EQ(json["values"]["rates"][0], 1.0);
  EXPECT_TRUE(json["values"]["rates"][1].is_null());
  EXPECT_EQ(json["nonfinite"], nlohmann::ordered_json({"loss", "rates"}));
  EXPECT_EQ(json["note"], "x");
}

TEST_F(MetricsTest, NumbersReadBackAsTheSameDouble) {
  const std::vector<double> numbers{0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e22};
  const auto json = nlohmann::json::parse(to_json({.values = {{"x", numbers}}}));
  for (size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(json["values"]["x"][i].get<double>(), numbers[i]);
  }
}

TEST_F(MetricsTest, NamesAreChecked) {
  EXPECT_THROW(to_json({.values = {{"testNelbo", 1.0}}}), std::logic_error);
  EXPECT_THROW(to_json({.values = {{"a", 1.0}, {"a", 2.0}}}), std::logic_error);
}

TEST_F(MetricsTest, LinesAreThereAtOnceAndAppended) {
  const fs::path path = folder_ / "metrics.jsonl";
  const std::string one = to_json(line_at(1)) + "\n", two = to_json(line_at(2)) + "\n";
  {
    MetricsWriter writer(path);
    writer.write(line_at(1));
    EXPECT_EQ(read(path), one);  // before it is closed
  }
  MetricsWriter(path).write(line_at(2));
  EXPECT_EQ(read(path), one + two);
}

TEST_F(MetricsTest, AFullDiscIsReportedAndLeavesEarlierLines) {
  EXPECT_THAT(message_of<std::system_error>([] { MetricsWriter("/dev/full").write(line_at(1)); }),
              HasSubstr("/dev/full"));
  const fs::path path = folder_ / "metrics.jsonl";
  MetricsWriter writer(path);
  writer.write(line_at(1));
  {
    const support::FileSizeLimit limit(fs::file_size(path) + 20);
    EXPECT_THROW(writer.write(line_at(2)), std::system_error);
  }
  EXPECT_EQ(read(path), to_json(line_at(1)) + "\n");
}

TEST_F(MetricsTest, ResumingCutsWhatTheCheckpointDoesNotKnow) {
  const fs::path path = folder_ / "metrics.jsonl";
  truncate_after(path, 5);
  EXPECT_FALSE(fs::exists(path));
  const auto line = [](int64_t step) { return to_json(line_at(step)) + "\n"; };
  const std::string kept = line(0) + line(9) + line(10);
  for (const std::string& tail :
       {line(11), line(11) + line(12).substr(0, 30), line(10).substr(0, 9),
        std::string("\0\0\0\n", 4), std::string()}) {
    write(path, kept + tail);
    truncate_after(path, 10);
    EXPECT_EQ(read(path), kept);
  }
  truncate_after(path, -1);
  EXPECT_EQ(read(path), "");
  write(path, line(1) + "garbage\n" + line(2));
  EXPECT_THAT(message_of<InvalidInput>([&] { truncate_after(path, 10); }), HasSubstr("line 2"));
  EXPECT_EQ(read(path), line(1) + "garbage\n" + line(2));
}

}  // namespace
}  // namespace gradthru::train
