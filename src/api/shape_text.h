#pragma once

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <string>

namespace gradthru {

/// "[2, 3]", for messages.
inline std::string shape_text(c10::IntArrayRef sizes) {
  std::string text;
  for (const int64_t size : sizes) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return "[" + text + "]";
}

}  // namespace gradthru
