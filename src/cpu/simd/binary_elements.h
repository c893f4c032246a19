#pragma once

#include "cpu/simd/row_in_vector.h"
#include "math/mixture.h"

namespace gradthru::cpu::HWY_NAMESPACE {

/// Sixteen elements of a span, from an absolute number that is a multiple of 16; lanes outside the
/// span are ignored.
class ElementBlock {
 public:
  using Tile = RowInVector;

  ElementBlock(const ElementSpan& span, uint64_t base)
      : span_(span),
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
  FullCursor column() const { return {static_cast<int64_t>(base_ & 0xffffffff)}; }

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
  uint64_t base_;
  int low_, high_;
};

/// The law of the sample as a logit at temperature 1.
struct BinaryLaw {
  Floats logit;
  Floats slope;  ///< of that logit in the given one, where there is a mixture
};

/// With uniform_mix the probability of 1 is p' = (1 - epsilon) sigma(a / tau_f) + epsilon / 2.
GRADTHRU_HD BinaryLaw binary_law(const RowInVector& t, const Floats& logit, const Floats& inv_tau,
                                 double epsilon) {
  const Floats a = logit * inv_tau;
  if (epsilon == 0) return {a, inv_tau};
  const Floats keep = t.set(1 - epsilon), half = t.set(epsilon / 2);
  const Floats on = keep * math::sigmoid(t, a) + half;
  const Floats off = keep * math::sigmoid(t, -a) + half;
  return {t.log(on) - t.log(off), keep * math::sigmoid_slope(t, a) * inv_tau / (on * off)};
}

template <class Work>
GRADTHRU_HD void for_each_block(const ElementSpan& span, const Work& work) {
  for (uint64_t base = span.begin & ~uint64_t{15}; base < span.end; base += 16) {
    work(ElementBlock(span, base));
  }
}

inline void sample_binary(const ElementSpan& span) {
  const RowInVector t(nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    const Floats logit = block.read(span.logits);
    const auto tau = block.tau();
    const Floats one = floats(1), zero = floats(0);
    Floats drawn;
    if (span.given) {
      drawn = block.read(span.on);
    } else if (!span.untempered && span.tau_f == nullptr && span.params->tau_f == 0) {
      drawn = t.select(t.less(logit, zero), zero, one);
    } else {
      const Floats inv_tau = span.untempered ? one : tau.inv_tau_f;
      const BinaryLaw law = binary_law(t, logit, inv_tau, span.uniform_mix);
      Floats log_v, log_1mv;
      t.logistic_pair(block.stream(), block.column(), &log_v, &log_1mv);
      drawn = t.select(t.less(zero, law.logit + (log_v - log_1mv)), one, zero);
    }
    // NaN logits and temperatures are handed on.
    const Floats check = logit + (tau.tau_f + tau.tau_b) * zero;
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
  const RowInVector t(nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    const auto element = element_of(span, block, floats(0));
    block.write(math::gumbel_softmax::binary_forward(t, element, *span.params));
  });
}

template <class Rule>
void backward_binary(const ElementSpan& span) {
  const RowInVector t(nullptr, nullptr);
  for_each_block(span, [&](const ElementBlock& block) {
    auto element = element_of(span, block, block.read(span.grad));
    // A temperature that is none makes the gradient NaN also where the rule does not use it.
    const Floats check = (element.tau.tau_f + element.tau.tau_b) * t.set(0);
    const auto write = [&](const Floats& gradient) { block.write(gradient + check); };
    if (span.uniform_mix == 0) return write(Rule::binary(t, element, *span.params));
    if constexpr (requires { typename Rule::IgnoresLaw; }) {
      return write(Rule::binary(t, element, *span.params) * t.set(1 - span.uniform_mix));
    } else {
      const BinaryLaw law = binary_law(t, element.logit, element.tau.inv_tau_f, span.uniform_mix);
      element.logit = law.logit;
      element.tau = math::Temperatures<RowInVector>::of(1, 1);
      math::Params untempered = *span.params;
      untempered.tau_f = untempered.tau_b = 1;
      write(Rule::binary(t, element, untempered) * law.slope);
    }
  });
}

}  // namespace gradthru::cpu::HWY_NAMESPACE
