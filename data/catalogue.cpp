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
      {.name = "omniglot",
       .licence = "MIT",
       .files = {{"omniglot_images_105.tar.gz", 6'456'252,
                  "115795f1873aed35a5045ae076ccd13b7baffd1f721a3d77c568b392e11f9544",
                  FileRole::kArchive}},
       .mirrors = {},
       .source = "unpack images_background.zip and images_evaluation.zip of "
                 "github.com/brendenlake/omniglot (folder python) in a folder 'Omniglot Dataset' "
                 "and pack that: tar czf omniglot_images_105.tar.gz 'Omniglot Dataset'"},
      {.name = "binarized-mnist",
       .licence = "none stated",
       .files =
           {{"binarized_mnist_train.amat", 78'400'000,
             "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d", FileRole::kTable},
            {"binarized_mnist_valid.amat", 15'680'000,
             "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2", FileRole::kTable},
            {"binarized_mnist_test.amat", 15'680'000,
             "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c", FileRole::kTable}},
       .mirrors = {"http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"},
       .source = ""},
      {.name = "listops",
       .licence = "MIT",
       .files = {{"test_d20s.tsv", 2'804'179,
                  "71335416e6896e8dd8dc69281c8ed9b37316382d05d3705d660461564e843840",
                  FileRole::kTable}},
       .mirrors = {"https://raw.githubusercontent.com/nyu-mll/spinn/master/python/spinn/data/"
                   "listops/"},
       .source = ""},
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
