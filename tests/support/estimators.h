#pragma once

#include <algorithm>
#include <cctype>
#include <functional>
#include <limits>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gradthru/estimator.h"
#include "gradthru/key.h"
#include "reference/sampler.h"
#include "reference_functions.h"
#include "support/rows.h"

// The registry as the tests see it: which specs to sweep, and the reference of each method. Both
// are expanded from the registry, so an estimator that joins it without a reference does not
// compile.
namespace gradthru {

inline void PrintTo(const Estimator& e, std::ostream* out) {
  *out << to_string(e);
}

}  // namespace gradthru

namespace support {

using gradthru::Estimator;
using gradthru::Method;

/// How a method draws its index, as the registry says.
enum class Draw { uniform, gumbel, conditional };

inline Draw draw_of(Method method) {
  switch (method) {
#define GRADTHRU_ESTIMATOR(name, draw, ...) \
  case Method::name:                        \
    return Draw::draw;
#include "gradthru/estimators.def"
    default:
      throw std::logic_error("a method that does not sample");
  }
}

struct Reference {
  Row (*grad)(const Row& logits, int64_t index, const Row& g, const reference::Settings& e,
              const reference::Noise& noise);
  double (*binary)(double a, int b, double g, const reference::Settings& e,
                   const reference::Noise& noise);
};

inline Reference reference_of(Method method) {
  switch (method) {
#define GRADTHRU_ESTIMATOR(name, ...) \
  case Method::name:                  \
    return {&reference::name, &reference::name##_binary};
#include "gradthru/estimators.def"
    default:
      throw std::logic_error("a method that does not sample");
  }
}

inline reference::Settings settings_of(const Estimator& e) {
  reference::Settings settings;
  settings.tau_f = e.tau_f.start;
  settings.tau_b = e.tau_b.start;
  settings.scaled_logits = e.noise == gradthru::Noise::scaled_logits;
  settings.gap = e.gap;
  settings.gap_from_probability = e.gap == gradthru::kGapP;
  settings.samples = e.samples;
  settings.alpha = e.alpha;
  settings.t = e.t;
  settings.eta = e.eta;
  settings.free_draw = e.draw == gradthru::ExtraDraw::free;
  settings.values = e.values;
  settings.consistent = e.consistent;
  settings.detach = e.detach;
  return settings;
}

/// Offsets of the random stream that one sample uses.
inline uint64_t offsets_of(const Estimator& e, bool given = false) {
  const uint64_t extra = e.method == Method::reinmax_cv ? 1 : 0;
  if (draw_of(e.method) == Draw::conditional) return 1 + static_cast<uint64_t>(e.samples) + extra;
  return draw_of(e.method) == Draw::gumbel && given ? 2 : 1;
}

/// The same estimator with one of its values for each of K categories: those it has, and more.
inline Estimator for_categories(Estimator e, int64_t categories) {
  const size_t count = static_cast<size_t>(categories);
  if (e.values.empty()) return e;
  for (size_t k = e.values.size(); k < count; ++k)
    e.values.push_back(static_cast<double>(k * k % 7) - 0.5 * static_cast<double>(k % 3));
  e.values.resize(std::max<size_t>(count, 1));
  return e;
}

/// What a method cannot be built without.
inline gradthru::Parameters required(Method method) {
  gradthru::Parameters parameters;
  if (method == Method::mve_scalar) parameters.values = {0, 1};
  return parameters;
}

/// A method's defaults, and what it cannot be built without.
inline Estimator plain_estimator(Method method) {
  return gradthru::make_estimator(method, required(method));
}

/// The most categories that the sweeps give a method: mve solves a system for each row.
inline int64_t most_categories(const Estimator& e) {
  return e.method == Method::mve ? 64 : std::numeric_limits<int64_t>::max();
}

/// Whether a method divides by the probability of the drawn category, and so do its errors.
inline bool divides_by_probability(const Estimator& e) {
  return e.method == Method::reinmax_uniform || e.method == Method::mve ||
         e.method == Method::mve_scalar;
}

inline bool has_noise_option(const Estimator& e) {
  return draw_of(e.method) != Draw::uniform;
}

/// The temperature of the law of the drawn index.
inline double sampling_tau(const Estimator& e) {
  return reference::sampling_tau(settings_of(e), has_noise_option(e));
}

/// The index that the reference draws for row number `row` of the call with this key.
inline int64_t reference_index(const Row& logits, const Estimator& e, const gradthru::Key& key,
                               int64_t row) {
  const uint64_t number = static_cast<uint64_t>(key.row0 + row);
  if (draw_of(e.method) == Draw::gumbel)
    return reference::gumbel_argmax(logits, settings_of(e),
                                    reference::row_noise(key.seed, key.offset, number));
  const double u = reference::uniform_of(reference::cell(key.seed, key.offset, number, 0));
  return reference::inverse_cdf(logits, sampling_tau(e), u);
}

/// The gradient of the reference for row number `row` of the call with this key.
inline Row reference_grad(const Row& logits, int64_t index, const Row& g, const Estimator& e,
                          const gradthru::Key& key, int64_t row, bool given = false) {
  const uint64_t number = static_cast<uint64_t>(key.row0 + row);
  const Estimator fitting = for_categories(e, static_cast<int64_t>(logits.size()));
  return reference_of(e.method).grad(logits, index, g, settings_of(fitting),
                                     reference::row_noise(key.seed, key.offset, number, given));
}

using Change = std::function<void(gradthru::Parameters&)>;

/// The settings of one key that the sweep runs through. consistent and detach are varied one at a
/// time: without consistency nothing is left to detach.
inline std::vector<Change> changes_of(const std::string& key) {
  using P = gradthru::Parameters;
  using gradthru::Noise;
  if (key == "tau_f")
    return {[](P& p) { p.tau_f = 1; }, [](P& p) { p.tau_f = 0.5; }, [](P& p) { p.tau_f = 2; },
            [](P& p) { p.tau_f = 0.7; }};
  if (key == "tau_b")  // (1, 1), (.5, .5), (2, .5), (.7, 1.3)
    return {[](P& p) { p.tau_b = p.tau_f == 1 ? 1 : p.tau_f == 0.7 ? 1.3 : 0.5; }};
  if (key == "noise")
    return {[](P& p) { p.noise = Noise::scaled_sum; },
            [](P& p) { p.noise = Noise::scaled_logits; }};
  if (key == "gap")
    return {[](P& p) { p.gap = 1; }, [](P& p) { p.gap = 0; },
            [](P& p) { p.gap = gradthru::kGapP; }};
  if (key == "alpha")
    return {[](P& p) { p.alpha = 1; }, [](P& p) { p.alpha = 0; }, [](P& p) { p.alpha = 0.5; },
            [](P& p) { p.alpha = 2; }};
  if (key == "tau")
    return {[](P& p) { p.tau = 1; }, [](P& p) { p.tau = 0.5; }, [](P& p) { p.tau = 0.7; }};
  if (key == "t") return {[](P&) {}, [](P& p) { p.t = 0; }, [](P& p) { p.t = 5; }};
  if (key == "eta") return {[](P&) {}, [](P& p) { p.eta = 1.5; }};
  if (key == "draw") return {[](P&) {}, [](P& p) { p.draw = gradthru::ExtraDraw::free; }};
  if (key == "values") return {[](P& p) { p.values = {0.5, -1}; }};
  if (key == "samples") return {[](P& p) { p.samples = 1; }, [](P& p) { p.samples = 3; }};
  if (key == "consistent") return {[](P&) {}, [](P& p) { p.consistent = false; }};
  if (key == "detach") return {[](P&) {}, [](P& p) { p.detach = !p.consistent.value_or(true); }};
  if (key == "hard") return {[](P&) {}, [](P& p) { p.hard = false; }};
  throw std::logic_error("the sweep has no settings for the parameter " + key);
}

/// A relaxed sample needs equal temperatures.
inline bool is_allowed(const gradthru::Parameters& p) {
  return p.hard.value_or(true) || p.tau_f == p.tau_b;
}

/// Every setting of one method.
inline std::vector<Estimator> sweep(Method method) {
  std::vector<gradthru::Parameters> settings(1);
  for (const std::string& key : gradthru::about(method).parameters) {
    std::vector<gradthru::Parameters> grown;
    for (const Change& change : changes_of(key))
      for (gradthru::Parameters p : settings) {
        change(p);
        grown.push_back(p);
      }
    settings = std::move(grown);
  }
  std::vector<Estimator> estimators;
  for (const gradthru::Parameters& p : settings) {
    if (!is_allowed(p)) continue;
    const Estimator e = gradthru::make_estimator(method, p);
    if (std::find(estimators.begin(), estimators.end(), e) == estimators.end())
      estimators.push_back(e);
  }
  return estimators;
}

/// Every setting of every method that samples.
inline std::vector<Estimator> sweep() {
  std::vector<Estimator> all;
  for (Method method : gradthru::methods(gradthru::Family::pathwise))
    for (const Estimator& e : sweep(method)) all.push_back(e);
  return all;
}

/// Every setting, fitted to K categories.
inline std::vector<Estimator> sweep_for(int64_t categories) {
  std::vector<Estimator> all = sweep();
  for (Estimator& e : all) e = for_categories(e, categories);
  return all;
}

/// Those random only through the index: their mean is a finite sum.
inline std::vector<Estimator> discrete_only_sweep() {
  std::vector<Estimator> some;
  for (const Estimator& e : sweep())
    if (draw_of(e.method) == Draw::uniform) some.push_back(e);
  return some;
}

/// A name for GoogleTest: every setting that a spec may leave out, in words.
inline std::string test_name(const Estimator& e) {
  std::ostringstream text;
  text << gradthru::name(e.method) << "_f" << e.tau_f.start << "_b" << e.tau_b.start << "_gap"
       << (e.gap == gradthru::kGapP ? "P" : std::to_string(static_cast<int>(e.gap))) << "_alpha"
       << e.alpha << "_t" << e.t << "_eta" << e.eta << "_M" << e.samples
       << (e.draw == gradthru::ExtraDraw::free ? "_free" : "")
       << (e.noise == gradthru::Noise::scaled_sum ? "_sum" : "_logits")
       << (e.consistent ? "" : "_inconsistent") << (e.detach ? "" : "_attached")
       << (e.hard ? "" : "_soft");
  std::string result = text.str();
  for (char& c : result)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return result;
}

}  // namespace support
