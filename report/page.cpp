#include "report/page.h"

#include <openssl/evp.h>

#include <algorithm>
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
  const std::string name = "h" + std::to_string(heading.level);
  const std::string id = heading.id.empty() ? "" : " id=\"" + escaped(heading.id) + "\"";
  return "<" + name + id + ">" + escaped(heading.text) + "</" + name + ">\n";
}

std::string of(const Paragraph& paragraph) {
  if (!paragraph.finding) return element("p", paragraph.text);
  return "<p class=\"finding\">" + escaped(paragraph.text) + "</p>\n";
}

std::string of(const Table& table) {
  std::string all = "<div class=\"table\"><table>\n";
  for (size_t i = 0; i < table.lines.size(); ++i) {
    all += "<tr>";
    for (size_t j = 0; j < table.lines[i].size(); ++j) {
      const std::string& cell = table.lines[i][j];
      const std::string name = i == 0 ? "th" : "td";
      const bool bold =
          std::find(table.bold.begin(), table.bold.end(), std::pair(i, j)) != table.bold.end();
      const std::string text = bold ? "<strong>" + escaped(cell) + "</strong>" : escaped(cell);
      all += "<" + name + (i > 0 && is_number(cell) ? " class=\"number\">" : ">") + text + "</" +
             name + ">";
    }
    all += "</tr>\n";
  }
  all += "</table></div>\n";
  if (table.caption.empty()) return all;
  return "<figure>\n" + element("figcaption", table.caption) + all + "</figure>\n";
}

std::string of(const Chart& chart) {
  return "<figure class=\"chart\">\n" + element("figcaption", chart.caption) +
         "<div></div>\n<script type=\"application/json\">" + script_json(chart.spec) +
         "</script>\n</figure>\n";
}

std::string of(const Listing& listing) {
  const std::string text = "<pre>" + escaped(listing.text) + "</pre>\n";
  if (listing.folded) {
    return "<details>\n" + element("summary", listing.caption) + text + "</details>\n";
  }
  return "<figure class=\"listing\">\n" + element("figcaption", listing.caption) + text +
         "</figure>\n";
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');  // it ends with a zero
  const auto* from = reinterpret_cast<const unsigned char*>(bytes.data());
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), from,
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

/// The width that a PNG states, 0 for what is none.
unsigned png_width(const std::string& bytes) {
  constexpr size_t kWidthAt = 16;  // after the signature, and the length and name of the first part
  if (bytes.size() < kWidthAt + 4 || bytes.compare(1, 3, "PNG") != 0) return 0;
  unsigned width = 0;
  for (size_t i = 0; i < 4; ++i) width = width * 256 + static_cast<uint8_t>(bytes[kWidthAt + i]);
  return width;
}

/// Small pictures at twice their size, so that single pixels can be seen.
std::string of(const Image& image) {
  constexpr unsigned kWidest = 1000;
  const unsigned width = png_width(image.bytes);
  std::string size;
  if (width > 0 && width <= kWidest) {
    size = " width=\"" + std::to_string(2 * width <= kWidest ? 2 * width : width) + "\"";
  }
  return "<figure class=\"image\">\n" + element("figcaption", image.caption) + "<img alt=\"" +
         escaped(image.caption) + "\"" + size + " src=\"data:" + image.type + ";base64," +
         base64(image.bytes) + "\">\n</figure>\n";
}

/// Filled in by contents_of(), which sees the other parts.
std::string of(const Contents&) {
  return "";
}

std::string contents_of(const Page& page) {
  std::string all = "<nav><ul>\n";
  for (const auto& part : page.parts) {
    const Heading* heading = std::get_if<Heading>(&part);
    if (heading == nullptr || heading->id.empty()) continue;
    all += "<li class=\"level" + std::to_string(heading->level) + "\"><a href=\"#" +
           escaped(heading->id) + "\">" + escaped(heading->text) + "</a></li>\n";
  }
  return all + "</ul></nav>\n";
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
    if (std::holds_alternative<Contents>(part)) {
      all += contents_of(page);
    } else {
      all += std::visit([](const auto& p) { return of(p); }, part);
    }
  }
  all += "</main>\n";
  if (has_chart(page)) all += scripts();
  return all + "</body>\n</html>\n";
}

bool has_charts() {
  return !chart_scripts().vega.empty();
}

void check_charts(const std::string& option) {
  if (has_charts()) return;
  throw InvalidInput(option +
                     " needs the scripts that draw charts, and this program was built without "
                     "them: build it again where npm can fetch them");
}

}  // namespace gradthru::report
