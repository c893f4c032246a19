#include "experiments/listops/model.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/nn/init.h>

#include <stdexcept>
#include <string>

#include "data/listops_expression.h"
#include "experiments/listops/leaf_lstm.h"

namespace gradthru::experiments::listops {

using at::Tensor;

Model::Model(const ModelShape& shape) : shape_(shape) {
  const int64_t d = shape.width;
  const auto add = [&](const char* name, const Tensor& value) {
    parameters_.emplace_back(name, value.detach().requires_grad_());
  };
  const auto kaiming = [](at::IntArrayRef size) {
    return torch::nn::init::kaiming_normal_(at::empty(size));
  };
  const auto orthogonal = [](at::IntArrayRef size) {
    return torch::nn::init::orthogonal_(at::empty(size));
  };
  add("embedding.weight", at::empty({data::kListOpsVocabulary, d}).normal_(0, shape.embedding_sd));
  add("leaf.weight_ih", kaiming({4 * d, d}));
  add("leaf.weight_hh", orthogonal({4 * d, d}));
  const Tensor bias = at::zeros({4 * d});
  bias.narrow(0, d, d).fill_(1);  // of the forget gate
  add("leaf.bias", bias);
  add("composition.weight", orthogonal({5 * d, 2 * d}));
  add("composition.bias", at::zeros({5 * d}));
  add("composition.query", at::empty({d}).normal_(0, 0.01));
  add("classifier.0.weight", kaiming({d, d}));
  add("classifier.0.bias", at::zeros({d}));
  add("classifier.1.weight", at::empty({10, d}).uniform_(-0.002, 0.002));
  add("classifier.1.bias", at::zeros({10}));
}

const Tensor& Model::parameter(const char* name) const {
  for (const auto& [known, tensor] : parameters_) {
    if (known == name) return tensor;
  }
  throw std::logic_error(std::string("listops: no parameter ") + name);
}

Tensor Model::drop(const Tensor& x, const std::optional<at::Generator>& generator) const {
  if (!generator || shape_.dropout == 0) return x;
  const double kept = 1 - shape_.dropout;
  return x * at::empty_like(x).bernoulli_(kept, generator).div_(kept);
}

Outputs Model::forward(const Batch& batch, const Choice& choice,
                       const std::optional<at::Generator>& dropout) const {
  const Tensor words = drop(at::embedding(parameter("embedding.weight"), batch.tokens), dropout);
  const Tensor inputs = at::linear(words, parameter("leaf.weight_ih"), parameter("leaf.bias"));
  const Tensor leaves = leaf_lstm(inputs, parameter("leaf.weight_hh"), batch.layout);
  const Tree tree = compose(leaves,
                            {parameter("composition.weight"), parameter("composition.bias"),
                             parameter("composition.query")},
                            batch.layout, choice);
  const Tensor hidden = at::linear(drop(tree.root, dropout), parameter("classifier.0.weight"),
                                   parameter("classifier.0.bias"))
                            .relu();
  return {at::linear(drop(hidden, dropout), parameter("classifier.1.weight"),
                     parameter("classifier.1.bias")),
          tree.merged};
}

}  // namespace gradthru::experiments::listops
