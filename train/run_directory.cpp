#include "train/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <system_error>
#include <utility>

#include "train/atomic_file.h"
#include "train/progress.h"

namespace gradthru::train {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void fail(int error, const fs::path& path) {
  throw std::system_error(error, std::generic_category(), "cannot write " + path.string());
}

bool is_empty_or_absent(const fs::path& folder) {
  std::error_code error;
  const auto status = fs::status(folder, error);
  if (status.type() == fs::file_type::not_found) return true;
  if (error) fail(error.value(), folder);
  if (!fs::is_directory(status)) {
    throw InvalidInput("out: " + folder.string() + " is not a folder; give another --out");
  }
  const bool empty = fs::is_empty(folder, error);
  if (error) fail(error.value(), folder);
  return empty;
}

void create_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail(error.value(), folder);
}

}  // namespace

void require_fresh(const fs::path& folder, Resume resume) {
  if (!is_empty_or_absent(folder) && resume == Resume::no) {
    throw InvalidInput("out: " + folder.string() +
                       " exists and is not empty; give --resume to go on, or another --out");
  }
}

RunDirectory::RunDirectory(fs::path folder, Resume resume) : folder_(std::move(folder)) {
  require_fresh(folder_, resume);
  fresh_ = is_empty_or_absent(folder_);
  if (!fresh_) {
    bool is_run = false;
    for (const auto& file : {config(), metrics(), summary(), log_file(), folder_ / "checkpoint"}) {
      is_run = is_run || fs::exists(file);
    }
    if (!is_run) {
      throw InvalidInput("out: " + folder_.string() +
                         " holds files, but no run to resume; give another --out");
    }
  }
  create_folders(folder_ / "checkpoint");
  if (::access(folder_.c_str(), W_OK | X_OK) != 0) fail(errno, folder_);
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ < 0) fail(errno, folder_);
  // File systems without locks go without; only a lock that someone holds is a reason to stop.
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    throw InvalidInput("out: " + folder_.string() + " is in use by another process");
  }
}

RunDirectory::~RunDirectory() {
  if (log_ >= 0) ::close(log_);
  ::close(lock_);
}

std::optional<Status> RunDirectory::status() const {
  const auto finished = read_summary(summary());
  return finished ? std::optional(finished->status) : std::nullopt;
}

void RunDirectory::log(std::string_view line) {
  if (log_ < 0) {
    log_ = ::open(log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log_ < 0) fail(errno, log_file());
  }
  const std::string text = std::string(line) + "\n";
  clear_progress_line();
  std::cout << text << std::flush;
  if (const int error = write_fully(log_, text.data(), text.size())) fail(error, log_file());
}

}  // namespace gradthru::train
