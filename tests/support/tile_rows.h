#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "cuda/categorical_row.h"
#include "cuda/thread_tile.h"
#include "cuda/warp_tile.h"
#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "support/estimators.h"
#include "support/rows.h"
#include "support/warp_emulation.h"

// Rows on the tiles of src/cuda, run on the CPU by the functions that the kernels call.
namespace support {

template <class Real>
using WarpRow = gradthru::cuda::WarpTile<EmulatedWarp, Real>;
template <class Real>
using ThreadRow = gradthru::cuda::ThreadTile<Real, 33>;

/// Rows in the memory of a tile, between guards that no tile may write to.
template <class Tile>
class TileMemory {
 public:
  using Real = typename Tile::Real;

  explicit TileMemory(int64_t K, int64_t rows = 1)
      : K_(K), cells_(static_cast<size_t>(Tile::row_size(K) * rows + 2 * kGuard), kGuardValue) {
    // What was not stored must not be read.
    for (int64_t i = 0; i < Tile::row_size(K) * rows; ++i)
      data()[i] = std::numeric_limits<Real>::quiet_NaN();
  }
  TileMemory(const Row& values) : TileMemory(static_cast<int64_t>(values.size())) {
    for (int64_t k = 0; k < K_; ++k)
      data()[k * kStride] = static_cast<Real>(values[static_cast<size_t>(k)]);
  }
  ~TileMemory() {
    for (size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(cells_[i], kGuardValue);
      EXPECT_EQ(cells_[cells_.size() - 1 - i], kGuardValue);
    }
  }
  TileMemory(const TileMemory&) = delete;
  TileMemory& operator=(const TileMemory&) = delete;

  Real* data() { return cells_.data() + kGuard; }
  Row row() {
    Row result;
    for (int64_t k = 0; k < K_; ++k) result.push_back(data()[k * kStride]);
    return result;
  }

 private:
  static constexpr size_t kGuard = 64;
  static constexpr Real kGuardValue = 1e30f;
  static constexpr int64_t kStride = Tile::row_size(1);

  int64_t K_;
  std::vector<Real> cells_;
};

inline gradthru::math::Params params_of(const Estimator& e) {
  return gradthru::math::Params::from(gradthru::numbers(e).data());
}

inline gradthru::cuda::StreamStart stream_of(const gradthru::Key& key) {
  return {key.seed, key.offset, static_cast<uint64_t>(key.row0)};
}

/// What a kernel is told of one row.
template <class Real, class Call>
Call one_row(const Estimator& e, int64_t K, const gradthru::Key& key, bool given) {
  Call call{};
  call.N = call.samples = 1;
  call.K = K;
  call.params = params_of(e);
  call.stream = stream_of(key);
  call.offsets = offsets_of(e, given);
  return gradthru::cuda::prepared(call);
}

/// Calls act(rule) with the row functions of the method.
template <class Act>
void with_rule(Method method, const Act& act) {
  switch (method) {
#define GRADTHRU_ESTIMATOR(name, ...)                                       \
  case Method::name:                                                        \
    if constexpr (!gradthru::math::is_sequential<gradthru::math::name>()) { \
      return act(gradthru::math::name{});                                   \
    }                                                                       \
    break;
#include "gradthru/estimators.def"
  }
  throw std::logic_error("no row function for tiles");
}

/// How the method of these row functions draws.
template <class Rule>
constexpr Draw draw_of_rule() {
#define GRADTHRU_ESTIMATOR(name, draw, ...) \
  if constexpr (std::is_same_v<Rule, gradthru::math::name>) return Draw::draw;
#include "gradthru/estimators.def"
}

inline bool runs_on_tiles(Method method) {
  bool runs = false;
  switch (method) {
#define GRADTHRU_ESTIMATOR(name, ...)                              \
  case Method::name:                                               \
    runs = !gradthru::math::is_sequential<gradthru::math::name>(); \
    break;
#include "gradthru/estimators.def"
  }
  return runs;
}

/// Every setting of every rule that runs on tiles.
inline std::vector<Estimator> tile_sweep() {
  std::vector<Estimator> some;
  for (const Estimator& e : sweep())
    if (runs_on_tiles(e.method)) some.push_back(e);
  return some;
}

/// One row of what a backward is asked for.
struct BackwardRow {
  Row logits, grad;
  int64_t index;
  bool given = false;
  double uniform_mix = 0;
};

/// The gradient as a kernel computes it: of one row of logits, summed over samples.
template <class Tile>
Row tile_gradient(const Estimator& e, const std::vector<BackwardRow>& samples,
                  const gradthru::Key& key) {
  using Real = typename Tile::Real;
  const BackwardRow& first = samples.front();
  const auto K = static_cast<int64_t>(first.logits.size());
  const auto count = static_cast<int64_t>(samples.size());
  std::vector<int64_t> index;
  for (const BackwardRow& sample : samples) index.push_back(sample.index);
  TileMemory<Tile> logits(first.logits), out(K);
  auto call = one_row<Real, gradthru::cuda::BackwardCall<Real>>(e, K, key, first.given);
  call.samples = call.index_count = count;
  call.index = index.data();
  call.given = first.given;
  call.uniform_mix = first.uniform_mix;
  const auto run = [&]<class Rule>(Rule, auto mixed) {
    constexpr bool kMixed = mixed.value;
    TileMemory<Tile> scratch(K, gradthru::cuda::scratch_rows_of<Rule, kMixed>(call));
    for (int64_t s = 0; s < count; ++s) {
      TileMemory<Tile> grad(samples[static_cast<size_t>(s)].grad);
      gradthru::cuda::backward_row<Rule, kMixed>(Tile{}, call, 0, s, logits.data(), grad.data(),
                                                 out.data(), scratch.data());
    }
  };
  with_rule(e.method, [&](auto rule) {
    if (first.uniform_mix == 0) return run(rule, std::false_type{});
    if constexpr (draw_of_rule<decltype(rule)>() == Draw::uniform) {
      return run(rule, std::true_type{});
    }
    throw std::logic_error("no form for uniform_mix");
  });
  return out.row();
}

/// The same on the scalar tile in double, by the rule alone.
inline Row scalar_gradient(const Estimator& e, const BackwardRow& row, const gradthru::Key& key) {
  using Tile = gradthru::math::ScalarTile<double>;
  const auto K = static_cast<int64_t>(row.logits.size());
  const gradthru::math::Params p = params_of(e);
  Row out(row.logits.size());
  with_rule(e.method, [&]<class Rule>(Rule) {
    Row scratch(static_cast<size_t>((gradthru::math::scratch_rows<Rule>(K) + 1) * K));
    const gradthru::math::Row<Tile> on_tile{
        row.logits.data(),
        row.grad.data(),
        out.data(),
        scratch.data(),
        K,
        row.index,
        row.given,
        {key.seed, key.offset, static_cast<uint64_t>(key.row0)},
        gradthru::math::Temperatures<Tile>::of(p.tau_f, p.tau_b)};
    if (row.uniform_mix == 0) return Rule::backward(Tile{}, on_tile, p);
    gradthru::math::mixed_backward<Rule>(Tile{}, on_tile, p, row.uniform_mix);
  });
  return out;
}

/// A tile by name, and its precision.
struct TileKind {
  std::string name;
  at::ScalarType dtype;
  Row (*gradient_of_samples)(const Estimator& e, const std::vector<BackwardRow>& samples,
                             const gradthru::Key& key);

  Row gradient(const Estimator& e, const BackwardRow& row, const gradthru::Key& key) const {
    return gradient_of_samples(e, {row}, key);
  }
};

inline std::vector<TileKind> tile_kinds() {
  return {{"warp double", at::kDouble, &tile_gradient<WarpRow<double>>},
          {"warp float", at::kFloat, &tile_gradient<WarpRow<float>>},
          {"thread double", at::kDouble, &tile_gradient<ThreadRow<double>>},
          {"thread float", at::kFloat, &tile_gradient<ThreadRow<float>>}};
}

}  // namespace support
