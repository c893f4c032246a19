#include "lab/builtin_problems.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "gradthru/error.h"
#include "lab/functions.h"

namespace gradthru::lab {
namespace {

using at::Tensor;

constexpr double kLogitScale = 1.5;
constexpr int64_t kHidden = 16;

/// Normal numbers of one problem, in the order in which they are asked for.
struct Numbers {
  at::Generator generator;

  explicit Numbers(uint64_t seed) : generator(at::make_generator<at::CPUGeneratorImpl>(seed)) {}

  Tensor operator()(at::IntArrayRef sizes, double scale = 1) {
    return at::randn(sizes, generator, at::TensorOptions(at::kDouble)) * scale;
  }
};

Problem polynomial_problem(Problem problem, const ProblemSize& size) {
  if (!(size.p >= 1 && std::isfinite(size.p))) {
    throw InvalidInput("polynomial: p must be finite and >= 1, got " + std::to_string(size.p));
  }
  const Tensor v = polynomial_values(size.K);
  problem.f = polynomial(size.p, size.c, v);
  problem.known_gradient = [logits = problem.logits, values = (v - size.c).abs().pow(size.p),
                            L = static_cast<double>(size.L)](double tau_f) {
    const Tensor pi = at::softmax(logits / tau_f, -1);
    return pi * (values - (pi * values).sum(-1, true)) / (L * tau_f);
  };
  return problem;
}

}  // namespace

const std::vector<std::string>& builtin_names() {
  static const std::vector<std::string> names = {"linear", "quadratic",  "cubic",
                                                 "parity", "polynomial", "mlp"};
  return names;
}

Problem builtin_problem(const std::string& name, const ProblemSize& size) {
  if (size.L < 1 || size.K < 2) {
    throw InvalidInput(name + ": wanted at least 1 variable of 2 categories, got " +
                       std::to_string(size.L) + "x" + std::to_string(size.K));
  }
  const int64_t n = size.L * size.K;
  Numbers normal(size.seed);
  Problem problem;
  problem.name = name;
  problem.logits = normal({1, size.L, size.K}, kLogitScale);
  if (name == "polynomial") return polynomial_problem(problem, size);
  if (name == "linear") {
    problem.f = linear(normal({n}), 0);
  } else if (name == "quadratic" || name == "cubic") {
    const Tensor A = normal({n, n}), b = normal({n});
    const Tensor symmetric = (A + A.t()) / 2;
    problem.f = name == "quadratic" ? quadratic(symmetric, b, 0)
                                    : cubic(symmetric, b, normal({2, n}), normal({2}));
  } else if (name == "parity") {
    problem.f = parity();
  } else if (name == "mlp") {
    problem.f = mlp(normal({kHidden, n}), normal({kHidden}), normal({kHidden}), 0);
  } else {
    std::string known;
    for (const std::string& one : builtin_names()) known += (known.empty() ? "" : ", ") + one;
    throw InvalidInput("unknown problem '" + name + "'" + did_you_mean(name, builtin_names()) +
                       " (known: " + known + ", or a file that exists)");
  }
  return problem;
}

}  // namespace gradthru::lab
