#include "lab/network_fidelity.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <future>

#include "gradthru/error.h"
#include "lab/network_module.h"
#include "lab/one_thread.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

constexpr int64_t kMostM = 9000;    // of the curves
constexpr int64_t kBlock = 256;     // draws that are kept at once
constexpr int64_t kLeastShare = 8;  // of them for a thread

/// What a method does with a network: its estimates, one after the other.
class Draws {
 public:
  Draws(const BinaryNetwork& network, const Estimator& estimator, const Key& key)
      : network_(network),
        estimator_(estimator),
        key_(key),
        module_(module_of(network)),
        offsets_(module_->offsets_used(estimator)) {
    for (const auto& [W, b] : layers_of(*module_)) {
      parameters_.push_back(W);
      parameters_.push_back(b);
    }
  }

  /// Whether all estimates are the same.
  bool deterministic() const { return offsets_ == 0; }

  /// Estimates number `first` to `first + count`: [count, n] for each layer.
  std::vector<Tensor> operator()(int64_t first, int64_t count) const {
    std::vector<Tensor> all;
    for (const NetworkLayer& layer : network_.layers) {
      all.push_back(at::empty({count, layer.W.numel() + layer.b.numel()}, at::kDouble));
    }
    const OneThread each;
    const int64_t workers =
        std::min<int64_t>(each.before(), (count + kLeastShare - 1) / kLeastShare);
    std::vector<std::future<void>> shares;
    for (int64_t w = 0; w < workers; ++w) {
      shares.push_back(std::async(std::launch::async, [&, w] {
        at::init_num_threads();
        for (int64_t i = w; i < count; i += workers) put(all, i, gradients(first + i));
      }));
    }
    for (auto& share : shares) share.get();
    return all;
  }

 private:
  std::vector<Tensor> gradients(int64_t number) const {
    Key key = key_;
    key.offset += static_cast<uint64_t>(number) * offsets_;
    const Tensor loss =
        module_->loss(network_.x, network_.y, estimator_, {.one_flip_average = false, .key = key});
    return torch::autograd::grad({loss}, parameters_);
  }

  /// Into row i: weights and bias of each layer.
  static void put(const std::vector<Tensor>& all, int64_t i, const std::vector<Tensor>& gradients) {
    for (size_t l = 0; l < all.size(); ++l) {
      double* row = all[l].data_ptr<double>() + i * all[l].size(1);
      for (const size_t part : {2 * l, 2 * l + 1}) {
        const Tensor g = gradients[part].contiguous();
        std::memcpy(row, g.const_data_ptr<double>(), g.nbytes());
        row += g.numel();
      }
    }
  }

  const BinaryNetwork& network_;
  Estimator estimator_;
  Key key_;
  nn::StochasticBinarySequential module_;
  uint64_t offsets_;
  std::vector<Tensor> parameters_;
};

/// A mean that is known, and the variance around it.
LayerFidelity known(const Tensor& g, const Tensor& mean, double variance) {
  const double length = g.norm().item<double>(), bias = (mean - g).norm().item<double>() / length;
  const double cosine = g.dot(mean).item<double>() / (length * mean.norm().item<double>());
  LayerFidelity f{length,      mean, {bias, bias, bias}, {cosine, cosine, cosine}, variance,
                  bias * bias, {}};
  for (const int64_t M : decades(kMostM)) {
    const double spread = variance / static_cast<double>(M) / (length * length);
    f.by_samples.push_back({M, std::sqrt(bias * bias + spread)});
  }
  return f;
}

/// What draws say.
LayerFidelity drawn(const Tensor& g, const DrawStatistics& statistics) {
  const MeanOfDraws mean = statistics.mean();
  const double length = g.norm().item<double>();
  LayerFidelity f{
      length, mean.mean, mean.relative_bias, mean.cosine, mean.variance, mean.squared_bias, {}};
  for (const GroupsOfDraws& groups : statistics.groups()) {
    const Interval error = root_mean_square(groups.squares);
    AtSamples at{groups.M, error.value / length, error.low / length, error.high / length};
    set_cosines(at, groups.cosines);
    f.by_samples.push_back(at);
  }
  return f;
}

/// A method in the middle of being measured.
class Measuring {
 public:
  Measuring(const BinaryNetwork& network, const NetworkGradient& exact, const Estimator& estimator,
            const NetworkFidelityOptions& options)
      : network_(network), options_(options) {
    for (const NetworkLayer& layer : exact.layers) exact_.push_back(flat(layer));
    result_.estimator = estimator;
    rule_ = estimator;
    if (rule_.baseline == kMovingBaseline) rule_.baseline = exact.value;
  }

  NetworkFidelity run() {
    const Draws draws(network_, rule_, options_.key);
    const bool enumerable = has_path_moments(rule_) && paths(network_) <= kMostPaths;
    result_.enumerated = draws.deterministic() || (enumerable && !options_.sampled);
    if (draws.deterministic()) {
      const auto mean = draws(0, 1);
      for (size_t l = 0; l < exact_.size(); ++l) add(known(exact_[l], mean[l][0], 0));
      return result_;
    }
    if (result_.enumerated) {
      const NetworkMoments moments = path_moments(network_, rule_);
      for (size_t l = 0; l < exact_.size(); ++l) {
        add(known(exact_[l], flat(moments.mean[l]), moments.variance[l]));
      }
    }
    if (!result_.enumerated || options_.cosines) draw(draws);
    return result_;
  }

 private:
  void add(const LayerFidelity& layer) { result_.layers.push_back(layer); }

  void draw(const Draws& draws) {
    result_.samples = options_.samples;
    std::vector<DrawStatistics> statistics;
    for (const Tensor& g : exact_) {
      statistics.emplace_back(g, options_.samples, decades(std::min(kMostM, options_.samples / 2)));
    }
    for (int64_t first = 0; first < options_.samples; first += kBlock) {
      const auto some = draws(first, std::min(kBlock, options_.samples - first));
      for (size_t l = 0; l < exact_.size(); ++l) statistics[l].add(some[l], first);
    }
    for (size_t l = 0; l < exact_.size(); ++l) {
      if (!result_.enumerated) {
        add(drawn(exact_[l], statistics[l]));
        continue;
      }
      auto at = result_.layers[l].by_samples.begin();
      for (const GroupsOfDraws& groups : statistics[l].groups()) {
        set_cosines(*at++, groups.cosines);
      }
    }
  }

  const BinaryNetwork& network_;
  const NetworkFidelityOptions& options_;
  std::vector<Tensor> exact_;
  Estimator rule_;
  NetworkFidelity result_{};
};

}  // namespace

std::vector<int64_t> decades(int64_t most) {
  std::vector<int64_t> all;
  for (int64_t ten = 1; ten <= most; ten *= 10) {
    for (int64_t digit = 1; digit <= 9 && digit * ten <= most; ++digit) {
      all.push_back(digit * ten);
    }
  }
  return all;
}

void check_estimators(const BinaryNetwork& network, const std::vector<Estimator>& estimators) {
  const auto module = module_of(network);
  const int64_t N = std::min<int64_t>(2, network.x.size(0));
  const Tensor x = network.x.narrow(0, 0, N), y = network.y.narrow(0, 0, N);
  for (const Estimator& e : estimators) {
    Estimator fixed = e;
    if (e.baseline == kMovingBaseline) fixed.baseline = 0;
    module->loss(x, y, fixed, {.key = Key{.seed = 0}});
  }
}

NetworkMeasurement measure(const BinaryNetwork& network, const std::vector<Estimator>& estimators,
                           const NetworkFidelityOptions& options) {
  check_estimators(network, estimators);
  require_draws("samples", options.samples);
  NetworkMeasurement all{exact_gradient(network), {}};
  for (const Estimator& e : estimators) {
    all.results.push_back(Measuring(network, all.exact, e, options).run());
  }
  return all;
}

}  // namespace gradthru::lab
