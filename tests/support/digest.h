#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "support/gradient.h"
#include "support/random.h"

// The bits of results, condensed for comparison between processes.
namespace support {

/// FNV-1a over the bytes of tensors, in logical order.
class Digest {
 public:
  void add(const at::Tensor& tensor) {
    const at::Tensor flat = tensor.detach().contiguous();
    const auto* bytes = static_cast<const unsigned char*>(flat.const_data_ptr());
    const int64_t count = flat.numel() * flat.element_size();
    for (int64_t i = 0; i < count; ++i) state_ = (state_ ^ bytes[i]) * 0x100000001b3u;
  }
  std::string text() const {
    char hex[17];
    std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(state_));
    return hex;
  }

 private:
  uint64_t state_ = 0xcbf29ce484222325u;
};

/// A call whose bits are compared; logits and g are [rows, K], g for each of the samples.
struct BitCase {
  std::string what;
  gradthru::Estimator e;
  at::Tensor logits, g;
  gradthru::SampleOptions options{};
};

inline std::string digest_of(const Outcome& run) {
  Digest digest;
  digest.add(run.drawn.index);
  digest.add(run.drawn.onehot);
  digest.add(run.grad);
  return digest.text();
}

inline std::string digest_of(const BinaryOutcome& run) {
  Digest digest;
  digest.add(run.value);
  digest.add(run.grad);
  return digest.text();
}

inline std::string digest_of(const BitCase& c) {
  return digest_of(run(c.logits, c.e, c.options, c.g));
}

inline constexpr gradthru::Key kBitKey{.seed = 777, .offset = 5, .row0 = (int64_t{1} << 32) - 20};

/// Wide and narrow rows, with a saturated one, holes and an invalid one.
inline BitCase bit_case(const gradthru::Estimator& e, int64_t rows, int64_t K,
                        at::ScalarType dtype) {
  Random random(static_cast<uint64_t>(1000 * K + rows));
  at::Tensor logits = random.normal({rows, K}, kLogitScale);
  if (rows > 4 && K > 2) {
    logits[1] *= 3000;
    logits[2].slice(0, 0, K - 1, 2).fill_(-std::numeric_limits<double>::infinity());
    logits[3][K / 2].fill_(std::numeric_limits<double>::quiet_NaN());
  }
  BitCase c{to_string(e) + " " + c10::toString(dtype) + " " + std::to_string(rows) + "x" +
                std::to_string(K),
            for_categories(e, K), logits.to(dtype), random.normal({rows, K}, 1, dtype)};
  c.options.key = kBitKey;
  return c;
}

inline const std::vector<at::ScalarType> kVectorDtypes = {at::kFloat, at::kHalf, at::kBFloat16};

}  // namespace support
