#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace gradthru::data {

constexpr int64_t kDigitsCount = 1'797;
constexpr int64_t kDigitsSide = 8;

/// Small images of digits: kDigitsCount × 8 × 8 grey values 0…16, row by row, and their labels.
struct Digits {
  std::vector<uint8_t> pixels;
  std::vector<uint8_t> labels;
};

/// Reads `digits.csv.gz`: a line holds 64 pixels and the label, separated by commas.
/// Errors: InvalidInput with the line number (from 1) for a line that is not 64 whole numbers from
/// 0 to 16 and one from 0 to 9; with the count for too few or too many lines.
/// Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI; as shipped in
/// scikit-learn.
Digits read_digits(const std::filesystem::path& file);

}  // namespace gradthru::data
