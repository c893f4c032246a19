#pragma once

#include <cstdint>
#include <string>
#include <string_view>

// Event files, as TensorBoard reads them: records of protocol buffers with checksums.
namespace gradthru::report {

/// The record that an event file begins with.
std::string first_event(double wall_time);

/// A named number at a step. `wall_time`: seconds since 1970.
std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value);

}  // namespace gradthru::report
