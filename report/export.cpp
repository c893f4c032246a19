#include "report/export.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace gradthru::report {
namespace {

std::string cell_of(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string cell_of(const nlohmann::json& value) {
  if (value.is_null()) return "";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// What LaTeX would take for a command, and signs that stand in its mathematics.
std::string latex_text(std::string_view text) {
  static const std::map<std::string, std::string, std::less<>> known = {
      {"\\", "\\textbackslash{}"},
      {"{", "\\{"},
      {"}", "\\}"},
      {"$", "\\$"},
      {"&", "\\&"},
      {"%", "\\%"},
      {"#", "\\#"},
      {"_", "\\_"},
      {"~", "\\textasciitilde{}"},
      {"^", "\\textasciicircum{}"},
      {"±", "$\\pm$"},
      {"−", "$-$"},
      {"×", "$\\times$"},
      {"–", "--"},
      {"<", "$<$"},
      {">", "$>$"}};
  std::string all;
  for (size_t i = 0; i < text.size();) {
    size_t length = 1;  // of the character in UTF-8
    while (i + length < text.size() && (text[i + length] & 0xC0) == 0x80) ++length;
    const auto found = known.find(text.substr(i, length));
    all += found == known.end() ? std::string(text.substr(i, length)) : found->second;
    i += length;
  }
  return all;
}

}  // namespace

std::string csv(const std::vector<std::vector<std::string>>& lines) {
  std::string all;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) all += (i > 0 ? "," : "") + cell_of(line[i]);
    all += "\n";
  }
  return all;
}

std::string csv(const nlohmann::json& rows, const std::vector<std::string>& first) {
  std::vector<std::vector<std::string>> lines = {first};
  for (const auto& row : rows) {
    for (const auto& [key, value] : row.items()) {
      if (std::find(lines[0].begin(), lines[0].end(), key) == lines[0].end()) {
        lines[0].push_back(key);
      }
    }
  }
  for (const auto& row : rows) {
    std::vector<std::string> line;
    for (const std::string& key : lines[0])
      line.push_back(cell_of(row.value(key, nlohmann::json())));
    lines.push_back(std::move(line));
  }
  return csv(lines);
}

std::string latex(const Table& table) {
  const size_t columns = table.lines.at(0).size();
  std::string all = "% \\usepackage{booktabs}\n";
  if (!table.caption.empty()) all += "% " + table.caption + "\n";
  all += "\\begin{tabular}{l" + std::string(columns - 1, 'r') + "}\n\\toprule\n";
  for (size_t i = 0; i < table.lines.size(); ++i) {
    for (size_t j = 0; j < columns; ++j) {
      const bool bold =
          std::find(table.bold.begin(), table.bold.end(), std::pair(i, j)) != table.bold.end();
      const std::string text = latex_text(table.lines[i][j]);
      all += (j > 0 ? " & " : "") + (bold ? "\\textbf{" + text + "}" : text);
    }
    all += i == 0 ? " \\\\\n\\midrule\n" : " \\\\\n";
  }
  return all + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace gradthru::report
