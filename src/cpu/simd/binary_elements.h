#pragma once

#include "cpu/simd/row_in_vector.h"
#include "math/binary_mixture.h"

namespace gradthru::cpu::HWY_NAMESPACE {

/// Sixteen elements of a span, from an absolute number that is a multiple of 16; lanes outside the
/// span are ignored.
class ElementBlock {
 public:
  using Tile = RowInVector;

  ElementBlock(const ElementSpan& span, uint64_t base, NoiseColumns& noise)
      : span_(span),
        noise_(noise),
        base_(base),
        low_(span.begin > base ? static_cast<int>(span.begin - base) : 0),
        high_(span.end < base + 16 ? static_cast<int>(span.end - base) : 16) {}

  GRADTHRU_HD Floats read(const float* p) const {
    const int64_t start = static_cast<int64_t>(base_ - span_.first);
    if (low_ == 0 && high_ == 16) return load16(p + start);
    HWY_ALIGN float lane[16] = {};
    for (int i = low_; i < high_; ++i) lane[i] = p[start + i];
    return load16(lane);
  }

  GRADTHRU_HD void write(const Floats& v) const {
    const int64_t start = static_cast<int64_t>(base_ - span_.first);
    if (low_ == 0 && high_ == 16) return store16(v, span_.out + start);
    HWY_ALIGN float lane[16];
    store16(v, lane);
    for (int i = low_; i < high_; ++i) span_.out[start + i] = lane[i];
  }

  Tile::Stream stream() const { return {span_.seed, span_.offset, base_ >> 32}; }
  FullCursor column() const { return {static_cast<int64_t>(base_ & 0xffffffff), &noise_}; }

  /// An entry that is no temperature makes its element NaN.
  GRADTHRU_HD math::Temperatures<Tile> tau() const {
    auto tau = math::Temperatures<Tile>::of(span_.params->tau_f, span_.params->tau_b);
    if (span_.tau_f != nullptr) replace(span_.tau_f, &tau.tau_f, &tau.inv_tau_f);
    if (span_.tau_b != nullptr) replace(span_.tau_b, &tau.tau_b, &tau.inv_tau_b);
    return tau;
  }

 private:
  GRADTHRU_HD void replace(const float* entries, Floats* tau, Floats* inverse) const {
    const Floats entry = read(entries);
    const auto valid =
        Tile::both(Tile::less(floats(0), entry),
                   Tile::less(entry, floats(std::numeric_limits<float>::infinity())));
    *tau = Tile::select(valid, entry, floats(std::numeric_limits<float>::quiet_NaN()));
    const Floats largest = floats(std::numeric_limits<float>::max());
    *inverse = Tile::min(floats(1) / *tau, largest);
  }

  const ElementSpan& span_;
  NoiseColumns& noise_;
  uint64_t base_;
  int low_, high_;
};

template <class Work>
GRADTHRU_HD void for_each_block(const ElementSpan& span, const Work& work) {
  NoiseColumns noise;
  for (uint64_t base = span.begin & ~uint64_t{15}; base < span.end; base += 16) {
    if ((base & 0xffffffff) == 0) noise.first = -1;  // another row of the stream
    work(ElementBlock(span, base, noise));
  }
}

inline void sample_binary(const ElementSpan& span) {
  const RowInVector t(span.seed, nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    const Floats logit = block.read(span.logits);
    const auto tau = block.tau();
    Floats drawn;
    if (span.given) {
      drawn = block.read(span.on);
    } else {
      const bool at_zero = !span.untempered && span.tau_f == nullptr && span.params->tau_f == 0;
      drawn = math::draw_binary(t, logit, span.untempered ? floats(1) : tau.inv_tau_f, at_zero,
                                span.uniform_mix, block.stream(), block.column());
    }
    // NaN logits and temperatures are handed on.
    const Floats check = logit + (tau.tau_f + tau.tau_b) * floats(0);
    block.write(t.select(t.equal(check, check), drawn, check));
  });
}

GRADTHRU_HD math::Element<RowInVector, FullCursor> element_of(const ElementSpan& span,
                                                              const ElementBlock& block,
                                                              const Floats& grad) {
  return {block.read(span.logits), block.read(span.on), grad,       span.given,
          block.stream(),          block.column(),      block.tau()};
}

inline void relax_binary(const ElementSpan& span) {
  const RowInVector t(span.seed, nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    const auto element = element_of(span, block, floats(0));
    block.write(math::gumbel_softmax::binary_forward(t, element, *span.params));
  });
}

template <class Rule>
void backward_binary(const ElementSpan& span) {
  const RowInVector t(span.seed, nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    const auto element = element_of(span, block, block.read(span.grad));
    // A temperature that is none makes the gradient NaN also where the rule does not use it.
    const Floats check = (element.tau.tau_f + element.tau.tau_b) * t.set(0);
    const auto write = [&](const Floats& gradient) { block.write(gradient + check); };
    write(span.uniform_mix == 0
              ? Rule::binary(t, element, *span.params)
              : math::mixed_binary<Rule>(t, element, *span.params, span.uniform_mix));
  });
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
