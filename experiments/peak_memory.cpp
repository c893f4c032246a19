#include "experiments/peak_memory.h"

#include <c10/core/Allocator.h>

#include <algorithm>
#include <mutex>

namespace gradthru::experiments {

class PeakMemory::Reporter : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    held_ += size;
    peak_ = std::max(peak_, held_);
  }

  bool memoryProfilingEnabled() const override { return true; }

  int64_t peak() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }

  int64_t held() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_;
  }

 private:
  mutable std::mutex mutex_;
  int64_t held_ = 0, peak_ = 0;
};

PeakMemory::PeakMemory()
    : reporter_(std::make_shared<Reporter>()),
      guard_(std::make_unique<c10::DebugInfoGuard>(c10::DebugInfoKind::PROFILER_STATE, reporter_)) {
}

PeakMemory::~PeakMemory() = default;

int64_t PeakMemory::bytes() const {
  return reporter_->peak();
}

int64_t PeakMemory::held() const {
  return reporter_->held();
}

}  // namespace gradthru::experiments
