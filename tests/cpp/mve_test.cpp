#include <ATen/ops/linalg_pinv.h>
#include <ATen/ops/linalg_solve.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/enumeration.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// What mve and mve_scalar are: minimisers, exact rules, and their neighbours at the ends of t.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::to_string;
using support::Row;

constexpr Key kKey{.seed = 1};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMeasurable = 1e-3;

struct Cases {
  support::Random random;
  at::Tensor logits, g, index;
  Cases(uint64_t seed, int64_t rows, int64_t categories)
      : random(seed),
        logits(random.normal({rows, categories}, support::kLogitScale)),
        g(random.normal({rows, categories})),
        index(random.integers({rows}, 0, categories - 1)) {}
  at::Tensor grad(const Estimator& e) const {
    return support::run(logits, e, {.index = index, .key = kKey}, g).grad;
  }
};

/// The rule as matrices: [x, r, k] is component r of the gradient when x was drawn and g = e_k.
at::Tensor rule_of(const Row& logits, const Estimator& e) {
  const int64_t K = static_cast<int64_t>(logits.size());
  const at::Tensor rows = support::tensor_of(logits).expand({K * K, K});
  const at::Tensor index = at::arange(K).repeat_interleave(K);
  const at::Tensor g = at::eye(K, at::kDouble).repeat({K, 1});
  return support::run(rows, e, {.index = index, .key = kKey}, g)
      .grad.reshape({K, K, K})
      .transpose(1, 2);
}

/// The same of the minimiser of sum_x p_x |W_x|^2 + 2t sum_Q |bias(Q)|^2 among the linear-exact
/// rules, by constrained least squares; t = inf asks for bias(Q) = 0. The components r are
/// independent problems in the K^2 unknowns v = sqrt(p_x) W_x[r, .].
at::Tensor minimiser(const Row& logits, double t) {
  const int64_t K = static_cast<int64_t>(logits.size());
  const Row probs = reference::softmax(logits);
  const at::Tensor p = support::tensor_of(probs);
  const at::Tensor J = at::diag(p) - at::outer(p, p);
  std::vector<at::Tensor> linear, bias, half_diagonal;
  for (int64_t k = 0; k < K; ++k) linear.push_back(at::outer(p.sqrt(), at::eye(K, at::kDouble)[k]));
  for (int64_t i = 0; i < K; ++i)
    for (int64_t j = i; j < K; ++j) {
      at::Tensor Q = at::zeros({K, K}, at::kDouble);
      Q[i][j] += i == j ? 0.5 : std::sqrt(0.5);
      Q = Q + Q.t();
      bias.push_back(p.sqrt().unsqueeze(1) * Q);  // row x is Q e_x
      half_diagonal.push_back(0.5 * Q.diagonal());
    }
  const at::Tensor C = at::stack(linear).reshape({-1, K * K});
  const at::Tensor B = at::stack(bias).reshape({-1, K * K});
  const at::Tensor d = J, b = at::stack(half_diagonal).matmul(J);  // a column for each r
  at::Tensor v;
  if (std::isinf(t)) {
    v = at::linalg_pinv(at::cat({C, B}), 1e-12).matmul(at::cat({d, b}));
  } else {
    const at::Tensor top =
        at::cat({at::eye(K * K, at::kDouble) + 2 * t * B.t().matmul(B), C.t()}, 1);
    const at::Tensor bottom = at::cat({C, at::zeros({K, K}, at::kDouble)}, 1);
    v = at::linalg_solve(at::cat({top, bottom}), at::cat({2 * t * B.t().matmul(b), d}))
            .slice(0, 0, K * K);
  }
  return v.reshape({K, K, K}).transpose(1, 2) / p.sqrt().reshape({K, 1, 1});
}

TEST(Mve, IsTheMinimiserThatItIsDefinedAs) {
  support::Random random(1);
  for (int64_t categories : {2, 3, 4})
    for (double t : {0.0, 0.3, 5.0, 40.0, kInfinity})
      for (int i = 0; i < 5; ++i) {
        const Row logits = random.normals(categories);
        const at::Tensor wanted = minimiser(logits, t);
        support::expect_near(rule_of(logits, gradthru::mve(t)), wanted,
                             1e-9 * std::max(1.0, support::max_abs(wanted)),
                             "K " + std::to_string(categories) + " t " + std::to_string(t));
      }
}

TEST(Mve, AtZeroIsStAndAtLargeTNearsInfinity) {
  const Cases cases(2, 60, 6);
  const double scale = support::max_abs(cases.g);
  for (double tau : {0.5, 1.0, 2.0}) {
    const auto mve = [&](double t) {
      return tau * cases.grad(gradthru::mve({.tau_f = tau, .t = t}));
    };
    support::expect_near(mve(0), tau * cases.grad(gradthru::st({.tau_f = tau, .tau_b = tau})),
                         1e-12 * scale, "st");
    support::expect_near(mve(1e7), mve(kInfinity), 1e-3 * scale, "1e7");
    support::expect_near(mve(1e300), mve(kInfinity), 1e-9 * scale, "1e300");
    EXPECT_GT(support::max_abs(mve(5) - mve(kInfinity)), kMeasurable);
  }
}

TEST(Mve, OfTwoCategoriesKeepsItsDigitsWhateverTheProbabilityOfTheSample) {
  // Where the sample is improbable, a solution with u_x = 0 is as large as 1/p_x.
  for (double a : {-600.0, -80.0, -30.0, -3.0, 0.4, 30.0, 600.0})
    for (int64_t index : {0, 1}) {
      const at::Tensor logits = support::matrix_from({{a, 0}}),
                       g = support::matrix_from({{1.5, 0}});
      const gradthru::SampleOptions replay = {.index = support::index_tensor({index}), .key = kKey};
      for (const char* spec : {"mve", "mve(5)", "mve_scalar(values=0.5:-1)"}) {
        const Estimator e = gradthru::parse_estimator(spec);
        const double expected =
            support::reference_of(e.method).binary(a, index == 0, 1.5, support::settings_of(e), {});
        support::expect_near(
            support::run(logits, e, replay, g).grad, support::matrix_from({{expected, -expected}}),
            1e-14 * std::max(std::abs(expected), 1e-12), std::string(spec) + std::to_string(a));
      }
    }
}

TEST(Mve, OfAnImprobableSampleStaysFiniteInEveryDtype) {
  const at::Tensor logits =
      support::matrix_from({{0, 1, -1, -50}, {0, 1, -1, -95}, {0, 1, -1, -800}});
  const at::Tensor g = support::matrix_from({{1, -2, 3, 4}, {1, -2, 3, 4}, {1, -2, 3, 4}});
  const gradthru::SampleOptions replay = {.index = support::index_tensor({3, 3, 3}), .key = kKey};
  const at::Tensor limit = support::run(logits, gradthru::mve(), replay, g).grad;
  support::expect_near(limit[1], limit[0], 1e-12, "p_x = 0 is what p_x -> 0 tends to");
  support::expect_near(limit[2], limit[0], 1e-12, "p_x = 0 is what p_x -> 0 tends to");
  EXPECT_GT(std::abs(limit[2][3].item<double>()), kMeasurable);
  for (const char* spec : {"mve", "mve(5)", "mve_scalar(values=0:1:2:5)"})
    for (at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const at::Tensor grad =
          support::run(logits.to(dtype), gradthru::parse_estimator(spec), replay, g.to(dtype)).grad;
      EXPECT_LE(support::max_abs(grad), 10) << spec << grad;
    }
}

TEST(Mve, IsSolvedInDoubleWhateverTheDtype) {
  Cases cases(3, 20, 7);
  cases.logits = cases.logits.to(at::kFloat);
  cases.g = cases.g.to(at::kFloat);
  for (double t : {0.7, kInfinity}) {
    const at::Tensor single = cases.grad(gradthru::mve(t));
    Cases wide = cases;
    wide.logits = cases.logits.to(at::kDouble);
    wide.g = cases.g.to(at::kDouble);
    support::expect_same_bits(single, wide.grad(gradthru::mve(t)).to(at::kFloat), "float");
  }
}

TEST(Mve, TakesAsManyCategoriesAsItSays) {
  const Cases most(4, 1, 1024);
  const double p_x = most.logits.softmax(1)[0][most.index[0].item<int64_t>()].item<double>();
  for (double t : {50.0, kInfinity}) {
    const Row expected =
        support::reference_grad(support::row_of(most.logits), most.index[0].item<int64_t>(),
                                support::row_of(most.g), gradthru::mve(t), kKey, 0);
    support::expect_near(most.grad(gradthru::mve(t))[0], support::tensor_of(expected), 1e-12 / p_x,
                         std::to_string(t));
  }
  const Cases beyond(4, 1, 1025);
  try {
    beyond.grad(gradthru::mve());
    ADD_FAILURE() << "1025 categories were accepted";
  } catch (const c10::Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("at most 1024 categories, got 1025"));
  }
}

/// The largest error of the mean of mve_scalar over random f of y of this degree.
double scalar_error(double t, int degree, uint64_t seed) {
  support::Random random(seed);
  double largest = 0;
  for (int64_t categories : {2, 3, 5, 8}) {
    const Row logits = random.normals(categories, support::kLogitScale);
    const Row phi = random.normals(categories), c = random.normals(3);
    const double tau = random.uniform(0.4, 2.5);
    Row values;
    support::GradientTable table;
    for (double y : phi) {
      const double square = degree >= 2 ? c[1] : 0, cube = degree >= 3 ? c[2] : 0;
      values.push_back(c[0] * y + square * y * y / 2 + cube * y * y * y / 6);
      table.push_back(reference::scaled(phi, c[0] + square * y + cube * y * y / 2));
    }
    const Estimator e = gradthru::mve_scalar({.tau_f = tau, .t = t, .values = phi});
    const Row mean = support::mean_gradient(logits, e, table);
    largest = std::max(
        largest, support::max_abs_difference(mean, support::exact_gradient(logits, tau, values)));
  }
  return largest;
}

TEST(MveScalar, IsExactInTheNumberThatFSees) {
  for (double t : {0.0, 0.5, 5.0, kInfinity}) EXPECT_LE(scalar_error(t, 1, 5), 1e-11) << t;
  EXPECT_LE(scalar_error(kInfinity, 2, 6), 1e-9);
  for (double t : {0.0, 5.0}) EXPECT_GT(scalar_error(t, 2, 6), kMeasurable) << t;
  EXPECT_GT(scalar_error(kInfinity, 3, 7), kMeasurable);
}

TEST(MveScalar, AtZeroIsStOfTheValues) {
  Cases cases(8, 40, 5);
  const Row phi = cases.random.normals(5);
  cases.g = cases.random.normal({40, 1}) * support::tensor_of(phi);
  support::expect_near(cases.grad(gradthru::mve_scalar({.tau_f = 0.8, .t = 0, .values = phi})),
                       cases.grad(gradthru::st({.tau_f = 0.8, .tau_b = 0.8})),
                       1e-12 * support::max_abs(cases.g), "st");
}

TEST(MveScalar, ADirectionThatFDoesNotSeeIsFittedByLeastSquares) {
  // g = h (phi - y) + something orthogonal to it: the same gradient as without.
  const Row phi = {0, 1, 2, 4}, seen = {-2, -1, 0, 2}, unseen = {1, -2, 0, 0};
  const at::Tensor logits = support::matrix_from({{0.3, -1, 0.2, 0.5}});
  const Estimator e = gradthru::mve_scalar({.t = 2, .values = phi});
  const gradthru::SampleOptions replay = {.index = support::index_tensor({2}), .key = kKey};
  const auto grad = [&](const Row& g) {
    return support::run(logits, e, replay, support::matrix_from({g})).grad;
  };
  support::expect_near(grad(reference::plus(seen, unseen)), grad(seen), 1e-14, "orthogonal");
  support::expect_near(grad(phi), grad(seen), 1e-14, "a constant");
}

TEST(MveScalar, EqualValuesHaveNoGradient) {
  const Cases cases(9, 10, 4);
  const Estimator e = gradthru::mve_scalar({.values = Row(4, 2.5)});
  support::expect_same_bits(cases.grad(e), at::zeros({10, 4}, at::kDouble), "categorical");
  const at::Tensor a = cases.logits.select(1, 0);
  support::expect_same_bits(support::run_binary(a, e, {.key = kKey}, at::ones_like(a)).grad,
                            at::zeros({10}, at::kDouble), "binary");
}

TEST(MveScalar, KeepsTheDigitsOfItsValuesInSinglePrecision) {
  Cases cases(10, 30, 4);
  cases.logits = cases.logits.to(at::kFloat);
  cases.g = cases.g.to(at::kFloat);
  for (double t : {5.0, kInfinity}) {
    const auto grad = [&](const Row& values) {
      return cases.grad(gradthru::mve_scalar({.t = t, .values = values}));
    };
    support::expect_near(grad({1e10, 1e10 + 1, 1e10 + 3, 1e10 + 2}),
                         grad({0, 1, 3, 2}).to(at::kDouble), 1e-5 * support::max_abs(cases.g),
                         "a common part");
  }
}

TEST(MveScalar, TheValueOfAMaskedCategoryDoesNotMatter) {
  const Cases cases(11, 30, 4);
  const at::Tensor mask = support::index_tensor({1, 1, 0, 1}).ne(0);
  for (double t : {0.0, 5.0, kInfinity}) {
    const auto grad = [&](double masked) {
      const Estimator e = gradthru::mve_scalar({.t = t, .values = Row{0, 1, masked, 2}});
      return support::run(cases.logits, e, {.mask = mask, .key = kKey}, cases.g).grad;
    };
    for (double masked : {-1e9, 1e200}) support::expect_same_bits(grad(masked), grad(0), "masked");
  }
}

TEST(MveScalar, WantsOneValueForEachCategory) {
  const at::Tensor logits = at::zeros({3, 4});
  for (const Row& values : {Row{0, 1, 2}, Row{0, 1, 2, 3, 4}}) {
    const Estimator e = gradthru::mve_scalar({.values = values});
    try {
      gradthru::sample(logits, e, {.key = kKey});
      ADD_FAILURE() << to_string(e) << " was accepted";
    } catch (const c10::Error& error) {
      EXPECT_THAT(error.what(),
                  testing::HasSubstr("values must have one number for each of the 4"));
    }
    EXPECT_THROW(gradthru::sample_binary(logits, e, {.key = kKey}), c10::Error);
  }
}

}  // namespace
