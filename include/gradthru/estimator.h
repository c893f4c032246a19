#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradthru/error.h"
#include "gradthru/export.h"

namespace gradthru {

/// One enumerator per registered estimator, in the registry's order. They carry the registry's
/// names
/// (`Method::reinmax`), so that one name serves the enum, the spec string, the op and the files.
enum class Method : int {
#define GRADTHRU_ESTIMATOR(name, ...) name,
#define GRADTHRU_SCORE_ESTIMATOR GRADTHRU_ESTIMATOR
#define GRADTHRU_NETWORK_ESTIMATOR GRADTHRU_ESTIMATOR
#include "gradthru/estimators.def"
};

/// pathwise: a rule for the gradient of f at the sample, for `sample` and `expectation`;
/// score: uses the values of f and no gradient of it, for `expectation`;
/// network: a rule for the layers of a stochastic binary network (nn/binary_sequential.h).
enum class Family { pathwise, score, network };

/// Where the temperature meets the Gumbel noise G (1611.01144; 2410.13331):
/// scaled_sum: (logits + G) / tau, as in PyTorch, where tau_f is inert;
/// scaled_logits: logits / tau + G, where tau_f changes the law of the index.
enum class Noise { scaled_sum, scaled_logits };

/// What `reinmax_cv` takes its control variate from: one more draw given the sample, or a free one.
enum class ExtraDraw { conditional, free };

/// How a temperature moves from `start` to `end` while training progresses.
enum class Anneal { constant, exponential, linear, cosine };

/// A temperature: a positive number without unit, or a schedule of one.
///
/// A schedule reaches `end` when the share `share` of training is done and stays there.
/// Spec strings: `0.5` · `exp(1.0,0.1,50%)` · `linear(…)` · `cosine(…)` (start, end, share).
struct GRADTHRU_API Temperature {
  double start = 1;
  double end = 1;
  double share = 1;  ///< in (0, 1]
  Anneal anneal = Anneal::constant;

  Temperature() = default;
  Temperature(double constant)
      : start(constant), end(constant) {}  // NOLINT: a number is a temperature
  static Temperature exponential(double start, double end, double share = 1);
  static Temperature linear(double start, double end, double share = 1);
  static Temperature cosine(double start, double end, double share = 1);

  /// The value when the share `progress` in [0, 1] of training is done.
  double at(double progress) const;
  bool is_constant() const { return anneal == Anneal::constant; }
  bool operator==(const Temperature&) const = default;
};

/// The gap of `gst` that depends on the probability of the drawn category ('p' in spec strings).
inline constexpr double kGapP = -1;

/// The baseline of `reinforce` that follows the mean of f ('moving' in spec strings).
inline constexpr double kMovingBaseline = std::numeric_limits<double>::infinity();

/// What a user may say about an estimator; what is left out takes the default of the registry.
/// `tau` is the published single-temperature form: tau_b = tau with tau_f = 1 (and, for the Gumbel
/// estimators, noise = scaled_sum); it sets tau_f where there is no tau_b, and both with hard =
/// false. The temperature that reinmax_rao and reinmax_cv have of their own is also called tau.
struct Parameters {
  std::optional<Temperature> tau_f{};
  std::optional<Temperature> tau_b{};
  std::optional<Temperature> tau{};
  std::optional<Noise> noise{};
  std::optional<double> gap{};
  std::optional<int64_t> samples{};
  std::optional<double> alpha{};
  std::optional<double> t{};
  std::optional<double> eta{};
  std::optional<ExtraDraw> draw{};
  std::optional<std::vector<double>> values{};
  std::optional<bool> consistent{};
  std::optional<bool> detach{};
  std::optional<bool> hard{};
  std::optional<double> baseline{};
};

/// A gradient estimator: a method with its parameters, as a small comparable value. Build it with a
/// factory (`reinmax(1.3)`, `st({.tau_f = 0.1, .tau_b = 0.7})`) or from a spec string.
/// Fields that the method does not take keep their defaults.
struct GRADTHRU_API Estimator {
  Method method{};
  Temperature tau_f = 1;  ///< forward (sampling) temperature
  Temperature tau_b = 1;  ///< backward temperature
  Noise noise = Noise::scaled_sum;
  double gap = 1;  ///< >= 0, or kGapP
  int64_t samples = 1;
  double alpha = 1;
  double t = std::numeric_limits<double>::infinity();  ///< >= 0, the price of quadratic bias
  double eta = 1;                                      ///< share of the control variate
  ExtraDraw draw = ExtraDraw::conditional;
  std::vector<double> values{};  ///< what f sees in place of each category
  bool consistent = true;
  bool detach = true;
  bool hard = true;
  double baseline = 0;  ///< a number (0: none), or kMovingBaseline

  /// The same estimator with every schedule replaced by its value at `progress` in [0, 1].
  Estimator at(double progress) const;
  bool is_constant() const { return tau_f.is_constant() && tau_b.is_constant(); }
  bool operator==(const Estimator&) const = default;
};

/// Builds an estimator and checks every parameter.
/// Errors: InvalidInput for a parameter that the method does not take, or outside its domain.
GRADTHRU_API Estimator make_estimator(Method method, const Parameters& parameters = {});

/// Reads `name(key=value,…)`; one positional value is allowed where the registry names its key.
/// Errors: InvalidInput for an unknown name or key (with the nearest known one), a malformed value,
/// or a value outside its domain.
GRADTHRU_API Estimator parse_estimator(std::string_view spec);

/// Reads several specs separated by `;`.
GRADTHRU_API std::vector<Estimator> parse_estimators(std::string_view specs);

/// The shortest spec string that parses back to the same value.
GRADTHRU_API std::string to_string(const Estimator& estimator);
GRADTHRU_API std::string to_string(const Temperature& temperature);

/// The registry's name of a method: `reinmax`.
GRADTHRU_API std::string_view name(Method method);

/// All registered methods, in the registry's order.
GRADTHRU_API const std::vector<Method>& methods();

/// Those of one family, in the registry's order: the pathwise ones come first.
GRADTHRU_API const std::vector<Method>& methods(Family family);

/// The classes of f whose exact gradient an estimator's mean equals; each contains the ones before.
enum class Exact { none, linear, quadratic, every };

/// What an estimator is and needs. The tests hold every estimator to its traits.
struct Traits {
  Exact exact = Exact::none;   ///< under the distribution that is sampled (tau_f)
  bool needs_gradient = true;  ///< uses the gradient of f
  bool needs_gumbels = false;  ///< draws the index by Gumbel-argmax, K Gumbels a row
  bool discrete_only = true;   ///< random only through the discrete sample
  double sampling_tau = 1;     ///< the index is drawn from softmax(logits / sampling_tau)
  bool relaxed = false;        ///< the forward value is soft: exact for the relaxed objective
  bool binary_only = false;    ///< for variables of two categories
  uint64_t offsets = 1;        ///< offsets of the random stream used by one sample
};
GRADTHRU_API Traits traits(const Estimator& estimator);

/// Evaluations of f for one gradient of L variables with K categories each, as a double: those of
/// `exact`, K^L, may exceed every integer.
GRADTHRU_API double evaluations(const Estimator& estimator, int64_t L, int64_t K);

/// Whether a method takes the option uniform_mix; tied: only where tau_b = tau_f.
enum class UniformMix { refused, tied, taken };

/// What the registry says about a method.
struct About {
  std::string_view summary;             ///< one line in words
  std::vector<std::string> parameters;  ///< the keys it takes
  std::string_view positional;          ///< the key of its positional value, or ""
  std::string_view source;              ///< where it was published
  UniformMix uniform_mix{};  ///< whether it can sample from a mixture with the uniform law
  Family family{};           ///< what it wants of f
};
GRADTHRU_API About about(Method method);

/// The number of parameters in the registry, lists not counted.
inline constexpr size_t kParameterCount = 0
#define GRADTHRU_PARAMETER(key, kind) +1
#include "gradthru/estimators.def"
    ;

/// The parameters as kParameterCount numbers in the registry's order, then `values`: what the
/// operators receive.
/// Errors: InvalidInput if a temperature is still a schedule.
GRADTHRU_API std::vector<double> numbers(const Estimator& estimator);

// The factories: one per registered estimator, from all parameters or from the positional value.
#define GRADTHRU_ESTIMATOR(name, ...)                             \
  GRADTHRU_API Estimator name(const Parameters& parameters = {}); \
  GRADTHRU_API Estimator name(double positional);
#define GRADTHRU_SCORE_ESTIMATOR GRADTHRU_ESTIMATOR
// From no number: `tanh(0.5)` stays the function.
#define GRADTHRU_NETWORK_ESTIMATOR(name, ...) \
  GRADTHRU_API Estimator name(const Parameters& parameters = {});
#include "gradthru/estimators.def"

}  // namespace gradthru
