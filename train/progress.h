#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <limits>
#include <string>

namespace gradthru::train {

/// Shows how far a run is, on standard error: on a terminal one line that is redrawn (bar, loss,
/// examples/s, time left; at most 10 times a second), otherwise a plain line about every 10 s and
/// at the end. For people only: nothing of it enters the metrics.
class Progress {
 public:
  /// `first` is the step where this process starts (after a resumption).
  Progress(std::string label, int64_t total, int64_t first = 0);

  /// For tests: where to, as if on a terminal or not, and the time in seconds.
  Progress(std::string label, int64_t total, int64_t first, std::ostream& out, bool terminal,
           std::function<double()> clock);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// After a step: steps done in all, examples seen in this step, its loss. Costs a look at the
  /// clock unless it is time to draw.
  void update(int64_t done, int64_t examples,
              double loss = std::numeric_limits<double>::quiet_NaN());

  /// Draws the final state and ends the line; the destructor does it where it was not called.
  void finish();

 private:
  std::string line(double now) const;
  void draw(double now);

  std::string label_;
  int64_t total_;
  int64_t first_;
  std::ostream& out_;
  bool terminal_;
  std::function<double()> clock_;
  double start_;
  double drawn_;
  int64_t done_;
  int64_t examples_ = 0;
  double loss_ = std::numeric_limits<double>::quiet_NaN();
  bool finished_ = false;
};

/// Wipes a progress line, so that something else can be printed; nothing where standard error is no
/// terminal. The next redraw brings it back.
void clear_progress_line();

}  // namespace gradthru::train
