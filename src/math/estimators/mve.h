#pragma once

#include "math/estimators/zgr.h"

namespace gradthru::math {

/// Minimum-variance rules: among those exact for linear f, the one of least size plus 2t times its
/// squared bias on quadratic f; at t = inf the least among those exact for quadratic f. With
/// p = softmax(logits / tau_f) it is (1/tau_f) J(p) (r u), where A u = c. A is the Laplacian of a
/// weighted graph of the categories, each of them also tied to a ground:
///   weight_ij = t p_i p_j / d_ij    ground_i = sum_j p_j / d_ij    d_ij = 1 + t(p_i + p_j)
///   c_i = delta_i (1 + t p_i) / d_ix    c_x = -sum_i delta_i t p_i / d_ix
///   r_i = (1 + t p_i) / (1 + 2t p_i)
/// Both parts of every fraction are divided by max(t, 1), so that t = inf is an ordinary case.
/// There the ground is gone and u is known up to a constant, which J drops. So that nothing depends
/// on how near that case is, u is sought as constant + v with v = 0 at the likeliest category, the
/// root: its equation is replaced by the sum of all, ground . u = sum c, from which max(t, 1) is
/// divided out.
struct mve {
  using Sequential = void;

  /// The weights, and four rows beside them.
  static constexpr int64_t scratch_rows(int64_t K) { return K + 4; }

  template <class Tile>
  GRADTHRU_HD static void backward(const Tile& t, const Row<Tile>& row, const Params& p) {
    Problem problem(t, row, p);
    problem.set_up();
    problem.eliminate();
    problem.substitute();
    problem.finish();
  }

  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary(const Tile& t, const Element<Tile, Cursor>& e,
                                             const Params& p) {
    const Price price(p.t);
    return binary_at(t, e, p, 4 * price.t, price.one);
  }

  /// 1 and t, both divided by max(t, 1).
  struct Price {
    double one, t;
    GRADTHRU_HD explicit Price(double price)
        : one(price <= 1 ? 1 : 1 / price), t(price <= 1 ? price : 1) {}
  };

  /// st_zgr with alpha = v / (one + v), v = price p(1 - p).
  template <class Tile, class Cursor>
  GRADTHRU_HD static typename Tile::V binary_at(const Tile& t, const Element<Tile, Cursor>& e,
                                                const Params& p, double price, double one) {
    if (one == 0) return zgr::binary(t, e, p);
    const auto a = e.logit * e.tau.inv_tau_f;
    const auto missed = sigmoid(t, -(e.sign() * a));  // the probability of the other state
    const auto slope = sigmoid_slope(t, a);
    const auto v = t.set(price) * slope;
    const auto half_alpha = t.set(0.5) * v / (t.set(one) + v);
    return t.fma(half_alpha, missed * missed - slope, slope) * e.grad * e.tau.inv_tau_f;
  }

 private:
  /// One row, by plain loops over the categories that can occur.
  template <class Tile>
  struct Problem {
    using Real = typename Tile::Real;

    GRADTHRU_HD Problem(const Tile& tile, const Row<Tile>& the_row, const Params& p)
        : t(tile),
          row(the_row),
          price(p.t),
          K(row.K),
          weight(row.scratch),
          prob(row.scratch + K * K),
          ground(prob + K),
          place(ground + K),
          v(place + K),
          leak(row.out) {}

    GRADTHRU_HD void set_up() {
      probabilities();
      for (int64_t i = 0; i < n; ++i) ground[i] = prob[i] / (price.one + 2 * price.t * prob[i]);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < i; ++j) {
          const Real of_pair = price.one + price.t * (prob[i] + prob[j]);
          weight[i * K + j] = price.t * prob[i] * (prob[j] / of_pair);
          ground[i] += prob[j] / of_pair;
          ground[j] += prob[i] / of_pair;
        }
      }
      Real of_drawn = 0;
      sum_of_c = 0;  // divided by price.one, as the ground is
      for (int64_t i = 0; i < n; ++i) {
        const Real delta = row.grad[category(i)] - row.grad[row.index];
        const Real share = delta / (price.one + price.t * (prob[i] + prob[drawn]));
        v[i] = i == drawn ? 0 : share * (price.one + price.t * prob[i]);
        if (i != drawn) of_drawn -= share * (price.t * prob[i]);
        if (i != drawn) sum_of_c += share;
        leak[i] = price.one * ground[i];
      }
      v[drawn] = of_drawn;
    }

    /// Takes the categories out of the graph one by one, last first, down to the root: what was
    /// tied through one is then tied directly. Nothing is subtracted, so nothing cancels however
    /// small a probability.
    GRADTHRU_HD void eliminate() {
      for (int64_t k = n - 1; k > 0; --k) {
        const Real* of_k = weight + k * K;
        const Real inverse = 1 / strength(k);
        for (int64_t i = 1; i < k; ++i) {
          const Real share = of_k[i] * inverse;
          leak[i] += share * leak[k];
          v[i] += share * v[k];
          for (int64_t j = 0; j < i; ++j) weight[i * K + j] += share * of_k[j];
        }
      }
    }

    /// v is then that of constant 0, leak how much of a constant 1 the ground takes from it.
    GRADTHRU_HD void substitute() {
      v[0] = leak[0] = 0;
      Real of_ground = sum_of_c, of_constant = ground[0];
      for (int64_t k = 1; k < n; ++k) {
        const Real inverse = 1 / strength(k);
        Real flow = v[k], leaking = leak[k];
        for (int64_t j = 1; j < k; ++j) {
          flow += weight[k * K + j] * v[j];
          leaking += weight[k * K + j] * leak[j];
        }
        v[k] = flow * inverse;
        leak[k] = leaking * inverse;
        of_ground -= ground[k] * v[k];
        of_constant += ground[k] * (1 - leak[k]);
      }
      constant = of_ground / of_constant;
      for (int64_t k = 1; k < n; ++k) v[k] -= constant * leak[k];
    }

    /// out = (1/tau_f) J(p) (r u), brought back to the categories' places. With
    /// r = (1 + e)/2, e_i = 1 / (1 + 2t p_i), what J keeps of r u is taken relative to the root.
    GRADTHRU_HD void finish() {
      const Real of_root = price.one + 2 * price.t * prob[0];
      Real mean = 0;
      for (int64_t i = 1; i < n; ++i) {
        const Real of_one = price.one + 2 * price.t * prob[i];
        const Real excess = price.one * (2 * price.t) * (prob[0] - prob[i]) / of_one / of_root;
        v[i] = (v[i] * (1 + price.one / of_one) + constant * excess) / 2;
        mean += prob[i] * v[i];
      }
      for (int64_t k = 0; k < K; ++k) row.out[k] = 0;
      for (int64_t i = 0; i < n; ++i) {
        row.out[category(i)] = prob[i] * (v[i] - mean) * row.tau.inv_tau_f;
      }
    }

   private:
    /// Lists the categories with a positive probability, the likeliest first. The drawn one stays
    /// where its probability underflows: what the gradient tends to is finite, and not always 0.
    GRADTHRU_HD void probabilities() {
      constexpr Real kLeast = 1e-290;  // its reciprocal and its products stay finite
      const Real maximum = row_maximum(t, row.logits, K);
      const Real total = exponentials(t, row.logits, maximum, row.tau.inv_tau_f, weight, K);
      const int64_t likeliest = t.first(K, [&](auto k) { return row.logits[k] == maximum; });
      n = 0;
      const auto enter = [&](int64_t k) {
        const Real share = weight[k] / total;
        if (share < kLeast && k != row.index) return;
        if (k == row.index) drawn = n;
        prob[n] = share < kLeast ? kLeast : share;
        place[n++] = static_cast<Real>(k);
      };
      if (likeliest < K) enter(likeliest);
      for (int64_t k = 0; k < K; ++k) {
        if (k != likeliest) enter(k);
      }
    }

    GRADTHRU_HD int64_t category(int64_t i) const { return static_cast<int64_t>(place[i]); }
    /// Of all ties of category k to those before it and to the ground.
    GRADTHRU_HD Real strength(int64_t k) const {
      Real sum = leak[k];
      for (int64_t j = 0; j < k; ++j) sum += weight[k * K + j];
      return sum;
    }

    const Tile& t;
    const Row<Tile>& row;
    Price price;
    int64_t K;
    int64_t n = 0, drawn = 0;
    Real sum_of_c = 0, constant = 0;
    Real* weight;  // of i and j < i at i K + j
    Real* prob;
    Real* ground;
    Real* place;  // the category that stands at i
    Real* v;      // c, then v
    Real* leak;   // the ties to the ground, then what they take
  };
};

}  // namespace gradthru::math
