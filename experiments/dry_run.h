#pragma once

#include <iosfwd>

#include "experiments/sweep.h"

namespace gradthru::experiments {

/// What `gradthru run --dry-run` looks at.
enum class DryRun {
  plan,   ///< which runs there would be, and where
  batch,  ///< the same for many sets of assignments
  time,   ///< also how long the parts of each run take on this machine
  last,   ///< the same, with the evaluation of the last epoch instead of the first one's
};

/// Checks everything that can be checked before any work, makes no folder, and prints one JSON
/// object a line for each run: `name`, `folder`, `method`, `seed`, `config_sha256`. With
/// DryRun::time and DryRun::last also `epochs`, `steps` (in all), `start_s`, `step_s`,
/// `epoch_end_s` (null where the run diverged or was not ready in a few seconds) and `values`, the
/// names that an epoch's end gives to `summary.json`.
///
/// DryRun::batch reads lines from `in`, each a JSON array of assignments for --set, and answers
/// each with a line: `{"runs": […]}`, without folders, or `{"error": "…"}` for a user's mistake.
///
/// Errors: InvalidInput for a user's mistake.
void dry_run(const SweepRequest& request, DryRun what, std::istream& in, std::ostream& out);

}  // namespace gradthru::experiments
