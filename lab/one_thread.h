#pragma once

#include <ATen/Parallel.h>

namespace gradthru::lab {

/// Torch on one thread while this lives: for tiny tensors its threads wait for each other longer
/// than they work.
class OneThread {
 public:
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

  int before() const { return before_; }

 private:
  int before_ = at::get_num_threads();
};

}  // namespace gradthru::lab
