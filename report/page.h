#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

// Pages with charts: one HTML file that needs no other and asks no network for anything.
namespace gradthru::report {

struct Heading {
  std::string text;
  int level = 2;     ///< 2 to 4
  std::string id{};  ///< where it is linked from: letters, digits, '-' and '_'; may be empty
};

struct Paragraph {
  std::string text;
  bool finding = false;  ///< stands out: what a reader in a hurry looks for
};

/// Cells of text, the first line being the header.
struct Table {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::pair<size_t, size_t>> bold{};  ///< line and column
  std::string caption{};
};

/// A Vega-Lite specification (report/chart.h and report/panels.h make them), with its data inside.
struct Chart {
  std::string caption;
  nlohmann::json spec;
};

/// Text with its line breaks; folded: only the caption shows until it is clicked.
struct Listing {
  std::string caption, text;
  bool folded = false;
};

/// A PNG or SVG file, inlined.
struct Image {
  std::string caption;
  std::string type;   ///< image/png or image/svg+xml
  std::string bytes;  ///< of the file
};

/// Links to the headings that have an id, nested by level.
struct Contents {};

/// All text is plain: what HTML would take for markup is escaped.
struct Page {
  std::string title;
  std::vector<std::variant<Heading, Paragraph, Table, Chart, Listing, Image, Contents>> parts;
};

/// The page as a file.
/// Errors: InvalidInput as check_charts(), if the page has a chart.
std::string html(const Page& page);

/// Errors: InvalidInput, naming the option that asks for charts, if the program was built without
/// the scripts that draw them.
void check_charts(const std::string& option);
bool has_charts();  ///< whether it was built with them

}  // namespace gradthru::report
