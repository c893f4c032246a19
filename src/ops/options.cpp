#include "ops/options.h"

#include <cmath>
#include <string>

#include "gradthru/estimator.h"

namespace gradthru::ops {
namespace {

using at::Tensor;
using c10::SymInt;

/// Positions of the parameters in `params`.
namespace position {
enum : size_t {
#define GRADTHRU_PARAMETER(key, kind) key,
#include "gradthru/estimators.def"
};
}  // namespace position

bool broadcastable(c10::SymIntArrayRef from, c10::SymIntArrayRef to) {
  if (from.size() > to.size()) return false;
  for (size_t d = 1; d <= from.size(); ++d) {
    if (from[from.size() - d] != to[to.size() - d] && from[from.size() - d] != 1) return false;
  }
  return true;
}

bool takes(const About& facts, std::string_view key) {
  for (const auto& known : facts.parameters) {
    if (known == key) return true;
  }
  return false;
}

/// Which methods take one number for each category, after the other parameters.
constexpr bool kTakesValues[] = {
#define GRADTHRU_ESTIMATOR(name, draw, parameters, ...) \
  std::string_view(parameters).find("values") != std::string_view::npos,
#include "gradthru/estimators.def"
};

/// The backward of mve solves a dense system for each row.
constexpr int64_t kMveCategories = 1024;

void check_params(const SharedOptions& options, const SymInt& categories) {
  const Method method = methods()[options.method];
  const bool takes_values = kTakesValues[options.method];
  const size_t got = options.params.size();
  TORCH_CHECK_VALUE(got == kParameterCount || (takes_values && got > kParameterCount), options.op,
                    ": params must have ", kParameterCount, " numbers, got ", got);
  const auto values = static_cast<int64_t>(got - kParameterCount);
  TORCH_CHECK_VALUE(!takes_values || categories == values, options.op, ": ", name(method),
                    ": values must have one number for each of the ", categories,
                    " categories, got ", values);
  TORCH_CHECK_VALUE(method != Method::mve || categories <= kMveCategories, options.op,
                    ": mve solves a system of K equations for each row and takes at most ",
                    kMveCategories, " categories, got ", categories);
}

void check_temperature(const SharedOptions& options, std::string_view key, const Tensor& tau,
                       const Tensor& logits, c10::SymIntArrayRef rows) {
  const Method method = methods()[options.method];
  TORCH_CHECK_VALUE(takes(about(method), key), options.op, ": ", name(method), " has no parameter ",
                    key, ", got a tensor for it");
  TORCH_CHECK_TYPE(at::isFloatingType(tau.scalar_type()), options.op, ": ", key,
                   " must be a floating-point tensor, got ", tau.scalar_type());
  TORCH_CHECK_VALUE(broadcastable(tau.sym_sizes(), rows), options.op, ": ", key,
                    " must be broadcastable to the rows ", rows, ", got ", tau.sym_sizes());
  TORCH_CHECK_VALUE(tau.device() == logits.device(), options.op, ": ", key,
                    " must be on the device of the logits, ", logits.device(), ", got ",
                    tau.device());
  TORCH_CHECK_VALUE(!tau.requires_grad(), options.op, ": ", key,
                    " must not require grad (temperatures are not differentiated), got a tensor "
                    "that does");
}

/// A relaxed sample is the derivative's own forward: one temperature for both passes.
void check_relaxed(const SharedOptions& options) {
  if (options.params[position::hard] != 0 || (!options.tau_f && !options.tau_b)) return;
  const bool same = options.tau_f && options.tau_b && options.tau_f->is_same(*options.tau_b);
  TORCH_CHECK_VALUE(same, options.op, ": hard=false needs tau_f = tau_b, got ",
                    options.tau_f && options.tau_b ? "two tensors"
                    : options.tau_f                ? "a tensor for tau_f only"
                                                   : "a tensor for tau_b only",
                    "; give the same tensor for both");
}

/// "st, darn, zgr, st_zgr, reinmax (tau_b = tau_f)".
std::string methods_with_mix() {
  std::string text;
  for (const Method method : methods(Family::pathwise)) {
    const UniformMix mix = about(method).uniform_mix;
    if (mix == UniformMix::refused) continue;
    text += (text.empty() ? "" : ", ") + std::string(name(method)) +
            (mix == UniformMix::tied ? " (tau_b = tau_f)" : "");
  }
  return text;
}

void check_uniform_mix(const SharedOptions& options) {
  const double mix = options.uniform_mix;
  TORCH_CHECK_VALUE(mix >= 0 && mix < 1, options.op, ": uniform_mix must be in [0, 1), got ", mix);
  if (mix == 0) return;
  const Method method = methods()[options.method];
  const UniformMix accepted = about(method).uniform_mix;
  TORCH_CHECK_VALUE(accepted != UniformMix::refused, options.op, ": uniform_mix must be 0 for ",
                    name(method), ", got ", mix,
                    "; the methods that take it: ", methods_with_mix());
  if (accepted == UniformMix::taken) return;
  TORCH_CHECK_VALUE(!options.tau_f && !options.tau_b, options.op, ": uniform_mix must be 0 for ",
                    name(method), " with tensors of temperatures, got ", mix);
  const double tau_f = options.params[position::tau_f], tau_b = options.params[position::tau_b];
  TORCH_CHECK_VALUE(tau_f == tau_b, options.op, ": uniform_mix of ", name(method),
                    " needs tau_b = tau_f, got tau_f ", tau_f, " and tau_b ", tau_b);
}

}  // namespace

void check_options(const SharedOptions& options, const Tensor& logits, c10::SymIntArrayRef rows,
                   const SymInt& categories) {
  check_params(options, categories);
  if (options.tau_f) check_temperature(options, "tau_f", *options.tau_f, logits, rows);
  if (options.tau_b) check_temperature(options, "tau_b", *options.tau_b, logits, rows);
  check_relaxed(options);
  check_uniform_mix(options);
}

void check_dtype(const Tensor& logits, std::string_view op) {
  const auto type = logits.scalar_type();
  TORCH_CHECK_TYPE(
      type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16, op,
      ": logits must be float64, float32, float16 or bfloat16, got ", type);
}

void check_mask(const Tensor& mask, const Tensor& logits, std::string_view op) {
  TORCH_CHECK_TYPE(mask.scalar_type() == at::kBool, op, ": mask must be bool, got ",
                   mask.scalar_type());
  TORCH_CHECK_VALUE(broadcastable(mask.sym_sizes(), logits.sym_sizes()), op,
                    ": mask must be broadcastable to the logits ", logits.sym_sizes(), ", got ",
                    mask.sym_sizes());
  TORCH_CHECK_VALUE(mask.device() == logits.device(), op,
                    ": mask must be on the device of the logits, ", logits.device(), ", got ",
                    mask.device());
}

}  // namespace gradthru::ops
