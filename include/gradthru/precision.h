#pragma once

namespace gradthru {

/// How far a gradient computed in float32 may lie from the exact one of the same row and draw, per
/// unit of the largest |g| of the row and divided by min(tau_f, tau_b, 1); gradients in float16 and
/// bfloat16 are one rounding away from that. mve, mve_scalar and reinmax_uniform divide by the
/// probability of the drawn category, and so does their error.
inline constexpr double kFloatErrorBound = 1e-5;

}  // namespace gradthru
