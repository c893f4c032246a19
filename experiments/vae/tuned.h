#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gradthru/estimator.h"

namespace gradthru::experiments {

/// The tuned settings of an estimator in one of the six cells (copied from a follow-up's public
/// code, which says that it copies the paper); Adam 5e-4 and no temperature where there is no row.
struct Tuned {
  std::string optimiser = "adam";
  std::string lr = "5e-4";
  std::optional<double> tau{};
};
Tuned tuned(Method method, std::string_view latent);

}  // namespace gradthru::experiments
