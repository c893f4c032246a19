#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

// Pages with charts: one HTML file that needs no other and asks no network for anything.
namespace gradthru::report {

struct Heading {
  std::string text;
};

struct Paragraph {
  std::string text;
};

/// Cells of text, the first line being the header.
struct Table {
  std::vector<std::vector<std::string>> lines;
};

/// A Vega-Lite specification (report/chart.h makes them), with its data inside.
struct Chart {
  std::string caption;
  nlohmann::json spec;
};

/// All text is plain: what HTML would take for markup is escaped.
struct Page {
  std::string title;
  std::vector<std::variant<Heading, Paragraph, Table, Chart>> parts;
};

/// The page as a file.
/// Errors: InvalidInput as check_charts(), if the page has a chart.
std::string html(const Page& page);

/// Errors: InvalidInput, naming the option that asks for charts, if the program was built without
/// the scripts that draw them.
void check_charts(const std::string& option);

}  // namespace gradthru::report
