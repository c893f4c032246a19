#include "data/download.h"

#include <curl/curl.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace gradthru::data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kSlowestBytesPerSecond = 100;
constexpr long kWhole = 200;
constexpr long kPartial = 206;

// What the callbacks of one transfer share.
struct Transfer {
  CURL* handle;
  uint64_t size;
  PartFile& part;
  const DownloadOptions& options;
  Download result;
  uint64_t start;
  bool answered = false;
  int write_error = 0;
  Clock::time_point window_start;
  uint64_t window_bytes;
};

// The first byte of a "Content-Range: bytes 500-999/1000".
std::optional<uint64_t> range_start(CURL* handle) {
  curl_header* header = nullptr;
  if (curl_easy_header(handle, "Content-Range", 0, CURLH_HEADER, -1, &header) != CURLHE_OK) {
    return std::nullopt;
  }
  std::string_view value(header->value);
  if (!value.starts_with("bytes ")) return std::nullopt;
  value.remove_prefix(6);
  uint64_t start = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), start);
  return error == std::errc() ? std::optional(start) : std::nullopt;
}

// Judges the answer's header before its first byte is written.
bool accept_answer(Transfer& transfer) {
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  if (status == kPartial && transfer.start > 0) {
    if (range_start(transfer.handle) != transfer.start) {
      transfer.result.problem = "HTTP 206 with another range than was asked for";
      return false;
    }
    transfer.result.resumed = true;
    return true;
  }
  if (status != kWhole) {
    transfer.result.problem = "HTTP " + std::to_string(status);
    return false;
  }
  if (transfer.start > 0) transfer.part.clear();
  return true;
}

size_t accept_bytes(Transfer& transfer, const char* bytes, size_t count) {
  if (!transfer.answered) {
    transfer.answered = true;
    if (!accept_answer(transfer)) return 0;
    transfer.window_bytes = transfer.part.size();
  }
  if (transfer.part.size() + count > transfer.size) {
    transfer.result.problem = "wanted " + std::to_string(transfer.size) + " bytes, got more";
    transfer.result.wrong_content = true;
    return 0;
  }
  if (!transfer.part.append(bytes, count)) {
    transfer.write_error = errno;
    return 0;
  }
  return count;
}

// Called from C: an exception may not leave it.
size_t on_bytes(char* bytes, size_t, size_t count, void* user) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    return accept_bytes(transfer, bytes, count);
  } catch (const std::exception& error) {
    transfer.result.problem = error.what();
    transfer.write_error = EIO;
    return 0;
  }
}

// Called at least once a second, also while nothing arrives. libcurl's own speed limit judges an
// average over some seconds, and says less.
int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  auto& transfer = *static_cast<Transfer*>(user);
  const uint64_t size = transfer.part.size();
  const auto now = Clock::now();
  const auto stall_s = static_cast<uint64_t>(transfer.options.stall_s);
  if (now - transfer.window_start >= std::chrono::seconds(stall_s)) {
    const uint64_t got = size - transfer.window_bytes;
    if (got < kSlowestBytesPerSecond * stall_s) {
      transfer.result.problem =
          "stalled: " + std::to_string(got) + " bytes in " + std::to_string(stall_s) + " s";
      return 1;
    }
    transfer.window_start = now;
    transfer.window_bytes = size;
  }
  if (transfer.answered && transfer.options.progress) transfer.options.progress(size);
  return 0;
}

void set_up(Transfer& transfer, const std::string& url, char* error_text) {
  CURL* handle = transfer.handle;
  curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error_text);
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_USERAGENT, "gradthru");
  curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(handle, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(handle, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, long{transfer.options.connect_timeout_s});
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, &on_bytes);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, &transfer);
  if (transfer.start > 0) {
    // Not CURLOPT_RESUME_FROM: that makes an error of a server that sends the whole file.
    curl_easy_setopt(handle, CURLOPT_RANGE, (std::to_string(transfer.start) + "-").c_str());
  }
}

std::string describe(CURLcode status, CURL* handle, const char* error_text) {
  if (status == CURLE_HTTP_RETURNED_ERROR) {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return "HTTP " + std::to_string(code);
  }
  std::string text = *error_text != '\0' ? error_text : curl_easy_strerror(status);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

Download download(const std::string& url, uint64_t size, PartFile& part,
                  const DownloadOptions& options) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(
      started == CURLE_OK ? curl_easy_init() : nullptr, &curl_easy_cleanup);
  if (handle == nullptr) throw std::runtime_error("data: libcurl cannot be started");
  Transfer transfer{.handle = handle.get(),
                    .size = size,
                    .part = part,
                    .options = options,
                    .result = {},
                    .start = part.size(),
                    .window_start = Clock::now(),
                    .window_bytes = part.size()};
  char error_text[CURL_ERROR_SIZE] = "";
  set_up(transfer, url, error_text);
  const CURLcode status = curl_easy_perform(handle.get());
  if (transfer.write_error != 0) {
    throw std::runtime_error("data: file " + part.path().string() +
                             " cannot be written: " + std::strerror(transfer.write_error));
  }
  Download& result = transfer.result;
  if (!result.problem.empty()) return result;
  if (status != CURLE_OK) {
    result.problem = describe(status, handle.get(), error_text);
  } else if (!transfer.answered) {
    result.problem = "an answer without content";
  } else if (part.size() != size) {
    result.problem =
        "wanted " + std::to_string(size) + " bytes, got " + std::to_string(part.size());
    result.wrong_content = true;
  }
  return result;
}

}  // namespace gradthru::data
