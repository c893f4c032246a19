#include "report/page.h"

#include <cctype>
#include <string_view>

#include "gradthru/error.h"
#include "report/embedded.h"

namespace gradthru::report {
namespace {

/// Allows what stands in the file, and nothing from elsewhere.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:";

std::string escaped(std::string_view text) {
  std::string all;
  for (const char c : text) {
    switch (c) {
      case '&':
        all += "&amp;";
        break;
      case '<':
        all += "&lt;";
        break;
      case '>':
        all += "&gt;";
        break;
      case '"':
        all += "&quot;";
        break;
      case '\'':
        all += "&#39;";
        break;
      default:
        all += c;
    }
  }
  return all;
}

/// JSON that may stand in a script element: no "</script" or "<!--" can end or open anything, as
/// "<" occurs in strings only and is written as its number there.
std::string script_json(const nlohmann::json& json) {
  std::string all;
  for (const char c : json.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)) {
    if (c == '<') {
      all += "\\u003c";
    } else {
      all += c;
    }
  }
  return all;
}

std::string element(const std::string& name, std::string_view text) {
  return "<" + name + ">" + escaped(text) + "</" + name + ">\n";
}

std::string script(std::string_view code) {
  return "<script>\n" + std::string(code) + "\n</script>\n";
}

bool is_number(const std::string& cell) {
  return !cell.empty() && (cell[0] == '-' || std::isdigit(static_cast<unsigned char>(cell[0])));
}

std::string of(const Heading& heading) {
  return element("h2", heading.text);
}

std::string of(const Paragraph& paragraph) {
  return element("p", paragraph.text);
}

std::string of(const Table& table) {
  std::string all = "<div class=\"table\"><table>\n";
  for (size_t i = 0; i < table.lines.size(); ++i) {
    all += "<tr>";
    for (const std::string& cell : table.lines[i]) {
      const std::string name = i == 0 ? "th" : "td";
      all += "<" + name + (i > 0 && is_number(cell) ? " class=\"number\">" : ">") + escaped(cell) +
             "</" + name + ">";
    }
    all += "</tr>\n";
  }
  return all + "</table></div>\n";
}

std::string of(const Chart& chart) {
  return "<figure class=\"chart\">\n" + element("figcaption", chart.caption) +
         "<div></div>\n<script type=\"application/json\">" + script_json(chart.spec) +
         "</script>\n</figure>\n";
}

bool has_chart(const Page& page) {
  for (const auto& part : page.parts) {
    if (std::holds_alternative<Chart>(part)) return true;
  }
  return false;
}

std::string head(const Page& page) {
  return std::string("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n") +
         "<meta http-equiv=\"Content-Security-Policy\" content=\"" + kPolicy + "\">\n" +
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
         "<meta name=\"generator\" content=\"gradthru\">\n" + element("title", page.title) +
         "<style>\n" + std::string(style_sheet()) + "</style>\n</head>\n";
}

std::string scripts() {
  const ChartScripts all = chart_scripts();
  return "<noscript><p>The charts need JavaScript.</p></noscript>\n<!--\n" +
         std::string(notices()) + "-->\n" + script(all.vega) + script(all.vega_lite) +
         script(all.vega_embed) + script(draw_script());
}

}  // namespace

std::string html(const Page& page) {
  if (has_chart(page)) check_charts("a page with charts");
  std::string all = head(page) + "<body>\n<main>\n" + element("h1", page.title);
  for (const auto& part : page.parts) {
    all += std::visit([](const auto& p) { return of(p); }, part);
  }
  all += "</main>\n";
  if (has_chart(page)) all += scripts();
  return all + "</body>\n</html>\n";
}

void check_charts(const std::string& option) {
  if (!chart_scripts().vega.empty()) return;
  throw InvalidInput(option +
                     " needs the scripts that draw charts, and this program was built without "
                     "them: build it again where npm can fetch them");
}

}  // namespace gradthru::report
