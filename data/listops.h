#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/image_set.h"
#include "data/listops_expression.h"

namespace gradthru::data {

/// An expression and its value.
struct ListOpsExample {
  ListOpsTokens tokens;
  int label = 0;
};

/// Reads lines `label<TAB>expression` from a text file, or from a gzip file if its name ends in
/// `.gz`. Every label is held to the value of its expression.
/// Errors: InvalidInput with the file, and the line number (from 1) of a bad line.
/// Source: N. Nangia, S. Bowman, "ListOps: A Diagnostic Dataset for Latent Tree Learning", 2018,
/// arXiv 1804.06028.
std::vector<ListOpsExample> read_list_ops(const std::filesystem::path& file);

/// The official test set of ListOps, and the name and SHA-256 of its text, not compressed; the hash
/// is empty where it was not verified.
struct ListOpsTest {
  std::vector<ListOpsExample> examples;
  std::string name;
  std::string sha256;
};

/// Reads `listops/test_d20s.tsv`, or that name with `.gz`, in the place of the data sets.
/// Errors: InvalidInput for a missing file, a wrong checksum, and what is wrong inside it.
ListOpsTest load_list_ops_test(const LoadOptions& options = {});

}  // namespace gradthru::data
