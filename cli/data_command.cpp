#include "cli/data_command.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/catalogue.h"
#include "data/checksum.h"
#include "data/fetch.h"
#include "data/locate.h"
#include "gradthru/error.h"

namespace gradthru::cli {
namespace {

namespace fs = std::filesystem;
using data::DataFile;
using data::DataSet;

struct Arguments {
  std::vector<std::string> names;
  std::string dir;
  int stall_s = 30;

  std::optional<std::string> named_dir() const {
    return dir.empty() ? std::nullopt : std::optional(dir);
  }
};

// All names are checked before any work is done.
std::vector<const DataSet*> named_sets(const Arguments& arguments) {
  std::vector<const DataSet*> sets;
  for (const std::string& name : arguments.names) sets.push_back(&data::find_data_set(name));
  return sets;
}

std::string megabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

size_t count_present(const DataSet& set, const data::Place& place) {
  size_t present = 0;
  std::error_code ignored;
  for (const DataFile& file : set.files) {
    if (fs::exists(data::file_path(set, file, place), ignored)) ++present;
  }
  return present;
}

std::string whereabouts(const DataSet& set, const data::Place& place) {
  const size_t present = count_present(set, place);
  if (present == 0) return "not here: " + data::how_to_get(set, place);
  const std::string folder = data::file_path(set, set.files.front(), place).parent_path().string();
  if (present == set.files.size()) return folder;
  return folder + ", only " + std::to_string(present) + " of " + std::to_string(set.files.size()) +
         " files: " + data::how_to_get(set, place);
}

void list_sets(const Arguments& arguments) {
  std::printf("%-14s  %-13s  %8s  %s\n", "name", "licence", "size", "where");
  for (const DataSet& set : data::catalogue()) {
    uint64_t size = 0;
    for (const DataFile& file : set.files) size += file.size;
    const data::Place place = data::find_place(set, arguments.named_dir());
    std::printf("%-14s  %-13s  %8s  %s\n", set.name.c_str(), set.licence.c_str(),
                megabytes(size).c_str(), whereabouts(set, place).c_str());
  }
}

struct Tally {
  size_t files = 0;
  size_t bad = 0;
};

void verify_set(const DataSet& set, const data::Place& place, Tally& tally) {
  std::error_code ignored;
  for (const DataFile& file : set.files) {
    const fs::path path = data::file_path(set, file, place);
    std::string verdict = "ok";
    if (!fs::exists(path, ignored)) {
      verdict = "missing: " + data::how_to_get(set, place);
    } else {
      try {
        data::verify_file(path, file, data::Hashing::kFresh);
      } catch (const InvalidInput& error) {
        verdict = std::string("wrong: ") + error.what();
      }
    }
    ++tally.files;
    if (verdict != "ok") ++tally.bad;
    std::printf("%s/%s: %s\n", set.name.c_str(), file.name.c_str(), verdict.c_str());
    std::fflush(stdout);
  }
}

void verify_sets(const Arguments& arguments) {
  Tally tally;
  const bool all = arguments.names.empty();
  for (const DataSet* set : named_sets(arguments)) {
    verify_set(*set, data::find_place(*set, arguments.named_dir()), tally);
  }
  for (const DataSet& set : data::catalogue()) {
    if (!all) break;
    const data::Place place = data::find_place(set, arguments.named_dir());
    if (count_present(set, place) > 0) {
      verify_set(set, place, tally);
    } else {
      std::printf("%s: not here\n", set.name.c_str());
    }
  }
  std::fflush(stdout);
  if (tally.bad > 0) {
    throw InvalidInput("data verify: " + std::to_string(tally.bad) + " of " +
                       std::to_string(tally.files) + " files missing or wrong");
  }
  if (tally.files == 0) {
    throw InvalidInput(
        "data verify: no data set is here; 'gradthru data list' tells where they "
        "are looked for and how to get them");
  }
}

// One line that is redrawn on a terminal; only whole lines elsewhere.
class ProgressLine {
 public:
  void say(const std::string& line) {
    if (drawn_) std::printf("\r\033[K");
    drawn_ = false;
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  void draw(const DataFile& file, uint64_t bytes) {
    const auto now = std::chrono::steady_clock::now();
    if (!on_terminal_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    drawn_ = true;
    std::printf("\r\033[K  %s  %3d %%  %s of %s", file.name.c_str(),
                static_cast<int>(100 * bytes / file.size), megabytes(bytes).c_str(),
                megabytes(file.size).c_str());
    std::fflush(stdout);
  }

 private:
  bool on_terminal_ = isatty(STDOUT_FILENO) == 1;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_{};
};

fs::path fetch_root(const Arguments& arguments) {
  if (!arguments.dir.empty()) return arguments.dir;
  if (const auto cache = data::cache_root()) return *cache;
  throw InvalidInput(
      "data fetch: nowhere to put the files: wanted --dir, XDG_CACHE_HOME or HOME, "
      "got none of them");
}

// A run asks GRADTHRU_DATA_DIR before the cache and does not go on from there.
void warn_of_other_folder(const Arguments& arguments, const DataSet& set, ProgressLine& line) {
  const data::Place place = data::find_place(set, std::nullopt);
  if (!arguments.dir.empty() || place.origin == data::Origin::kCache) return;
  line.say("note: GRADTHRU_DATA_DIR is set, so runs look for " + set.name + " in " +
           (place.path / set.name).string() + " and not here; --dir fetches to another folder");
}

void fetch_sets(const Arguments& arguments) {
  const std::vector<const DataSet*> sets = named_sets(arguments);
  const fs::path root = fetch_root(arguments);
  ProgressLine line;
  for (const DataSet* set : sets) {
    data::FetchOptions options;
    options.stall_s = arguments.stall_s;
    options.say = [&](const std::string& text) { line.say(text); };
    options.progress = [&](const DataFile& file, uint64_t bytes) { line.draw(file, bytes); };
    data::fetch_set(*set, root, options);
    line.say(set->name + ": complete in " + (root / set->name).string());
    warn_of_other_folder(arguments, *set, line);
  }
}

void add_dir_option(CLI::App& command, Arguments& arguments, const std::string& help) {
  command.add_option("--dir", arguments.dir, help)->type_name("DIR");
}

// CLI11 by itself would say neither what was given nor what is wanted.
void require_known_command(const CLI::App& group) {
  if (!group.get_subcommands().empty()) return;
  const std::vector<std::string> extras = group.remaining();
  const std::string given = extras.empty() ? "" : extras.front();
  throw InvalidInput("data: wanted list, verify or fetch, got " +
                     (extras.empty() ? "nothing" : "'" + given + "'") +
                     did_you_mean(given, {"list", "verify", "fetch"}));
}

}  // namespace

void add_data_command(CLI::App& program, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  const auto run = [arguments, &exit_code](void (*work)(const Arguments&)) {
    return [arguments, &exit_code, work] {
      work(*arguments);
      exit_code = 0;
    };
  };
  CLI::App* group = program.add_subcommand("data", "List, verify and fetch data sets");
  group->require_subcommand(0, 1);
  group->footer("Example: gradthru data fetch mnist");

  const std::string root_help =
      "Folder with a sub-folder per set (default: GRADTHRU_DATA_DIR, else the user's cache)";
  CLI::App* list = group->add_subcommand("list", "Tell the data sets, their licences and places");
  add_dir_option(*list, *arguments, root_help);
  list->footer("Example: gradthru data list");
  list->callback(run(list_sets));

  CLI::App* verify = group->add_subcommand(
      "verify", "Check size and SHA-256 of every file; exit code 2 if one is not right");
  verify->add_option("NAME", arguments->names, "Data sets (default: all that are here)")
      ->type_name("");
  add_dir_option(*verify, *arguments, root_help);
  verify->footer("Example: gradthru data verify mnist");
  verify->callback(run(verify_sets));

  CLI::App* fetch = group->add_subcommand(
      "fetch", "Download data sets; what is there and right stays, a broken download goes on");
  fetch->add_option("NAME", arguments->names, "Data sets")->type_name("")->required();
  add_dir_option(*fetch, *arguments,
                 "Folder that gets a sub-folder per set (default: the user's cache)");
  fetch
      ->add_option("--stall", arguments->stall_s,
                   "Give a mirror up after this many seconds at less than 100 bytes a second")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  fetch->footer(
      "GRADTHRU_DATA_MIRROR (base addresses separated by blanks) replaces the public mirrors; the\n"
      "files are then at <base>/<set>/<file>.\n\n"
      "Example: gradthru data fetch mnist --dir data-sets");
  fetch->callback(run(fetch_sets));

  // Last, because subcommands inherit what is allowed when they are added.
  group->allow_extras();
  group->callback([group] { require_known_command(*group); });
}

}  // namespace gradthru::cli
