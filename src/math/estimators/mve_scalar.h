#pragma once

#include "math/estimators/mve.h"

namespace gradthru::math {

/// mve where f sees one number y = values_x: (h / tau_f) J(p) S with p = softmax(logits / tau_f),
/// h = df/dy and, in phi = values - p.values, v = p.phi^2 and r = y - p.values,
///   S = phi + kappa phi^2, kappa = t r / (1 + 2t v),
/// which is the specification's S but for a constant, which J drops; kappa = 0 where v = 0. h is
/// read from the gradient at the one-hot sample: the slope delta.d / d.d, d = values - y, over the
/// categories that can occur. It is df/dy where f depends on y alone, for then delta = h d.
struct mve_scalar {
  /// In single precision the values would lose what is small beside the largest of them.
  using Sequential = void;

  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    using V = typename Tile::V;
    const auto maximum = row_maximum(t, row.logits, row.K);
    const auto grad_at_index = t.at(row.grad, row.index);
    const auto y =
        t.sum(row.K, [&](auto k) { return t.select(t.is(k, row.index), p.values[k], t.set(0)); });
    const auto sums = t.sum(row.K, [&](auto k) {
      const auto weight = exponential_weight(t, row.logits, maximum, row.tau.inv_tau_f, k);
      t.store(row.scratch, k, weight);
      const auto exists = t.less(t.set(0), weight);
      const auto from_y = t.select(exists, p.values[k] - y, t.set(0));
      const auto d = delta(t, row, grad_at_index, weight, k);
      return Sums<V, 4>{{weight, weight * from_y, d * from_y, from_y * from_y}};
    });
    const auto inverse_total = t.set(1) / sums.of[0];
    const auto r = -(sums.of[1] * inverse_total);
    const auto prob_at = [&](auto k) { return t.load(row.scratch, k) * inverse_total; };
    const auto phi_at = [&](auto k) {
      return t.select(t.equal(prob_at(k), t.set(0)), t.set(0), p.values[k] - y + r);
    };
    const auto v = t.sum(row.K, [&](auto k) { return prob_at(k) * phi_at(k) * phi_at(k); });

    const mve::Price price(p.t);
    // v >= p_x r^2: what is below the smallest p_x that can be inverted counts as 0.
    constexpr double kLeast = static_cast<double>(std::numeric_limits<typename Tile::Real>::min()) /
                              std::numeric_limits<typename Tile::Real>::epsilon();
    const auto kappa =
        quotient(t, t.set(price.t) * r, t.fma(t.set(2 * price.t), v, t.set(price.one)),
                 t.set(kLeast) * r * r);
    const auto factor = quotient(t, sums.of[2], sums.of[3], t.set(0)) * row.tau.inv_tau_f;
    t.each(row.K, [&](auto k) {
      const auto phi = phi_at(k);
      t.store(row.out, k, prob_at(k) * factor * t.fma(kappa, phi * phi - v, phi));
    });
  }

  /// Two values: only their distance counts, by its square beside t.
  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    const double distance = p.values[0] - p.values[1];
    if (distance == 0) return t.set(0) * e.grad * sigmoid(t, e.logit);
    const mve::Price price(p.t);
    return mve::binary_at(t, e, p, 2 * price.t, price.one / (distance * distance));
  }

 private:
  /// a / b, but 0 where b is not above `least`.
  template <class Tile>
  GRADTHRU_HD static typename Tile::V quotient(const Tile& t, typename Tile::V a,
                                               typename Tile::V b, typename Tile::V least) {
    const auto above = t.less(least, b);
    return t.select(above, a / t.select(above, b, t.set(1)), t.set(0));
  }
};

}  // namespace gradthru::math
