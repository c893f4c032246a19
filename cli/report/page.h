#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/report/runs.h"
#include "report/page.h"

// The report as a page, and the files beside it.
namespace gradthru::cli {

struct Report {
  report::Page page;
  std::vector<std::pair<std::string, std::string>> files;  ///< name and content
};

struct ReportOptions {
  std::string version;  ///< of the program that writes it
  bool latex = false;   ///< tables as LaTeX as well
};

/// Without the scripts that draw charts the page has none, and says so; the CSV files are the same.
Report make_report(const Runs& runs, const ReportOptions& options);

}  // namespace gradthru::cli
