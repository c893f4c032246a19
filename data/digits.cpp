#include "data/digits.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "data/gzip.h"
#include "gradthru/error.h"

namespace gradthru::data {
namespace {

constexpr size_t kPixels = kDigitsSide * kDigitsSide;
constexpr int kMostGrey = 16;
constexpr int kMostLabel = 9;

// The right file has 264,712 bytes; the limit keeps a wrong one from filling the memory.
std::string read_text(GzipReader& reader) {
  constexpr size_t kLimit = size_t{1} << 20;
  std::string text(kLimit, '\0');
  text.resize(reader.read(reinterpret_cast<uint8_t*>(text.data()), text.size()));
  if (text.size() == kLimit) {
    throw InvalidInput(reader.message_start() + "wanted less than 1 MiB of text, got more");
  }
  return text;
}

std::string take_up_to(std::string_view& rest, char separator) {
  const size_t end = rest.find(separator);
  const std::string taken(rest.substr(0, end));
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return taken;
}

// Adds one line's pixels and label; returns what is wrong with the line, or "".
std::string parse_line(std::string_view line, Digits& digits) {
  const auto fields = static_cast<size_t>(std::count(line.begin(), line.end(), ',')) + 1;
  if (fields != kPixels + 1) {
    return "wanted 64 pixels and a label, got " + std::to_string(fields) + " numbers";
  }
  for (size_t column = 0; column <= kPixels; ++column) {
    const bool is_pixel = column < kPixels;
    const int most = is_pixel ? kMostGrey : kMostLabel;
    const std::string field = take_up_to(line, ',');
    int value = -1;
    const char* field_end = field.data() + field.size();
    const auto [end, error] = std::from_chars(field.data(), field_end, value);
    if (error != std::errc() || end != field_end || value < 0 || value > most) {
      return (is_pixel ? "pixel " + std::to_string(column + 1) : std::string("label")) +
             ": wanted a whole number from 0 to " + std::to_string(most) + ", got '" +
             field.substr(0, 20) + "'";
    }
    (is_pixel ? digits.pixels : digits.labels).push_back(static_cast<uint8_t>(value));
  }
  return "";
}

}  // namespace

Digits read_digits(const std::filesystem::path& file) {
  GzipReader reader(file);
  const std::string text = read_text(reader);
  std::string_view rest = text;
  Digits digits;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::string problem = parse_line(take_up_to(rest, '\n'), digits);
    if (!problem.empty()) {
      throw InvalidInput(reader.message_start() + "line " + std::to_string(number) + ": " +
                         problem);
    }
  }
  const auto count = static_cast<int64_t>(digits.labels.size());
  if (count != kDigitsCount) {
    throw InvalidInput(reader.message_start() + "wanted " + std::to_string(kDigitsCount) +
                       " lines, got " + std::to_string(count));
  }
  return digits;
}

}  // namespace gradthru::data
