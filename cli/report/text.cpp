#include "cli/report/text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace gradthru::cli {
namespace {

using experiments::Better;

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

/// Decimals that show two significant digits of the error.
int decimals_for(double error) {
  constexpr int kMost = 12;
  return std::clamp(1 - static_cast<int>(std::floor(std::log10(error))), 0, kMost);
}

/// Whether it is worth decimals: many of them only where the value is small as well.
bool is_usable(double error, double value) {
  return std::isfinite(error) && error > 1e-9 * std::abs(value) && error > 0;
}

std::string p_text(double p) {
  if (p < 1e-4) return "p < 0.0001";
  char text[32];
  std::snprintf(text, sizeof text, "p = %.2g", p);
  return text;
}

/// "lowest negative ELBO in nats, test"
std::string best_word(Better better) {
  return better == Better::less ? "lowest" : "highest";
}

struct Story {
  const Group& group;
  const Setting& setting;
  const Ranking& ranking;

  std::string name(size_t m) const { return setting.methods[m].name; }

  std::string value(size_t m) const {
    const Sample& sample = ranking.samples[m];
    return with_error(sample.mean(), sample.sd());
  }

  /// "126.6 ± 0.7 over 10 seeds"
  std::string value_and_seeds(size_t m) const {
    return value(m) + " (" + counted(ranking.samples[m].size(), "seed") + ")";
  }

  std::string lead(size_t best, size_t second) const {
    const PairedDifference& d = ranking.behind_best[second];
    std::string all = name(best) + " has the " + best_word(ranking.better) + " " +
                      title_of(group, ranking.metric) + ": " + value_and_seeds(best) +
                      ". The next is " + name(second) + ", " + value_and_seeds(second) + ", ";
    if (d.mean == 0 && !(d.standard_error > 0)) return all + "with the same figures. ";
    // The best has the best mean of all its seeds: on those that both have it may be behind.
    all += number_text(std::abs(d.mean), d.standard_error) +
           (d.mean < 0 ? " ahead on the seeds that both have" : " behind");
    if (d.seeds < 2) {
      const char* why = d.seeds == 1 ? "they share one seed" : "they share no seed";
      return all + "; " + why + ", so nothing can be said about whether that is more than chance. ";
    }
    all += " (95 % interval of the difference by seed: " + number_text(d.low, d.standard_error) +
           " to " + number_text(d.high, d.standard_error) + ", " + p_text(d.p) + "): ";
    return all + (d.is_significant() ? "significant. " : "not significant. ");
  }

  /// How the others stand to the best, beyond the next one.
  std::string others(size_t best) const {
    std::vector<std::string> behind, open;
    for (const size_t m : ranking.order) {
      if (m == best || !ranking.competes[m]) continue;
      const PairedDifference& d = ranking.behind_best[m];
      (d.is_significant() && d.mean > 0 ? behind : open).push_back(name(m));
    }
    constexpr size_t kMostNames = 8;
    const auto names = [&](const std::vector<std::string>& all) {
      return all.size() <= kMostNames ? listed(all) : counted(all.size(), "other method");
    };
    if (behind.size() + open.size() < 2) return "";
    if (open.empty()) return "Its lead over every other method is significant. ";
    std::string all = "Not told apart from it: " + names(open) + ". ";
    if (!behind.empty()) all += "Significantly behind: " + names(behind) + ". ";
    return all;
  }

  bool has_pairs() const {
    for (const size_t m : ranking.order) {
      if (m != ranking.best && ranking.behind_best[m].seeds >= 2) return true;
    }
    return false;
  }

  std::string references() const {
    std::string all;
    for (const size_t m : ranking.order) {
      if (ranking.competes[m]) continue;
      all += "The exact gradient, which no estimator has, gets " + value(m) + ". ";
    }
    return all;
  }
};

}  // namespace

std::string error_text(double value) {
  if (!std::isfinite(value)) return "–";
  char text[32];
  std::snprintf(text, sizeof text, value >= 10 ? "%.0f" : "%.2g", value);
  constexpr double kLeast = 1e-6;  // below it powers of ten are easier to read than zeros
  return value >= kLeast && value < 1 ? fixed(value, decimals_for(value)) : text;
}

std::string number_text(double value, double error) {
  if (!std::isfinite(value)) return "–";
  if (!is_usable(error, value)) return train::readable(value);
  return fixed(value, decimals_for(error));
}

std::string with_error(double value, double error) {
  const std::string text = number_text(value, error);
  return std::isfinite(error) ? text + " ± " + error_text(error) : text;
}

std::string time_text(double seconds) {
  if (seconds < 60) return fixed(seconds, seconds < 10 ? 1 : 0) + " s";
  if (seconds < 3600) return fixed(seconds / 60, 1) + " min";
  return fixed(seconds / 3600, 1) + " h";
}

std::string listed(const std::vector<std::string>& names) {
  std::string all;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) all += i + 1 == names.size() ? " and " : ", ";
    all += names[i];
  }
  return all;
}

std::string counted(size_t n, const std::string& thing) {
  return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}

std::string finding(const Group& group, const Setting& setting, const Ranking& ranking) {
  const Story story{group, setting, ranking};
  if (!ranking.best) return story.references() + "No estimator to compare.";
  const size_t best = *ranking.best;
  const auto second = ranking.second();
  if (!second) {
    return "Only " + story.name(best) + " ran, so there is nothing to compare it with; its " +
           title_of(group, ranking.metric) + ": " + story.value_and_seeds(best) + ". " +
           story.references();
  }
  std::string all = story.lead(best, *second);
  if (story.has_pairs()) all += story.others(best);
  return all + story.references();
}

}  // namespace gradthru::cli
