#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "support/option_cases.h"
#include "support/option_table.h"

// Walks the table of docs/options.md: every estimator with every option.
namespace {

using gradthru::Estimator;
using gradthru::InvalidInput;
using gradthru::Key;
using gradthru::UniformMix;
using support::Case;
using support::Cases;

constexpr Key kKey{.seed = 271828, .offset = 18, .row0 = 7};

const support::OptionTable& table() {
  static const support::OptionTable read = support::read_option_table(GRADTHRU_OPTIONS_PAGE);
  return read;
}

/// One cell of the table.
struct Cell {
  gradthru::Method method;
  std::string option, entry;
};

void PrintTo(const Cell& cell, std::ostream* out) {
  *out << gradthru::name(cell.method) << " " << cell.option << ": " << cell.entry;
}

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const gradthru::Method method : gradthru::methods(gradthru::Family::pathwise)) {
    const auto row = table().cells.find(std::string(gradthru::name(method)));
    if (row == table().cells.end()) continue;  // HasEveryEstimatorAndOption complains
    for (const auto& [option, entry] : row->second) all.push_back({method, option, entry});
  }
  return all;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InvalidInput& error) {
    return error.what();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

void expect_refused(const Case& c, const Estimator& e, const std::string& part) {
  gradthru::SampleOptions options = c.options;
  options.key = kKey;
  const Estimator fitted = support::for_categories(e, c.logits.size(options.dim));
  EXPECT_THAT(error_of([&] { gradthru::sample(c.logits, fitted, options); }),
              testing::HasSubstr(part))
      << c.what << " " << to_string(e);
}

/// One case that fails says enough, and thousands of them fill a disc.
bool failed() {
  return testing::Test::HasFailure();
}

/// Every case in both full precisions, or refused with `part` in the message.
void try_all(const Cases& cases, const Cell& cell, const std::string& part = "") {
  for (const Estimator& e : support::sweep(cell.method))
    for (const Case& c : cases)
      for (const at::ScalarType dtype : support::kFullDtypes) {
        if (failed()) return;
        if (cell.entry == "yes") {
          support::expect_as_reference(support::in_dtype(c, dtype), e, kKey);
        } else {
          expect_refused(support::in_dtype(c, dtype), e, part);
        }
      }
}

void try_uniform_mix(const Cell& cell) {
  const std::string name(gradthru::name(cell.method));
  if (cell.entry != "tied") {
    return try_all(support::uniform_mix_cases(), cell, "uniform_mix must be 0 for " + name);
  }
  for (const Estimator& e : support::sweep(cell.method))
    for (const Case& c : support::uniform_mix_cases()) {
      if (failed()) return;
      if (e.tau_f == e.tau_b) {
        support::expect_as_reference(c, e, kKey);
        Case tensor = c;
        tensor.options.tau_b = at::ones({6}, at::kDouble);
        expect_refused(tensor, e, "with tensors of temperatures");
      } else {
        expect_refused(c, e, "needs tau_b = tau_f");
      }
    }
}

/// Relaxed samples want the same tensor for both temperatures.
void try_temperatures(const Cell& cell, bool forward) {
  const std::string refusal = " has no parameter " + std::string(forward ? "tau_f" : "tau_b");
  const Cases one = support::temperature_cases(forward, !forward);
  for (const Estimator& e : support::sweep(cell.method)) {
    const bool both = e.hard == false;
    for (const Case& c : both ? support::temperature_cases(true, true) : one) {
      if (failed()) return;
      if (cell.entry != "yes") {
        expect_refused(c, e, refusal);
        continue;
      }
      for (const at::ScalarType dtype : support::kFullDtypes)
        support::expect_as_reference(support::in_dtype(c, dtype), e, kKey);
    }
    if (both) expect_refused(one[0], e, "hard=false needs tau_f = tau_b");
  }
  Case with_grad = one[0];
  at::Tensor tau = at::ones({6}, at::kDouble).requires_grad_(true);
  (forward ? with_grad.options.tau_f : with_grad.options.tau_b) = tau;
  const std::string why = cell.entry == "yes" ? "must not require grad" : refusal;
  expect_refused(with_grad, support::plain_estimator(cell.method), why);
}

void try_dtypes(const Cell& cell) {
  for (const Estimator& e : support::sweep(cell.method))
    for (const Case& c : support::dtype_cases())
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16}) {
        if (failed()) return;
        support::expect_as_reference(support::in_dtype(c, dtype), e, kKey);
      }
}

bool takes(gradthru::Method method, const std::string& key) {
  const auto known = gradthru::about(method).parameters;
  return std::find(known.begin(), known.end(), key) != known.end();
}

/// A good call passes, and the first bad row is named with the reason.
void try_check(const Cell& cell) {
  const Estimator e = support::plain_estimator(cell.method);
  Case good = support::plain("check", 4, 40);
  good.options.check = true;
  good.options.index = support::index_tensor({0, 1, 2, 3, -1, 0});
  support::expect_as_reference(good, e, kKey);
  const std::string row = std::string(gradthru::name(cell.method)) + ": row ";
  const auto expect_bad = [&](const std::string& why, const auto& change) {
    Case bad = good;
    bad.logits = good.logits.clone();
    bad.options.index.reset();
    change(bad);
    expect_refused(bad, e, row + why);
  };
  expect_bad("2: logits must not be NaN or +inf, got nan (category 1)",
             [](Case& c) { c.logits[2][1].fill_(support::kNan); });
  expect_bad("5: logits must not be NaN or +inf, got inf (category 0)",
             [](Case& c) { c.logits[5][0].fill_(support::kInfinity); });
  expect_bad("0: no category is allowed", [](Case& c) { c.logits[0].fill_(-support::kInfinity); });
  expect_bad("1: no category is allowed", [](Case& c) {
    c.options.mask = support::index_tensor({1, 0, 1, 1, 1, 1}).ne(0).unsqueeze(1);
  });
  expect_bad("3: index must be -1 or in [0, 3], got 4",
             [](Case& c) { c.options.index = support::index_tensor({0, 1, -1, 4, 5, 0}); });
  expect_bad("4: index must be an allowed category, got 2", [](Case& c) {
    c.options.mask = support::index_tensor({1, 1, 0, 1}).ne(0);
    c.options.index = support::index_tensor({0, 1, -1, 3, 2, 0});
  });
  if (!takes(cell.method, "tau_f")) return;
  expect_bad("1: tau_f must be finite and > 0, got -2",
             [](Case& c) { c.options.tau_f = support::tensor_of({1, -2, 1, 1, 1, 1}); });
}

void try_edges(const Cell& cell) {
  for (const Estimator& e : support::sweep(cell.method)) {
    if (failed()) return;
    support::expect_as_reference(support::plain("", 1, 41), e, kKey);
    support::expect_as_reference(support::plain("no rows", 5, 42, {0, 5}), e, kKey);
    const at::Tensor nothing = at::empty({0, 0});
    if (e.values.empty()) {  // where values are taken they cannot be none
      EXPECT_EQ(support::run(nothing, e, {.key = kKey}, nothing).grad.sizes(), nothing.sizes());
    }
    expect_refused(support::plain("", 0, 44, {3, 0}), e, "at least one category");
    Case masked = support::plain("one left", 5, 45);
    masked.options.mask = at::arange(5).eq(3);
    support::expect_as_reference(masked, e, kKey);
  }
}

void try_second_order(const Cell& cell) {
  const Case c = support::plain("", 5, 46);
  for (const Estimator& e : support::sweep(cell.method)) {
    const at::Tensor input = support::leaf(c.logits), g = support::leaf(c.g);
    const Estimator fitted = support::for_categories(e, 5);
    const at::Tensor value = gradthru::sample(input, fitted, {.key = kKey}).onehot;
    const at::Tensor grad = torch::autograd::grad({value}, {input}, {g}, true, true)[0];
    EXPECT_THAT(error_of([&] { support::gradient(grad.sum(), input, at::ones({}, at::kDouble)); }),
                testing::HasSubstr("second order is refused"))
        << to_string(e);
  }
}

using Trial = std::function<void(const Cell&)>;

Trial all_of(Cases (*cases)()) {
  return [cases](const Cell& cell) { try_all(cases(), cell); };
}

/// How each column of the table is tried; the binary forms have a test of their own.
const std::map<std::string, Trial>& trials() {
  static const std::map<std::string, Trial> all = {
      {"dim", all_of(support::dim_cases)},
      {"strides", all_of(support::stride_cases)},
      {"mask", all_of(support::mask_cases)},
      {"minus_inf", all_of(support::minus_inf_cases)},
      {"uniform_mix", try_uniform_mix},
      {"tau_f", [](const Cell& cell) { try_temperatures(cell, true); }},
      {"tau_b", [](const Cell& cell) { try_temperatures(cell, false); }},
      {"index", all_of(support::index_cases)},
      {"samples", all_of(support::sample_cases)},
      {"dtypes", try_dtypes},
      {"invalid", all_of(support::invalid_cases)},
      {"check", try_check},
      {"edges", try_edges},
      {"second_order", try_second_order},
      {"binary", nullptr}};
  return all;
}

TEST(Table, HasEveryEstimatorAndOption) {
  std::vector<std::string> names, options;
  for (const auto method : gradthru::methods(gradthru::Family::pathwise))
    names.emplace_back(gradthru::name(method));
  for (const auto& [option, trial] : trials()) options.push_back(option);
  EXPECT_EQ(table().estimators, names);
  EXPECT_THAT(table().options, testing::UnorderedElementsAreArray(options));
}

/// "yes", "no" and "tied" only, and what the registry says too is the same in both.
TEST(Table, AgreesWithTheRegistry) {
  for (const Cell& cell : cells()) {
    const std::string what = std::string(gradthru::name(cell.method)) + " " + cell.option;
    const gradthru::About facts = gradthru::about(cell.method);
    std::string expected = cell.option == "second_order" ? "no" : "yes";
    if (cell.option == "tau_f" || cell.option == "tau_b") {
      expected = takes(cell.method, cell.option) ? "yes" : "no";
    } else if (cell.option == "uniform_mix") {
      expected = facts.uniform_mix == UniformMix::taken  ? "yes"
                 : facts.uniform_mix == UniformMix::tied ? "tied"
                                                         : "no";
    } else if (cell.option == "binary") {
      expected = cell.entry == "no" ? "no" : "yes";
    }
    EXPECT_EQ(cell.entry, expected) << what;
  }
}

class Option : public testing::TestWithParam<Cell> {};

TEST_P(Option, DoesWhatTheTableSays) {
  const auto trial = trials().find(GetParam().option);
  ASSERT_NE(trial, trials().end());
  if (trial->second) trial->second(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Table, Option, testing::ValuesIn(cells()), [](const auto& tested) {
  return std::string(gradthru::name(tested.param.method)) + "_" + tested.param.option;
});

}  // namespace
