#include "api/result_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/registry.h"

namespace gradthru {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The position of the first true element in row-major order, or -1.
int64_t first_true(const at::Tensor& flags) {
  const at::Tensor flat = flags.reshape({-1});
  if (flat.numel() == 0 || !flat.any().item<bool>()) return -1;
  return flat.nonzero()[0].item<int64_t>();
}

/// Entry `row` of a tensor that is broadcast to `shape`.
double entry(const at::Tensor& tensor, at::IntArrayRef shape, int64_t row) {
  return tensor.expand(shape).reshape({-1})[row].to(at::kDouble).item<double>();
}

/// "tau_f must be finite and > 0, got -1", or "" if both entries of the row are right.
std::string bad_temperature(const std::optional<at::Tensor>& tau_f,
                            const std::optional<at::Tensor>& tau_b, at::IntArrayRef shape,
                            int64_t row) {
  for (const auto& [key, tau] : {std::pair{"tau_f", &tau_f}, std::pair{"tau_b", &tau_b}}) {
    if (!*tau) continue;
    const double value = entry(**tau, shape, row);
    if (value > 0 && value < kInfinity) continue;
    return std::string(key) + " must be finite and > 0, got " + number_text(value);
  }
  return "";
}

std::string bad_logit(double value) {
  return std::isnan(value) || value == kInfinity
             ? "logits must not be NaN or +inf, got " + number_text(value)
             : "";
}

/// The rows of a tensor shaped like the logits, as a matrix [N, K].
at::Tensor matrix_of(const at::Tensor& tensor, int64_t dim) {
  return tensor.movedim(dim, -1).reshape({-1, tensor.size(dim)});
}

/// Which categories of one row exist.
std::vector<bool> allowed_categories(const at::Tensor& logits, const SampleOptions& options,
                                     int64_t row) {
  const at::Tensor values = matrix_of(logits, options.dim)[row];
  at::Tensor allowed = values.ne(-kInfinity);
  if (options.mask) {
    allowed.logical_and_(matrix_of(options.mask->expand(logits.sizes()), options.dim)[row]);
  }
  std::vector<bool> flags;
  for (int64_t k = 0; k < allowed.numel(); ++k) flags.push_back(allowed[k].item<bool>());
  return flags;
}

std::string bad_index(int64_t given, const std::vector<bool>& allowed) {
  const auto categories = static_cast<int64_t>(allowed.size());
  if (given < 0 || given >= categories) {
    return "index must be -1 or in [0, " + std::to_string(categories - 1) + "], got " +
           std::to_string(given);
  }
  return allowed[given] ? "" : "index must be an allowed category, got " + std::to_string(given);
}

/// What is wrong with the categories of one row, or with the index given for it at `position` of
/// the result.
std::string bad_categories(const Sample& drawn, const at::Tensor& logits,
                           const SampleOptions& options, int64_t row, int64_t position) {
  const std::vector<bool> allowed = allowed_categories(logits, options, row);
  const at::Tensor values = matrix_of(logits, options.dim)[row];
  for (size_t k = 0; k < allowed.size(); ++k) {
    if (!allowed[k]) continue;
    const std::string why = bad_logit(values[static_cast<int64_t>(k)].item().toDouble());
    if (!why.empty()) return why + " (category " + std::to_string(k) + ")";
  }
  if (std::find(allowed.begin(), allowed.end(), true) == allowed.end()) {
    return "no category is allowed";
  }
  if (!options.index) return "";
  return bad_index(options.index->expand_as(drawn.index).reshape({-1})[position].item<int64_t>(),
                   allowed);
}

[[noreturn]] void fail(const Estimator& estimator, const char* place, int64_t row,
                       const std::string& why) {
  throw InvalidInput(std::string(name(estimator.method)) + ": " + place + " " +
                     std::to_string(row) + ": " + (why.empty() ? "the result is invalid" : why));
}

}  // namespace

void check_result(const Sample& drawn, const at::Tensor& logits, const Estimator& estimator,
                  const SampleOptions& options) {
  at::Tensor bad = drawn.index.eq(-1);
  if (options.index) bad = bad.logical_and(options.index->ne(-1));
  const int64_t position = first_true(bad);
  if (position < 0) return;
  std::vector<int64_t> rows = logits.sizes().vec();
  rows.erase(rows.begin() + (options.dim < 0 ? options.dim + logits.dim() : options.dim));
  const int64_t row = position % (logits.numel() / logits.size(options.dim));
  std::string why = bad_temperature(options.tau_f, options.tau_b, rows, row);
  if (why.empty()) why = bad_categories(drawn, logits.detach(), options, row, position);
  fail(estimator, "row", row, why);
}

void check_result(const at::Tensor& value, const at::Tensor& logits, const Estimator& estimator,
                  const BinaryOptions& options) {
  const int64_t position = first_true(value.detach().isnan());
  if (position < 0) return;
  const int64_t element = position % logits.numel();
  std::string why = bad_temperature(options.tau_f, options.tau_b, logits.sizes(), element);
  if (why.empty()) why = bad_logit(entry(logits.detach(), logits.sizes(), element));
  fail(estimator, "element", element, why);
}

}  // namespace gradthru
