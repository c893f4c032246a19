#pragma once

#include <cmath>

#include "reference/settings.h"
#include "reference/softmax.h"
#include "reference/st_zgr.h"

namespace reference {

/// S of mve_scalar for the values phi and the drawn value y.
inline Row mve_scalar_direction(const Row& p, const Row& phi, double y, double t) {
  Row squares(phi.size());
  for (size_t k = 0; k < phi.size(); ++k) squares[k] = phi[k] * phi[k];
  const double m1 = dot(p, phi), m2 = dot(p, squares), v = m2 - m1 * m1;
  if (v == 0) return Row(phi.size(), 0.0);
  if (std::isinf(t)) return plus(scaled(phi, (m2 - m1 * y) / v), squares, 0.5 * (y - m1) / v);
  return scaled(plus(scaled(phi, 1 + 2 * t * (m2 - m1 * y)), squares, t * (y - m1)),
                1 / (1 + 2 * t * v));
}

/// (h / tau_f) J(p) S, h the slope of the least-squares line through (y, g_x).
inline Row mve_scalar(const Row& logits, int64_t index, const Row& g, const Settings& e,
                      const Noise&) {
  const size_t x = static_cast<size_t>(index);
  const Row p = softmax(logits, e.tau_f);
  double covariance = 0, variance = 0;
  for (size_t k = 0; k < p.size(); ++k) {
    if (p[k] == 0) continue;
    covariance += (g[k] - g[x]) * (e.values[k] - e.values[x]);
    variance += (e.values[k] - e.values[x]) * (e.values[k] - e.values[x]);
  }
  if (variance == 0) return Row(p.size(), 0.0);
  const Row direction = mve_scalar_direction(p, e.values, e.values[x], e.t);
  return scaled(jacobian_times(p, direction), covariance / variance / e.tau_f);
}

/// st_zgr with alpha = v/(1 + v), v = 2t d^2 p(1-p), d the distance of the two values.
inline double mve_scalar_binary(double a, int b, double g, const Settings& e, const Noise& noise) {
  const double distance = e.values[0] - e.values[1];
  if (distance == 0) return 0;
  Settings mixture = e;
  const double v = 2 * e.t * distance * distance * sigmoid_slope(a / e.tau_f);
  mixture.alpha = std::isinf(e.t) ? 1 : v / (1 + v);
  return st_zgr_binary(a, b, g, mixture, noise);
}

}  // namespace reference
