#include "gradthru/estimator.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "api/registry.h"

namespace gradthru {
namespace {

[[noreturn]] void fail(const Estimator& e, const std::string& what) {
  throw InvalidInput(std::string(name(e.method)) + ": " + what);
}

void check_temperature(const Estimator& e, const std::string& key, const Temperature& tau,
                       bool zero_allowed) {
  const std::string bound =
      zero_allowed ? " must be finite and >= 0, got " : " must be finite and > 0, got ";
  for (const double value : {tau.start, tau.end}) {
    const bool positive = zero_allowed && tau.is_constant() ? value >= 0 : value > 0;
    if (!positive || !std::isfinite(value)) fail(e, key + bound + number_text(value));
  }
  if (!(tau.share > 0 && tau.share <= 1)) {
    fail(e, key + ": the share of a schedule must be in (0, 1], got " + number_text(tau.share));
  }
}

void check_values(const Estimator& e) {
  if (e.values.empty()) fail(e, "values must be given, one number per category");
  for (const double value : e.values) {
    if (!std::isfinite(value)) fail(e, "values must be finite, got " + number_text(value));
  }
}

void check_domains(const Estimator& e, const MethodEntry& entry) {
  check_temperature(e, "tau_f", e.tau_f, entry.zero_tau_f);
  check_temperature(e, "tau_b", e.tau_b, false);
  if (e.gap != kGapP && !(e.gap >= 0 && std::isfinite(e.gap))) {
    fail(e, "gap must be finite and >= 0, or 'p', got " + number_text(e.gap));
  }
  if (!(e.alpha >= 0 && e.alpha <= 2)) {
    fail(e, "alpha must be in [0, 2], got " + number_text(e.alpha));
  }
  if (!(e.t >= 0)) fail(e, "t must be >= 0, got " + number_text(e.t));
  if (!std::isfinite(e.eta)) fail(e, "eta must be finite, got " + number_text(e.eta));
  const int64_t least = e.method == Method::rloo ? 2 : 1;
  if (e.samples < least) {
    fail(e, "samples must be >= " + std::to_string(least) + ", got " + std::to_string(e.samples));
  }
  if (e.baseline != kMovingBaseline && !std::isfinite(e.baseline)) {
    fail(e, "baseline must be none, moving or finite, got " + number_text(e.baseline));
  }
  if (!e.hard && e.tau_f != e.tau_b) {
    fail(e, "hard=false needs tau_f = tau_b, got tau_f=" + to_string(e.tau_f) +
                " and tau_b=" + to_string(e.tau_b));
  }
  if (entry.accepts("values")) check_values(e);
}

void check_accepted(const Estimator& e, const MethodEntry& entry, const Parameters& p) {
  const auto check = [&](const char* key, bool given) {
    if (given && !entry.accepts(key)) {
      fail(e, "unknown parameter '" + std::string(key) + "', " + entry.known_keys());
    }
  };
  check("tau", p.tau.has_value());
#define GRADTHRU_PARAMETER(key, kind) check(#key, p.key.has_value());
#define GRADTHRU_LIST_PARAMETER GRADTHRU_PARAMETER
#define GRADTHRU_SCORE_PARAMETER GRADTHRU_PARAMETER
#include "gradthru/estimators.def"
  if (p.tau && (p.tau_f || p.tau_b)) {
    fail(e, std::string("tau is the single-temperature form and excludes ") +
                (p.tau_f ? "tau_f" : "tau_b"));
  }
}

}  // namespace

Estimator build_estimator(Method method, const Parameters& p) {
  const MethodEntry& entry = entry_of(method);
  Estimator e;
  e.method = method;
  e.samples = entry.default_samples;
  check_accepted(e, entry, p);
#define GRADTHRU_PARAMETER(key, kind) \
  if (p.key) e.key = *p.key;
#define GRADTHRU_LIST_PARAMETER GRADTHRU_PARAMETER
#define GRADTHRU_SCORE_PARAMETER GRADTHRU_PARAMETER
#include "gradthru/estimators.def"
  if (p.tau) {
    const bool has_tau_b = entry.accepts("tau_b") || entry.has_own_tau();
    if (has_tau_b) e.tau_b = *p.tau;
    if (!has_tau_b || !e.hard) e.tau_f = *p.tau;
  }
  if (entry.accepts("noise") && p.tau_f && !p.noise) e.noise = Noise::scaled_logits;
  check_domains(e, entry);
  return e;
}

Estimator make_estimator(Method method, const Parameters& p) {
  const Estimator e = build_estimator(method, p);
  if (p.tau_f && p.noise == Noise::scaled_sum && e.tau_f != e.tau_b) {
    TORCH_WARN_ONCE(name(method),
                    ": tau_f has no effect with noise=scaled_sum, where it scales logits and noise "
                    "alike; noise=scaled_logits decouples the temperatures");
  }
  return e;
}

namespace {

MethodEntry score_entry(MethodEntry entry, std::string_view laws) {
  entry.family = Family::score;
  entry.binary_only = laws == "binary";
  return entry;
}

MethodEntry network_entry(MethodEntry entry) {
  entry.family = Family::network;
  entry.binary_only = true;
  return entry;
}

std::vector<Method> methods_of(Family family) {
  std::vector<Method> some;
  for (const Method method : methods()) {
    if (entry_of(method).family == family) some.push_back(method);
  }
  return some;
}

}  // namespace

const std::vector<MethodEntry>& registry() {
  static const std::vector<MethodEntry> entries = {
#define GRADTHRU_ESTIMATOR(name, draw, parameters, positional, exact, offsets, summary, source) \
  MethodEntry(#name, #draw, parameters, positional, summary, source),
#define GRADTHRU_SCORE_ESTIMATOR(name, parameters, positional, laws, summary, source) \
  score_entry(MethodEntry(#name, "uniform", parameters, positional, summary, source), #laws),
#define GRADTHRU_NETWORK_ESTIMATOR(name, parameters, positional, summary, source) \
  network_entry(MethodEntry(#name, "uniform", parameters, positional, summary, source)),
#include "gradthru/estimators.def"
  };
  return entries;
}

std::string_view name(Method method) {
  return entry_of(method).name;
}

const std::vector<Method>& methods() {
  static const std::vector<Method> all = {
#define GRADTHRU_ESTIMATOR(name, ...) Method::name,
#define GRADTHRU_SCORE_ESTIMATOR GRADTHRU_ESTIMATOR
#define GRADTHRU_NETWORK_ESTIMATOR GRADTHRU_ESTIMATOR
#include "gradthru/estimators.def"
  };
  return all;
}

const std::vector<Method>& methods(Family family) {
  static const std::vector<Method> pathwise = methods_of(Family::pathwise);
  static const std::vector<Method> score = methods_of(Family::score);
  static const std::vector<Method> network = methods_of(Family::network);
  return family == Family::pathwise ? pathwise : family == Family::score ? score : network;
}

About about(Method method) {
  const MethodEntry& entry = entry_of(method);
  return {entry.summary, entry.keys,        entry.positional,
          entry.source,  entry.uniform_mix, entry.family};
}

Traits traits(const Estimator& e) {
  Traits result;
  const MethodEntry& entry = entry_of(e.method);
  switch (e.method) {
#define GRADTHRU_ESTIMATOR(name, draw, parameters, positional, exact_for, offsets_used, ...) \
  case Method::name:                                                                         \
    result.exact = exact_for;                                                                \
    result.offsets = static_cast<uint64_t>(offsets_used);                                    \
    break;
#include "gradthru/estimators.def"
    default:
      if (entry.family == Family::score) result.exact = Exact::every;
  }
  result.needs_gradient = entry.family != Family::score;
  result.needs_gumbels = entry.draw == "gumbel";
  result.discrete_only = entry.draw == "uniform" && e.method != Method::arm;
  result.binary_only = entry.binary_only;
  if (entry.family == Family::network) {
    result.relaxed = e.method != Method::psa && e.method != Method::hard_st;
    result.discrete_only = !result.relaxed;
    return result;
  }
  const bool inert = entry.accepts("noise") && e.noise == Noise::scaled_sum;
  result.sampling_tau = inert ? 1 : e.tau_f.start;
  result.relaxed = !e.hard;
  return result;
}

double evaluations(const Estimator& e, int64_t L, int64_t K) {
  const double variables = static_cast<double>(L), categories = static_cast<double>(K);
  const double samples = static_cast<double>(e.samples);
  switch (e.method) {
    case Method::exact:
      return std::pow(categories, variables);
    case Method::rloo:
      return samples;
    case Method::arm:
    case Method::disarm:
      return 2;
    case Method::indecater:
      return samples * (1 + variables * (categories - 1));
    default:
      return 1;
  }
}

std::vector<double> numbers(const Estimator& e) {
  if (!e.is_constant()) {
    throw InvalidInput(to_string(e) +
                       ": a scheduled temperature has no value yet; use e.at(progress)");
  }
  const auto number = [](const auto& value) {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, Temperature>) {
      return value.start;
    } else {
      return static_cast<double>(value);
    }
  };
  std::vector<double> all = {
#define GRADTHRU_PARAMETER(key, kind) number(e.key),
#include "gradthru/estimators.def"
  };
  all.insert(all.end(), e.values.begin(), e.values.end());
  return all;
}

Estimator Estimator::at(double progress) const {
  Estimator fixed = *this;
  fixed.tau_f = tau_f.at(progress);
  fixed.tau_b = tau_b.at(progress);
  return fixed;
}

Temperature Temperature::exponential(double start, double end, double share) {
  Temperature tau;
  tau.start = start;
  tau.end = end;
  tau.share = share;
  tau.anneal = Anneal::exponential;
  return tau;
}

Temperature Temperature::linear(double start, double end, double share) {
  Temperature tau = exponential(start, end, share);
  tau.anneal = Anneal::linear;
  return tau;
}

Temperature Temperature::cosine(double start, double end, double share) {
  Temperature tau = exponential(start, end, share);
  tau.anneal = Anneal::cosine;
  return tau;
}

double Temperature::at(double progress) const {
  if (is_constant()) return start;
  const double x = std::clamp(progress / share, 0.0, 1.0);
  if (x >= 1) return end;
  switch (anneal) {
    case Anneal::exponential:
      return start * std::pow(end / start, x);
    case Anneal::linear:
      return start + (end - start) * x;
    case Anneal::cosine:
      return end + (start - end) * 0.5 * (1 + std::cos(std::numbers::pi * x));
    case Anneal::constant:
      break;
  }
  return start;
}

namespace {

Estimator from_positional(Method method, double value) {
  const MethodEntry& entry = entry_of(method);
  Parameters p;
  const std::string key(entry.positional);
  if (key == "tau") {
    p.tau = value;
  } else if (key == "gap") {
    p.gap = value;
  } else if (key == "alpha") {
    p.alpha = value;
  } else if (key == "t") {
    p.t = value;
  } else if (key == "samples" && value == std::floor(value) && std::abs(value) < 0x1p53) {
    p.samples = static_cast<int64_t>(value);
  } else if (key == "samples") {
    throw InvalidInput(entry.name + ": samples must be an integer, got " + number_text(value));
  } else {
    throw InvalidInput(entry.name + ": takes no positional value, got " + number_text(value) +
                       "; " + entry.known_keys());
  }
  return make_estimator(method, p);
}

}  // namespace

#define GRADTHRU_ESTIMATOR(name, ...)                 \
  Estimator name(const Parameters& parameters) {      \
    return make_estimator(Method::name, parameters);  \
  }                                                   \
  Estimator name(double positional) {                 \
    return from_positional(Method::name, positional); \
  }
#define GRADTHRU_SCORE_ESTIMATOR GRADTHRU_ESTIMATOR
#define GRADTHRU_NETWORK_ESTIMATOR(name, ...)        \
  Estimator name(const Parameters& parameters) {     \
    return make_estimator(Method::name, parameters); \
  }
#include "gradthru/estimators.def"

}  // namespace gradthru
