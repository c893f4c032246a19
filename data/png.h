#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradthru::data {

/// Grey values 0…255, row by row.
struct GreyImage {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;
};

/// Decodes a PNG image, of which colours become grey. `where` begins the message of an error.
/// Errors: InvalidInput for bytes that are no PNG, cut short or damaged, and for an image with more
///   than 2^20 pixels.
GreyImage decode_png(const std::string& bytes, const std::string& where);

}  // namespace gradthru::data
