#include "data/gzip.h"

#define ZLIB_CONST
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "gradthru/error.h"

namespace gradthru::data {

struct GzipReader::Stream {
  ~Stream() {
    inflateEnd(&inflater);
    if (file != nullptr) std::fclose(file);
  }

  std::FILE* file = nullptr;
  z_stream inflater{};
  std::array<uint8_t, 1 << 16> input;
  bool between_members = true;
  size_t members = 0;
  bool ended = false;
};

GzipReader::GzipReader(std::filesystem::path file)
    : file_(std::move(file)), stream_(std::make_unique<Stream>()) {
  stream_->file = std::fopen(file_.c_str(), "rb");
  if (stream_->file == nullptr) {
    throw InvalidInput(message_start() + "cannot be opened: " + std::strerror(errno));
  }
  constexpr int kGzipOnly = 16;
  if (inflateInit2(&stream_->inflater, MAX_WBITS + kGzipOnly) != Z_OK) throw std::bad_alloc();
}

GzipReader::~GzipReader() = default;

std::string GzipReader::message_start() const {
  return "data: file " + file_.string() + ": ";
}

// Leaves the input empty only where the file ends at the end of a member.
void GzipReader::refill() {
  Stream& s = *stream_;
  const size_t count = std::fread(s.input.data(), 1, s.input.size(), s.file);
  if (std::ferror(s.file) != 0) {
    throw InvalidInput(message_start() + "cannot be read: " + std::strerror(errno));
  }
  s.inflater.next_in = s.input.data();
  s.inflater.avail_in = static_cast<uInt>(count);
  if (count > 0) return;
  if (s.members == 0 && s.between_members) {
    throw InvalidInput(message_start() + "wanted a gzip file, got an empty file");
  }
  if (!s.between_members) {
    throw InvalidInput(message_start() + "wanted a whole gzip file, got one that is cut short");
  }
  s.ended = true;
}

size_t GzipReader::read(uint8_t* out, size_t size) {
  Stream& s = *stream_;
  size_t done = 0;
  while (done < size && !s.ended) {
    if (s.inflater.avail_in == 0) {
      refill();
      continue;
    }
    const size_t room = std::min<size_t>(size - done, std::numeric_limits<uInt>::max());
    s.inflater.next_out = out + done;
    s.inflater.avail_out = static_cast<uInt>(room);
    const int status = inflate(&s.inflater, Z_NO_FLUSH);
    done += room - s.inflater.avail_out;
    if (status == Z_STREAM_END) {
      s.between_members = true;
      ++s.members;
      inflateReset(&s.inflater);
    } else if (status == Z_OK) {
      s.between_members = false;
    } else {
      const char* reason = s.inflater.msg == nullptr ? "unknown damage" : s.inflater.msg;
      throw InvalidInput(message_start() + "wanted a gzip file, got damaged or other bytes (" +
                         reason + ")");
    }
  }
  return done;
}

}  // namespace gradthru::data
