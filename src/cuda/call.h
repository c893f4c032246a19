#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "math/registry.h"

// What the calls of both families have in common.
namespace gradthru::cuda {

/// Where a call's random numbers start; a kernel adds its row and its sample's offset.
struct StreamStart {
  uint64_t seed, offset, row0;
};

/// The temperatures of a call where its params do not say them.
struct RowTemperatures {
  const double* tau_f = nullptr;  ///< null, or one for each row (or element)
  const double* tau_b = nullptr;
  double inverse_f = 0, inverse_b = 0;  ///< of the params', from `prepared`
};

/// The call with the divisions done that every row would repeat: what the launchers hand on.
template <class Call>
Call prepared(Call call) {
  using Real = std::remove_cvref_t<decltype(*call.logits)>;
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  // Where rows have their own, no constant may be relied upon.
  if (call.rows.tau_f != nullptr) call.params.tau_f = none;
  if (call.rows.tau_b != nullptr) call.params.tau_b = none;
  call.rows.inverse_f = math::inverse<Real>(call.params.tau_f);
  call.rows.inverse_b = math::inverse<Real>(call.params.tau_b);
  return call;
}

/// An entry of a tensor of temperatures; NaN if it is none.
GRADTHRU_HD double temperature_entry(double tau) {
  const bool valid = tau > 0 && tau < std::numeric_limits<double>::infinity();
  return valid ? tau : std::numeric_limits<double>::quiet_NaN();
}

/// Of row (or element) n of a prepared call.
template <class Tile, class Call>
GRADTHRU_HD math::Temperatures<Tile> temperatures(const Call& call, int64_t n) {
  using Real = typename Tile::Real;
  math::Temperatures<Tile> tau{Tile::set(call.params.tau_f), Tile::set(call.rows.inverse_f),
                               Tile::set(call.params.tau_b), Tile::set(call.rows.inverse_b)};
  if (call.rows.tau_f != nullptr) {
    const double entry = temperature_entry(call.rows.tau_f[n]);
    tau.tau_f = Tile::set(entry);
    tau.inv_tau_f = Tile::set(math::inverse<Real>(entry));
  }
  if (call.rows.tau_b != nullptr) {
    const double entry = temperature_entry(call.rows.tau_b[n]);
    tau.tau_b = Tile::set(entry);
    tau.inv_tau_b = Tile::set(math::inverse<Real>(entry));
  }
  return tau;
}

/// Whether the law of the index has no temperature.
template <class Call>
GRADTHRU_HD bool is_untempered(const Call& call) {
  return call.draw != math::Draw::uniform && call.params.scaled_sum();
}

/// Position in an array of one item per row and sample, or of one item per row for all samples.
GRADTHRU_HD int64_t item_of(int64_t n, int64_t sample, int64_t N, int64_t count) {
  return count == N ? n : sample * N + n;
}

/// Whether a method takes uniform_mix, by the registry's list of its parameters.
constexpr bool takes_mix(std::string_view parameters) {
  return parameters.starts_with("mix") || parameters.find(" mix") != std::string_view::npos;
}

}  // namespace gradthru::cuda
