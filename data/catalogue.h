#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradthru::data {

enum class FileRole { kTrainImages, kTrainLabels, kTestImages, kTestLabels, kTable, kArchive };

/// One file of a data set as its authors published it.
struct DataFile {
  std::string name;
  uint64_t size;  ///< bytes
  std::string sha256;
  FileRole role;
};

/// A data set we can read, and where its files are to be had.
struct DataSet {
  std::string name;
  std::string licence;
  std::vector<DataFile> files;
  std::vector<std::string> mirrors;  ///< tried in order; each ends in '/'; empty: not for fetching
  std::string source;                ///< how to get a set that has no mirrors
};

/// Every data set we know.
const std::vector<DataSet>& catalogue();

/// The set called `name`. Errors: InvalidInput with the nearest known name.
const DataSet& find_data_set(std::string_view name);

/// The set's file with this role. Errors: std::logic_error where the set has none.
const DataFile& file_with_role(const DataSet& set, FileRole role);

}  // namespace gradthru::data
