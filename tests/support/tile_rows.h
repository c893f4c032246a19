#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/categorical_row.h"
#include "gradthru/key.h"
#include "support/option_reference.h"
#include "support/tile_memory.h"

// Rows on the tiles of src/cuda, run on the CPU by the functions that the kernels call.
namespace support {

inline gradthru::math::Params params_of(const Estimator& e) {
  return gradthru::math::Params::from(gradthru::numbers(e).data());
}

/// How the rows of a method are drawn, as the kernels are told.
inline gradthru::math::Draw kernel_draw_of(Method method) {
  switch (draw_of(method)) {
    case Draw::uniform:
      return gradthru::math::Draw::uniform;
    case Draw::gumbel:
      return gradthru::math::Draw::gumbel;
    case Draw::conditional:
      break;
  }
  return gradthru::math::Draw::conditional;
}

/// Calls act(rule, mixes) with the row functions of the method, and whether it takes uniform_mix,
/// both as types; does nothing for a rule that runs on no tile.
template <class Act>
void with_rule(Method method, const Act& act) {
  switch (method) {
#define GRADTHRU_ESTIMATOR(name, draw, parameters, ...)                                         \
  case Method::name:                                                                            \
    if constexpr (!gradthru::math::is_sequential<gradthru::math::name>()) {                     \
      act(gradthru::math::name{}, std::bool_constant<gradthru::cuda::takes_mix(parameters)>{}); \
    }                                                                                           \
    break;
#include "gradthru/estimators.def"
    default:
      break;
  }
}

/// Every setting of every rule that runs on tiles.
inline std::vector<Estimator> tile_sweep() {
  std::vector<Estimator> some;
  for (const Estimator& e : sweep()) with_rule(e.method, [&](auto, auto) { some.push_back(e); });
  return some;
}

/// Those of them that take uniform_mix.
inline std::vector<Estimator> mixing_tile_sweep() {
  using gradthru::UniformMix;
  std::vector<Estimator> some;
  for (const Estimator& e : tile_sweep()) {
    const UniformMix mix = gradthru::about(e.method).uniform_mix;
    const bool tied = e.tau_f == e.tau_b;
    if (mix == UniformMix::taken || (mix == UniformMix::tied && tied)) some.push_back(e);
  }
  return some;
}

/// One row, its sample, and how the kernels learn its temperatures.
struct TileCase {
  RowCall call;
  int64_t index = 0;              ///< what the backward is given
  bool row_temperatures = false;  ///< entries of tensors, not the estimator's
};

/// What a kernel is told of one row, in the memory of a tile.
template <class Tile, class Call>
class OneRow {
 public:
  using Real = typename Tile::Real;

  OneRow(const TileCase& c, const gradthru::Key& key)
      : entries_{c.call.e.tau_f.start, c.call.e.tau_b.start},
        logits_(c.call.logits),
        copy_(static_cast<int64_t>(c.call.logits.size())) {
    call.N = call.samples = 1;
    call.K = static_cast<int64_t>(c.call.logits.size());
    call.logits = logits_.data();
    call.params = params_of(c.call.e);
    call.uniform_mix = c.call.uniform_mix;
    call.stream = {key.seed, key.offset, static_cast<uint64_t>(key.row0)};
    call.offsets = offsets_of(c.call.e, c.call.given.has_value());
    if (c.row_temperatures) {
      call.rows.tau_f = &entries_[0];
      call.rows.tau_b = &entries_[1];
      call.params.tau_f = call.params.tau_b = 1;  // not to be looked at
    }
    hide(c.call.mask);
    call = gradthru::cuda::prepared(call);
  }

  /// The logits that the row functions see.
  const Real* logits() {
    if constexpr (kStaged) return logits_.data();
    if constexpr (!kStaged) return gradthru::cuda::allowed_row(Tile{}, call, 0, copy_.data());
  }

  Call call{};

 private:
  static constexpr bool kStaged = Tile::row_size(1) != 1;

  void hide(const std::vector<bool>& allowed) {
    if (allowed.empty()) return;
    mask_ = std::make_unique<bool[]>(allowed.size());
    std::copy(allowed.begin(), allowed.end(), mask_.get());
    if (!kStaged) call.mask = mask_.get();
    for (size_t k = 0; kStaged && k < allowed.size(); ++k) {  // as staging does
      if (!allowed[k]) logits_.data()[Tile::row_size(static_cast<int64_t>(k))] = -kInfinity;
    }
  }

  std::unique_ptr<bool[]> mask_;
  double entries_[2];
  TileMemory<Tile> logits_, copy_;
};

/// The gradient as a kernel computes it: of one row of logits, summed over samples.
template <class Tile>
Row tile_gradient(const std::vector<TileCase>& samples, const gradthru::Key& key) {
  using Real = typename Tile::Real;
  const TileCase& first = samples.front();
  OneRow<Tile, gradthru::cuda::BackwardCall<Real>> row(first, key);
  auto& call = row.call;
  std::vector<int64_t> index;
  for (const TileCase& sample : samples) index.push_back(sample.index);
  call.samples = call.index_count = static_cast<int64_t>(samples.size());
  call.index = index.data();
  call.given = first.call.given.has_value();
  TileMemory<Tile> out(call.K);
  const auto run = [&]<class Rule, bool kMixed>(Rule, std::bool_constant<kMixed>) {
    TileMemory<Tile> scratch(call.K, gradthru::cuda::scratch_rows_of<Rule, kMixed>(call));
    for (int64_t s = 0; s < call.samples; ++s) {
      TileMemory<Tile> grad(samples[static_cast<size_t>(s)].call.g);
      gradthru::cuda::backward_row<Rule, kMixed>(Tile{}, call, 0, s, row.logits(), grad.data(),
                                                 out.data(), scratch.data());
    }
  };
  with_rule(first.call.e.method, [&]<bool kMixes>(auto rule, std::bool_constant<kMixes>) {
    if (call.uniform_mix == 0) return run(rule, std::false_type{});
    if constexpr (kMixes) run(rule, std::true_type{});
  });
  return out.row();
}

/// A sampled row as a kernel leaves it.
struct Sampled {
  int64_t index;
  Row value;
};

template <class Tile>
Sampled tile_sample(const TileCase& c, const gradthru::Key& key) {
  using Real = typename Tile::Real;
  OneRow<Tile, gradthru::cuda::SampleCall<Real>> row(c, key);
  auto& call = row.call;
  call.draw = kernel_draw_of(c.call.e.method);
  call.relaxed = !c.call.e.hard;
  call.given = c.call.given ? &*c.call.given : nullptr;
  call.given_count = 1;
  TileMemory<Tile> value(call.K), scratch(call.K, gradthru::cuda::scratch_rows_of(call));
  const int64_t index =
      gradthru::cuda::sample_row(Tile{}, call, 0, 0, row.logits(), value.data(), scratch.data());
  return {index, value.row()};
}

/// A tile by name, and its precision.
struct TileKind {
  std::string name;
  at::ScalarType dtype;
  Row (*gradient_of_samples)(const std::vector<TileCase>& samples, const gradthru::Key& key);
  Sampled (*sample)(const TileCase& c, const gradthru::Key& key);

  Row gradient(const TileCase& c, const gradthru::Key& key) const {
    return gradient_of_samples({c}, key);
  }
};

template <class Tile>
TileKind tile_kind(const std::string& name, at::ScalarType dtype) {
  return {name, dtype, &tile_gradient<Tile>, &tile_sample<Tile>};
}

inline std::vector<TileKind> tile_kinds() {
  return {tile_kind<WarpRow<double>>("warp double", at::kDouble),
          tile_kind<WarpRow<float>>("warp float", at::kFloat),
          tile_kind<ThreadRow<double>>("thread double", at::kDouble),
          tile_kind<ThreadRow<float>>("thread float", at::kFloat)};
}

/// The scalar tile in double: its memory is a plain row, its loops are the reference of the others.
struct ScalarRow : gradthru::math::ScalarTile<double> {
  static double scalar_of(double v) { return v; }
  static bool flag(const bool* p, int64_t k) { return p[k]; }
};

inline TileKind scalar_kind() {
  return tile_kind<ScalarRow>("scalar double", at::kDouble);
}

}  // namespace support
