#include "train/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <utility>

namespace gradthru::train {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 10;
constexpr int kBarWidth = 16;
constexpr size_t kUsualWidth = 79;

double seconds_now() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// 0:07, 12:34, 3:00:00
std::string clock_text(double seconds) {
  const auto total = static_cast<long long>(std::min(seconds + 0.5, 3.6e8));
  char text[32];
  if (total >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", total / 3600, total / 60 % 60,
                  total % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", total / 60, total % 60);
  }
  return text;
}

std::string bar(double share) {
  const int filled = static_cast<int>(share * kBarWidth);
  std::string text(kBarWidth, '.');
  text.replace(0, filled, filled, '#');
  return text;
}

// A line longer than the window would wrap, and the next redraw would leave pieces behind.
size_t window_width() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
  return known ? size.ws_col - 1 : kUsualWidth;
}

}  // namespace

Progress::Progress(std::string label, int64_t total, int64_t first)
    : Progress(std::move(label), total, first, std::cerr, ::isatty(STDERR_FILENO) == 1,
               seconds_now) {}

Progress::Progress(std::string label, int64_t total, int64_t first, std::ostream& out,
                   bool terminal, std::function<double()> clock)
    : label_(std::move(label)),
      total_(total),
      first_(first),
      out_(out),
      terminal_(terminal),
      clock_(std::move(clock)),
      start_(clock_()),
      drawn_(start_),
      done_(first) {}

Progress::~Progress() {
  finish();
}

void Progress::update(int64_t done, int64_t examples, double loss) {
  done_ = done;
  examples_ += examples;
  loss_ = loss;
  const double now = clock_();
  if (now - drawn_ >= (terminal_ ? kRedrawSeconds : kPlainSeconds)) draw(now);
}

void Progress::finish() {
  if (std::exchange(finished_, true) || done_ == first_) return;
  draw(clock_());
  if (terminal_) out_ << "\n" << std::flush;
}

std::string Progress::line(double now) const {
  const double share = total_ > 0 ? std::clamp(double(done_) / double(total_), 0.0, 1.0) : 1.0;
  const double elapsed = std::max(now - start_, 1e-9);
  std::string text = label_ + " ";
  if (terminal_) text.append("[").append(bar(share)).append("] ");
  text += std::to_string(done_) + "/" + std::to_string(total_);
  text += formatted(" (%.0f%%)", std::floor(100 * share));
  if (!std::isnan(loss_)) text += formatted(", loss %.5g", loss_);
  const bool is_under_way = done_ < total_ && done_ > first_;
  const double left =
      elapsed / double(std::max<int64_t>(done_ - first_, 1)) * double(total_ - done_);
  text.append(", ").append(clock_text(is_under_way ? left : elapsed));
  if (is_under_way) text.append(" left");
  // Last, because a narrow window cuts the end off.
  text += formatted(", %.0f examples/s", double(examples_) / elapsed);
  return text;
}

void Progress::draw(double now) {
  drawn_ = now;
  const std::string text = line(now);
  if (terminal_) {
    const size_t width = &out_ == &std::cerr ? window_width() : kUsualWidth;
    out_ << "\r" << text.substr(0, width) << "\033[K" << std::flush;
  } else {
    out_ << text << "\n" << std::flush;
  }
}

void clear_progress_line() {
  if (::isatty(STDERR_FILENO) == 1) std::cerr << "\r\033[K" << std::flush;
}

}  // namespace gradthru::train
