#include "data/fetch.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "data/checksum.h"
#include "data/download.h"
#include "data/part_file.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

namespace fs = std::filesystem;

// Everything that fetching one file needs.
struct Job {
  const DataFile& file;
  std::string label;  // mnist/train-images-idx3-ubyte.gz
  const FetchOptions& options;

  void say(const std::string& text) const {
    if (options.say) options.say(label + ": " + text);
  }
};

Download download_rest(const Job& job, const std::string& url, PartFile& part) {
  if (part.size() == job.file.size) return {.resumed = true};
  job.say("fetching " + url +
          (part.size() > 0 ? " from byte " + std::to_string(part.size()) : std::string()));
  return download(url, job.file.size, part,
                  {.connect_timeout_s = job.options.connect_timeout_s,
                   .stall_s = job.options.stall_s,
                   .progress = [&](uint64_t bytes) {
                     if (job.options.progress) job.options.progress(job.file, bytes);
                   }});
}

// Fills `part` with the right content; returns "" or what the mirror did wrong. Wrong content may
// come from the bytes an earlier mirror left: then this one gets a second chance from the start.
std::string fetch_from(const Job& job, const std::string& url, PartFile& part) {
  while (true) {
    if (part.size() > job.file.size) part.clear();
    Download result = download_rest(job, url, part);
    if (result.problem.empty()) {
      const std::string sha256 = sha256_of_file(part.path());
      if (sha256 == job.file.sha256) return "";
      result.problem = "wanted SHA-256 " + job.file.sha256 + ", got " + sha256;
      result.wrong_content = true;
    }
    if (!result.wrong_content) return result.problem;
    part.clear();
    if (!result.resumed) return result.problem;
    job.say(result.problem + " after resuming; starting over");
  }
}

bool is_here(const Job& job, const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return false;
  try {
    verify_file(path, job.file, Hashing::kFresh);
    return true;
  } catch (const InvalidInput& error) {
    job.say(std::string("will be replaced: ") + error.what());
    return false;
  }
}

// A mirror that worked is asked first for the next file, so that a dead one costs its timeout once.
void fetch_file(const Job& job, const fs::path& path, std::vector<std::string>& mirrors) {
  if (is_here(job, path)) {
    job.say("already there");
    return;
  }
  PartFile part(path);
  std::string answers;
  for (size_t i = 0; i < mirrors.size(); ++i) {
    const std::string url = mirrors[i] + job.file.name;
    const std::string problem = fetch_from(job, url, part);
    if (problem.empty()) {
      part.publish();
      job.say("done, checksum right");
      std::rotate(mirrors.begin(), mirrors.begin() + static_cast<std::ptrdiff_t>(i), mirrors.end());
      return;
    }
    answers += (answers.empty() ? "" : "; ") + url + ": " + problem;
    job.say("failed: " + problem + (i + 1 < mirrors.size() ? "; trying the next mirror" : ""));
  }
  throw std::runtime_error("data: " + job.label + " cannot be fetched: " + answers);
}

}  // namespace

std::vector<std::string> mirrors_of(const DataSet& set) {
  const char* bases = std::getenv("GRADTHRU_DATA_MIRROR");
  if (bases == nullptr || set.mirrors.empty()) return set.mirrors;
  std::vector<std::string> mirrors;
  std::istringstream words(bases);
  for (std::string base; words >> base;) {
    if (!base.ends_with('/')) base += '/';
    mirrors.push_back(base + set.name + "/");
  }
  return mirrors.empty() ? set.mirrors : mirrors;
}

void fetch_set(const DataSet& set, const fs::path& root, const FetchOptions& options) {
  std::vector<std::string> mirrors = mirrors_of(set);
  if (mirrors.empty()) {
    throw InvalidInput("data: " + set.name + " is not fetched: " + set.source);
  }
  for (const DataFile& file : set.files) {
    fetch_file({file, set.name + "/" + file.name, options}, root / set.name / file.name, mirrors);
  }
}

}  // namespace gradthru::data
