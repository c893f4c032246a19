#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>

namespace gradthru::experiments {

/// While it lives, watches Torch's CPU allocator from this thread: what the tensors made since then
/// hold. Scratch memory that a library takes by other means is not seen.
class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  int64_t bytes() const;  ///< the most that they held at once
  int64_t held() const;   ///< what they hold now

 private:
  class Reporter;
  std::shared_ptr<Reporter> reporter_;
  std::unique_ptr<c10::DebugInfoGuard> guard_;
};

}  // namespace gradthru::experiments
