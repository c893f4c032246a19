#include "data/catalogue.h"

#include <stdexcept>

#include "gradthru/error.h"

namespace gradthru::data {

const std::vector<DataSet>& catalogue() {
  static const std::vector<DataSet> sets = {
      {.name = "mnist",
       .licence = "CC BY-SA 3.0",
       .files = {{"train-images-idx3-ubyte.gz", 9'912'422,
                  "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                  FileRole::kTrainImages},
                 {"train-labels-idx1-ubyte.gz", 28'881,
                  "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                  FileRole::kTrainLabels},
                 {"t10k-images-idx3-ubyte.gz", 1'648'877,
                  "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                  FileRole::kTestImages},
                 {"t10k-labels-idx1-ubyte.gz", 4'542,
                  "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                  FileRole::kTestLabels}},
       .mirrors = {"https://ossci-datasets.s3.amazonaws.com/mnist/",
                   "https://storage.googleapis.com/cvdf-datasets/mnist/"},
       .source = ""},
      {.name = "fashion-mnist",
       .licence = "MIT",
       .files = {{"train-images-idx3-ubyte.gz", 26'421'880,
                  "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                  FileRole::kTrainImages},
                 {"train-labels-idx1-ubyte.gz", 29'515,
                  "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                  FileRole::kTrainLabels},
                 {"t10k-images-idx3-ubyte.gz", 4'422'102,
                  "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                  FileRole::kTestImages},
                 {"t10k-labels-idx1-ubyte.gz", 5'148,
                  "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                  FileRole::kTestLabels}},
       .mirrors = {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                   "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/"
                   "fashion/"},
       .source = ""},
      {.name = "digits",
       .licence = "BSD-3-Clause",
       .files = {{"digits.csv.gz", 57'523,
                  "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
                  FileRole::kTable}},
       .mirrors = {},
       .source = "set GRADTHRU_DIGITS to the file sklearn/datasets/data/digits.csv.gz of an "
                 "installed scikit-learn (pip install scikit-learn)"},
  };
  return sets;
}

const DataSet& find_data_set(std::string_view name) {
  std::vector<std::string> names;
  std::string known;
  for (const DataSet& set : catalogue()) {
    if (set.name == name) return set;
    names.push_back(set.name);
    known += (known.empty() ? "" : ", ") + set.name;
  }
  throw InvalidInput("data: unknown data set '" + std::string(name) + "', wanted one of " + known +
                     did_you_mean(name, names));
}

const DataFile& file_with_role(const DataSet& set, FileRole role) {
  for (const DataFile& file : set.files) {
    if (file.role == role) return file;
  }
  throw std::logic_error("data: " + set.name + " has no file with the role asked for");
}

}  // namespace gradthru::data
