#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <stdexcept>

#include "experiments/cost/workloads.h"
#include "experiments/parameters.h"
#include "train/streams.h"

namespace gradthru::experiments::cost {
namespace {

using at::Tensor;

constexpr int64_t kClasses = 10;

nn::StochasticBinarySequential network_of(const SbnShape& shape, uint64_t seed) {
  begin_init_stream(seed);
  return make_network(shape);
}

/// A unit's value from its preactivation, and the mean whose slope st gives it.
Tensor mean_unit(const Tensor& a) {
  return at::tanh(a / 2);
}

Tensor straight_through_unit(const Tensor& a, const Tensor& state) {
  const Tensor mean = mean_unit(a);
  return state - mean.detach() + mean;
}

Tensor drawn_state(const Tensor& a) {
  const Tensor on = at::rand_like(a) < at::sigmoid(a.detach());
  return on.to(a.scalar_type()) * 2 - 1;
}

class Network : public Workload {
 public:
  Network(const SbnShape& shape, int64_t batch, uint64_t seed) : net_(network_of(shape, seed)) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(train::stream_seed(seed, "images"));
    input_ =
        network_input(shape, at::rand({batch, shape.channels, shape.side, shape.side}, generator));
    labels_ = at::randint(kClasses, {batch}, generator, at::kLong);
    net_->normalise(input_);
    optimise("sgd", net_->parameters());
    noise_ = train::stream_key(seed, "noise");
  }

  int64_t examples() const override { return labels_.size(0); }

 protected:
  Tensor by_library(const Estimator& e) override {
    nn::NetworkOptions options;
    options.one_flip_average = false;
    options.baseline = baseline_;
    options.key = noise_.take(net_->offsets_used(e));
    return net_->loss(input_, labels_, e, options);
  }

  Tensor by_none() override {
    return through([](const Tensor& a, size_t) { return mean_unit(a); });
  }

  std::vector<Candidate> plain(const Estimator& e) override {
    if (e != st()) return {};
    check_plain_st();
    return {{"plain 1", [this] {
               return through([](const Tensor& a, size_t) {
                 return straight_through_unit(a, drawn_state(a));
               });
             }}};
  }

 private:
  template <typename Unit>
  Tensor through(const Unit& unit) const {
    Tensor x = input_;
    for (size_t l = 0; l < net_->layers().size(); ++l) {
      x = unit(net_->layers()[l]->preactivation(x), l);
    }
    return at::cross_entropy_loss(at::linear(x.flatten(1), net_->weight, net_->bias), labels_);
  }

  std::vector<Tensor> gradients(const Tensor& loss) {
    clear();
    loss.backward();
    std::vector<Tensor> all;
    for (const Tensor& parameter : parameters_) all.push_back(parameter.grad());
    clear();
    return all;
  }

  /// The same states must give the same gradients.
  void check_plain_st() {
    std::vector<Tensor> states;
    const Tensor value = through([&](const Tensor& a, size_t) {
      states.push_back(drawn_state(a));
      return straight_through_unit(a, states.back());
    });
    const auto theirs = gradients(value);
    nn::NetworkOptions options;
    options.one_flip_average = false;
    options.given = states;
    const auto ours = gradients(net_->loss(input_, labels_, st(), options));
    for (size_t i = 0; i < ours.size(); ++i) {
      const double scale = ours[i].abs().max().item<double>() + 1e-8;
      const double off = (ours[i] - theirs[i]).abs().max().item<double>() / scale;
      if (off <= 1e-4) continue;
      throw std::runtime_error(
          "cost: the plain form of st is another estimator: a gradient of the "
          "network differs by " +
          std::to_string(off) + " of its largest");
    }
  }

  nn::StochasticBinarySequential net_;
  Tensor input_, labels_, baseline_ = at::zeros({});
};

}  // namespace

std::unique_ptr<Workload> network_step(const SbnShape& shape, int64_t batch, uint64_t seed) {
  return std::make_unique<Network>(shape, batch, seed);
}

}  // namespace gradthru::experiments::cost
