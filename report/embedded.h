#pragma once

#include <string_view>

// Files that the program carries, for the pages it writes.
namespace gradthru::report {

/// The bundles of Vega, under their licences; empty where the program was built without them.
struct ChartScripts {
  std::string_view vega, vega_lite, vega_embed;
};
ChartScripts chart_scripts();

/// Licences of what the bundles contain beside Vega's own code.
std::string_view notices();

/// What hands each chart of the page to Vega.
std::string_view draw_script();

std::string_view style_sheet();

}  // namespace gradthru::report
