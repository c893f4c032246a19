#include "data/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace gradthru::data {

namespace fs = std::filesystem;

namespace {

bool is_still_named(int descriptor, const fs::path& path) {
  struct stat opened, named;
  return fstat(descriptor, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

}  // namespace

PartFile::PartFile(fs::path file) : file_(std::move(file)), path_(file_.string() + ".part") {
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  if (error) {
    throw std::runtime_error("data: folder " + path_.parent_path().string() +
                             " cannot be made: " + error.message());
  }
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail();
  // Whoever held the lock until now may have given the file its final name: then it is not ours.
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0 || !is_still_named(descriptor_, path_)) {
    close(descriptor_);
    throw std::runtime_error("data: file " + path_.string() +
                             " is being written by another download");
  }
  const off_t end = lseek(descriptor_, 0, SEEK_END);
  size_ = end > 0 ? static_cast<uint64_t>(end) : 0;
}

PartFile::~PartFile() {
  std::error_code ignored;
  if (size_ == 0) fs::remove(path_, ignored);
  close(descriptor_);
}

void PartFile::fail() const {
  throw std::runtime_error("data: file " + path_.string() +
                           " cannot be written: " + std::strerror(errno));
}

void PartFile::clear() {
  if (ftruncate(descriptor_, 0) != 0) fail();
  size_ = 0;
}

bool PartFile::append(const char* bytes, size_t count) noexcept {
  while (count > 0) {
    const ssize_t written = write(descriptor_, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes += written;
    count -= static_cast<size_t>(written);
    size_ += static_cast<uint64_t>(written);
  }
  return true;
}

void PartFile::publish() {
  if (fsync(descriptor_) != 0) fail();
  std::error_code error;
  fs::rename(path_, file_, error);
  if (error) {
    throw std::runtime_error("data: file " + file_.string() +
                             " cannot be put in place: " + error.message());
  }
}

}  // namespace gradthru::data
