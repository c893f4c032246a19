#include "gradthru/expectation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "reference/score.h"
#include "support/enumeration.h"
#include "support/random.h"
#include "support/refusal.h"
#include "support/tolerance.h"

// The estimate of an expectation: the score-function estimators against their formulas and, by
// enumeration of all their randomness, against the exact gradient; the pathwise ones as `sample`.
namespace {

using gradthru::Coding;
using gradthru::Estimator;
using gradthru::Evaluation;
using gradthru::ExpectationOptions;
using gradthru::Key;
using gradthru::Method;
using gradthru::parse_estimator;
using reference::Row;
using reference::States;
using reference::Table;
using support::expect_refused;

constexpr double kTolerance = 1e-12;

/// L variables of K categories, and a table of f's values at all states.
struct Case {
  int64_t L, K;
  double tau;
  at::Tensor logits;  // [L, K]
  at::Tensor values;  // [K^L]

  Case(int64_t L, int64_t K, double tau, uint64_t seed) : L(L), K(K), tau(tau) {
    support::Random random(seed);
    logits = random.normal({L, K}, support::kLogitScale);
    values = random.normal({static_cast<int64_t>(std::pow(K, L))});
  }

  /// The position of states [.., L] in the table.
  at::Tensor position(const at::Tensor& index) const {
    at::Tensor at_state = at::zeros({}, index.options());
    for (int64_t i = 0; i < L; ++i) at_state = at_state * K + index.select(-1, i);
    return at_state;
  }
  at::Tensor value_at(const at::Tensor& index) const { return values.take(position(index)); }
  gradthru::Function f() const {
    return [this](const at::Tensor& z) { return value_at(z.argmax(-1)); };
  }
  gradthru::Function f_of_coded() const {
    return [this](const at::Tensor& z) { return value_at(z.le(0).to(at::kLong)); };
  }

  Table table() const {
    Table rows;
    for (int64_t i = 0; i < L; ++i) rows.push_back(support::row_of(logits.select(0, i)));
    return rows;
  }
  reference::ValueOf slow() const {
    return [this](const States& x) {
      int64_t at_state = 0;
      for (const int k : x) at_state = at_state * K + k;
      return values.const_data_ptr<double>()[at_state];
    };
  }
  at::Tensor exact() const {
    return support::matrix_from(reference::exact_gradient(table(), tau, slow()));
  }
  std::vector<States> states() const {
    return reference::all_states(static_cast<size_t>(L), static_cast<int>(K));
  }
};

at::Tensor tensor_of_states(const std::vector<States>& states) {
  at::Tensor index = at::empty(
      {static_cast<int64_t>(states.size()), static_cast<int64_t>(states[0].size())}, at::kLong);
  for (size_t n = 0; n < states.size(); ++n)
    for (size_t i = 0; i < states[n].size(); ++i)
      index[static_cast<int64_t>(n)][static_cast<int64_t>(i)] = states[n][i];
  return index;
}

/// The gradient for every row of a batch that shares its logits: [M, L, K] for given [S, M, L].
at::Tensor gradients(const Case& c, const Estimator& e, const at::Tensor& given,
                     ExpectationOptions options = {}) {
  options.given = given;
  const at::Tensor rows = support::leaf(c.logits.unsqueeze(0).repeat({given.size(1), 1, 1}));
  const Evaluation half(rows, e, options);
  return support::gradient(half.combine(c.f()(half.points())).sum(), rows,
                           at::ones({}, at::kDouble));
}

Estimator at_tau(const std::string& name, const std::string& rest, double tau) {
  return parse_estimator(name + "(tau_f=" + std::to_string(tau) + rest + ")");
}

class Temperatures : public testing::TestWithParam<double> {
 protected:
  Case three_by_three_{3, 3, GetParam(), 11};
  Case pair_{2, 2, GetParam(), 12};
};

TEST_P(Temperatures, ExactIsTheGradientOfTheExpectation) {
  const Case& c = three_by_three_;
  const at::Tensor logits = support::leaf(c.logits.unsqueeze(0).repeat({2, 1, 1}));
  const at::Tensor value = gradthru::expectation(c.f(), logits, at_tau("exact", "", c.tau));
  double mean = 0;
  for (const States& x : c.states())
    mean += reference::probability(c.table(), x, c.tau) * c.slow()(x);
  EXPECT_NEAR(value.item<double>(), mean, kTolerance);
  const at::Tensor grad = support::gradient(value, logits, at::ones({}, at::kDouble));
  support::expect_near(grad.sum(0), c.exact(), kTolerance, "sum over a batch of two halves");
}

TEST_P(Temperatures, ReinforceIsItsFormulaAndUnbiased) {
  const Case& c = three_by_three_;
  for (const char* baseline : {"none", "0.7"}) {
    const Estimator e = at_tau("reinforce", std::string(",baseline=") + baseline, c.tau);
    const at::Tensor grad = gradients(c, e, tensor_of_states(c.states()).unsqueeze(0));
    Table mean;
    for (size_t n = 0; n < c.states().size(); ++n) {
      const States x = c.states()[n];
      const Table expected = reference::reinforce(c.table(), c.tau, c.slow(), x, e.baseline);
      const at::Tensor got = grad[static_cast<int64_t>(n)];
      support::expect_near(got, support::matrix_from(expected), kTolerance, to_string(e));
      reference::add(mean, support::rows_of(got), reference::probability(c.table(), x, c.tau));
    }
    support::expect_near(support::matrix_from(mean), c.exact(), kTolerance, to_string(e));
  }
}

/// Every tuple of `count` states, and its probability.
struct Tuples {
  std::vector<std::vector<States>> all;
  std::vector<double> probability;

  Tuples(const Case& c, size_t count) : all(1), probability(1, 1.0) {
    for (size_t s = 0; s < count; ++s) {
      Tuples longer;
      for (size_t n = 0; n < all.size(); ++n)
        for (const States& x : c.states()) {
          longer.all.push_back(all[n]);
          longer.all.back().push_back(x);
          longer.probability.push_back(probability[n] *
                                       reference::probability(c.table(), x, c.tau));
        }
      *this = longer;
    }
  }
  /// [count, tuples, L].
  at::Tensor given() const {
    std::vector<at::Tensor> tuples;
    for (const auto& tuple : all) tuples.push_back(tensor_of_states(tuple));
    return at::stack(tuples, 1);
  }

 private:
  Tuples() = default;
};

void expect_formula_and_exact_mean(const Case& c, const Estimator& e, size_t samples) {
  const Tuples tuples(c, samples);
  const at::Tensor grad = gradients(c, e, tuples.given());
  Table mean;
  for (size_t n = 0; n < tuples.all.size(); ++n) {
    Table expected;
    if (e.method == Method::rloo) {
      expected = reference::rloo(c.table(), c.tau, c.slow(), tuples.all[n]);
    } else {
      for (const States& x : tuples.all[n])
        reference::add(expected, reference::indecater(c.table(), c.tau, c.slow(), x),
                       1.0 / static_cast<double>(samples));
    }
    const at::Tensor got = grad[static_cast<int64_t>(n)];
    support::expect_near(got, support::matrix_from(expected), kTolerance, to_string(e));
    reference::add(mean, support::rows_of(got), tuples.probability[n]);
  }
  support::expect_near(support::matrix_from(mean), c.exact(), kTolerance, to_string(e));
}

TEST_P(Temperatures, RlooIsItsFormulaAndUnbiased) {
  expect_formula_and_exact_mean(three_by_three_, at_tau("rloo", "", GetParam()), 2);
  expect_formula_and_exact_mean(pair_, at_tau("rloo", ",samples=3", GetParam()), 3);
}

TEST_P(Temperatures, IndecaterIsItsFormulaAndUnbiased) {
  expect_formula_and_exact_mean(three_by_three_, at_tau("indecater", "", GetParam()), 1);
  expect_formula_and_exact_mean(pair_, at_tau("indecater", ",samples=2", GetParam()), 2);
}

/// The middle of every cell of [0, 1]^L between the uniforms where b1 or b2 changes: the estimates
/// are linear inside.
struct Cells {
  std::vector<Row> middle{Row()};
  std::vector<double> volume{1.0};

  Cells(const Row& a, double tau) {
    for (const double logit : a) {
      const double low = reference::sigmoid(-std::abs(logit / tau));
      const Row cuts = {0, low, 1 - low, 1};
      Cells finer;
      finer.middle.clear();
      finer.volume.clear();
      for (size_t n = 0; n < middle.size(); ++n)
        for (size_t cell = 0; cell < 3; ++cell) {
          finer.middle.push_back(middle[n]);
          finer.middle.back().push_back((cuts[cell] + cuts[cell + 1]) / 2);
          finer.volume.push_back(volume[n] * (cuts[cell + 1] - cuts[cell]));
        }
      *this = finer;
    }
  }
  at::Tensor given() const { return support::matrix_from(middle).unsqueeze(0); }

 private:
  Cells() = default;
};

void expect_antithetic(const std::string& method, double tau) {
  const Case c(3, 2, tau, 13);
  const Estimator e = at_tau(method, "", tau);
  Row a;
  for (const Row& row : c.table()) a.push_back(row[0] - row[1]);
  const Cells cells(a, tau);
  const at::Tensor grad = gradients(c, e, cells.given()).select(-1, 0);
  Row mean(a.size(), 0.0);
  for (size_t n = 0; n < cells.middle.size(); ++n) {
    const Row expected =
        reference::antithetic(a, tau, c.slow(), cells.middle[n], e.method == Method::disarm);
    const Row got = support::row_of(grad[static_cast<int64_t>(n)]);
    support::expect_near(support::tensor_of(got), support::tensor_of(expected), kTolerance, method);
    mean = reference::plus(mean, got, cells.volume[n]);
  }
  support::expect_near(support::tensor_of(mean), c.exact().select(-1, 0), kTolerance, method);

  // As Bernoulli variables, in both codings.
  for (const Coding coding : {Coding::zero_one, Coding::plus_minus_one}) {
    const at::Tensor logits = support::leaf(
        support::tensor_of(a).unsqueeze(0).repeat({static_cast<int64_t>(cells.middle.size()), 1}));
    const Evaluation half(logits, e, coding, {.given = cells.given()});
    const at::Tensor total = half.combine(c.f_of_coded()(half.points())).sum();
    support::expect_near(support::gradient(total, logits, at::ones({}, at::kDouble)), grad,
                         kTolerance, method + " on Bernoulli variables");
  }
}

TEST_P(Temperatures, ArmIsItsFormulaAndUnbiased) {
  expect_antithetic("arm", GetParam());
}

TEST_P(Temperatures, DisarmIsItsFormulaAndUnbiased) {
  expect_antithetic("disarm", GetParam());
}

INSTANTIATE_TEST_SUITE_P(Score, Temperatures, testing::Values(1.0, 0.7, 2.0));

TEST(Score, BernoulliVariablesAreCategoricalOnesOfTwoLogits) {
  const Case c(3, 2, 1, 14);
  const at::Tensor a = c.logits.select(-1, 0) - c.logits.select(-1, 1);
  const at::Tensor index = tensor_of_states(c.states()).unsqueeze(0);
  for (const char* spec : {"reinforce", "rloo", "indecater", "exact"}) {
    const Estimator e = parse_estimator(spec);
    for (const Coding coding : {Coding::zero_one, Coding::plus_minus_one}) {
      const double off = coding == Coding::zero_one ? 0 : -1;
      const at::Tensor drawn = e.samples == 2 ? at::cat({index, index.flip({1})}) : index;
      const at::Tensor logits = support::leaf(a.unsqueeze(0).repeat({drawn.size(1), 1}));
      ExpectationOptions options;
      if (e.method != Method::exact)
        options.given =
            at::where(drawn.eq(0), at::full({}, 1.0, at::kDouble), at::full({}, off, at::kDouble));
      const Evaluation half(logits, e, coding, options);
      const at::Tensor total = half.combine(c.f_of_coded()(half.points())).sum();
      const at::Tensor grad = support::gradient(total, logits, at::ones({}, at::kDouble));
      const at::Tensor expected = e.method == Method::exact
                                      ? c.exact().select(-1, 0).unsqueeze(0).expand_as(grad)
                                      : gradients(c, e, drawn).select(-1, 0);
      support::expect_near(grad, expected, kTolerance, spec);
    }
  }
}

TEST(Score, ParametersOfTheFunctionGetTheirGradient) {
  const Case c(2, 3, 1, 15);
  for (const char* spec : {"exact", "reinforce", "rloo(3)", "indecater"}) {
    const at::Tensor weights = support::leaf(c.values);
    const auto f = [&](const at::Tensor& z) { return weights.take(c.position(z.argmax(-1))); };
    const Estimator e = parse_estimator(spec);
    const Evaluation half(c.logits, e, {.key = Key{.seed = 3}});
    const at::Tensor estimate = half.combine(f(half.points()));
    const at::Tensor grad = support::gradient(estimate, weights, at::ones({}, at::kDouble));
    // A mean of values of f: the shares of the states sum to one.
    EXPECT_NEAR(grad.sum().item<double>(), 1, kTolerance) << spec;
    EXPECT_NEAR((grad * c.values).sum().item<double>(), estimate.item<double>(), kTolerance)
        << spec;
  }
}

TEST(Score, MovingBaselineChangesAfterUse) {
  const Case c(2, 3, 1, 16);
  const at::Tensor given = tensor_of_states(c.states()).unsqueeze(0);
  const at::Tensor state = at::full({}, 0.4, at::kDouble);
  const at::Tensor moving = gradients(c, parse_estimator("reinforce(baseline=moving)"), given,
                                      {.baseline = state, .decay = 0.8});
  const at::Tensor constant = gradients(c, parse_estimator("reinforce(baseline=0.4)"), given);
  support::expect_near(moving, constant, 0, "the baseline before the update");
  EXPECT_NEAR(state.item<double>(), 0.8 * 0.4 + 0.2 * c.values.mean().item<double>(), kTolerance);
}

/// A mean over the batch that includes the own sample is no baseline.
TEST(Score, BatchMeanAsBaselineScalesTheMean) {
  const Case c(1, 3, 1, 17);
  const Tuples pairs(c, 2);
  at::Tensor mean = at::zeros({1, 3}, at::kDouble);
  for (size_t n = 0; n < pairs.all.size(); ++n) {
    const at::Tensor index = tensor_of_states(pairs.all[n]).unsqueeze(0);
    Estimator e = gradthru::reinforce();
    e.baseline = c.value_at(index[0]).mean().item<double>();
    mean = mean + pairs.probability[n] * gradients(c, e, index).mean(0);
  }
  support::expect_near(mean, c.exact() / 2, kTolerance, "(S - 1) / S with S = 2");
}

TEST(Pathwise, IsSampleThenTheMean) {
  support::Random random(18);
  const at::Tensor logits = random.normal({4, 3, 5}), weights = random.normal({3, 5});
  const auto f = [&](const at::Tensor& z) { return (z * weights).sum({-2, -1}).pow(2); };
  for (const char* spec : {"st", "reinmax(1.3)", "gst", "gumbel_softmax(0.5)", "gumbel_rao(3)",
                           "gumbel_softmax(0.5,hard=false)"}) {
    const Estimator e = parse_estimator(spec);
    const Key key{.seed = 5, .offset = 7, .row0 = 30};
    const at::Tensor ours = support::leaf(logits), theirs = support::leaf(logits);
    const at::Tensor value = gradthru::expectation(f, ours, e, {.samples = 6, .key = key});
    const at::Tensor z = gradthru::sample(theirs, e, {.samples = 6, .key = key}).onehot;
    const at::Tensor one = at::ones({}, at::kDouble);
    EXPECT_NEAR(value.item<double>(), f(z).mean().item<double>(), kTolerance) << spec;
    support::expect_near(support::gradient(value, ours, one),
                         support::gradient(f(z).mean(), theirs, one), kTolerance, spec);
  }
}

TEST(Batch, APieceDrawsWhatTheWholeDraws) {
  const at::Tensor logits = support::Random(19).normal({6, 3, 2});
  for (const char* spec :
       {"st", "gumbel_softmax", "reinforce", "rloo(3)", "indecater", "arm", "disarm"}) {
    const Estimator e = parse_estimator(spec);
    const at::Tensor whole = Evaluation(logits, e, {.samples = 2, .key = Key{.seed = 9}}).points();
    const at::Tensor piece =
        Evaluation(logits.slice(0, 4), e, {.samples = 2, .key = Key{.seed = 9, .row0 = 4 * 3}})
            .points();
    support::expect_same_bits(piece, whole.slice(1, 4), spec);
    EXPECT_EQ(whole.size(0), 2 * gradthru::evaluations(e, 3, 2)) << spec;
  }
}

TEST(Batch, CallsWithTheOffsetsUsedShareNoRandomNumber) {
  EXPECT_EQ(gradthru::expectation_offsets_used(gradthru::exact()), 0u);
  EXPECT_EQ(gradthru::expectation_offsets_used(gradthru::rloo(4), {.samples = 3}), 12u);
  EXPECT_EQ(gradthru::expectation_offsets_used(gradthru::arm(), {.samples = 3}), 3u);
  EXPECT_EQ(gradthru::expectation_offsets_used(gradthru::gumbel_rao(10), {.samples = 2}), 22u);
}

TEST(Batch, DrawsFollowTheLaw) {
  const Case c(2, 2, 0.7, 20);
  const int64_t rows = 200000;
  const at::Tensor logits = c.logits.unsqueeze(0).expand({rows, 2, 2});
  for (const char* name : {"reinforce", "arm"}) {
    const at::Tensor points =
        Evaluation(logits, at_tau(name, "", c.tau), {.key = Key{.seed = 21}}).points();
    for (int64_t e = 0; e < points.size(0); ++e)
      for (int64_t i = 0; i < 2; ++i) {
        const double p = reference::softmax(c.table()[static_cast<size_t>(i)], c.tau)[0];
        const double share = points[e].select(1, i).select(1, 0).mean().item<double>();
        EXPECT_LE(std::abs(share - p), 5 * std::sqrt(p * (1 - p) / rows)) << name;
      }
  }
}

TEST(Edges, CategoriesThatDoNotExistGetNoGradient) {
  const Case c(2, 3, 1, 22);
  at::Tensor logits = c.logits.clone();
  logits.select(1, 1).fill_(-INFINITY);
  for (const char* spec : {"exact", "reinforce", "rloo", "indecater", "st"}) {
    const at::Tensor input = support::leaf(logits);
    const auto f = [&](const at::Tensor& z) { return c.f()(z) + 0 * z.sum({-2, -1}); };
    const at::Tensor value =
        gradthru::expectation(f, input, parse_estimator(spec), {.samples = 5, .key = Key{}});
    const at::Tensor grad = support::gradient(value, input, at::ones({}, at::kDouble));
    EXPECT_TRUE(grad.isfinite().all().item<bool>()) << spec << "\n" << grad;
    EXPECT_TRUE(grad.select(1, 1).eq(0).all().item<bool>()) << spec << "\n" << grad;
  }
}

TEST(Edges, EveryDtype) {
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kBFloat16}) {
    const at::Tensor logits = support::leaf(support::Random(23).normal({5, 3, 2}).to(dtype));
    for (const char* spec : {"exact", "reinforce", "rloo", "arm", "disarm", "indecater", "zgr"}) {
      const auto f = [](const at::Tensor& z) { return z.select(-1, 0).sum(-1).pow(2); };
      const at::Tensor value = gradthru::expectation(f, logits, parse_estimator(spec));
      const at::Tensor grad = support::gradient(value, logits, at::ones({}, value.options()));
      EXPECT_EQ(grad.scalar_type(), dtype) << spec;
      EXPECT_TRUE(grad.isfinite().all().item<bool>()) << spec;
    }
  }
}

TEST(Refusal, SaysWhatIsWanted) {
  const at::Tensor logits = at::zeros({2, 3, 4}, at::kDouble);
  const auto half = [&](const char* spec, const ExpectationOptions& options = {}) {
    return [&logits, spec, options] { Evaluation(logits, parse_estimator(spec), options); };
  };
  expect_refused(half("exact", {.most_states = 63}), "64 states; at most 63");
  expect_refused(half("arm"), "2 categories, got 4");
  expect_refused(half("disarm"), "2 categories, got 4");
  expect_refused(half("reinforce(baseline=moving)"), "options.baseline");
  expect_refused(
      half("reinforce(baseline=moving)", {.baseline = at::zeros({}, at::kDouble), .decay = 1}),
      "decay");
  expect_refused(half("rloo", {.samples = 0}), "samples must be >= 1, got 0");
  expect_refused(half("rloo", {.given = at::zeros({1, 2, 3}, at::kLong)}),
                 "[2, 2, 3], got [1, 2, 3]");
  expect_refused(half("exact", {.given = at::zeros({1, 2, 3}, at::kLong)}), "given");
  expect_refused(half("st(tau_f=exp(1,0.5))"), "e.at(progress)");
  expect_refused([&] { Evaluation(at::zeros({3}), gradthru::st()); }, "[.., L, K]");
  expect_refused([&] { Evaluation(at::zeros({}), gradthru::st(), Coding::zero_one); }, "[.., L]");
  expect_refused(
      [&] {
        gradthru::expectation([](const at::Tensor& z) { return z.sum(); }, logits,
                              gradthru::rloo());
      },
      "of shape [2, 2], got []");
  expect_refused([&] { gradthru::sample(logits, gradthru::rloo()); }, "use expectation");
  expect_refused([&] { gradthru::sample_binary(logits, gradthru::disarm()); }, "use expectation");
}

}  // namespace
