#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "gradthru/categorical.h"
#include "reference_functions.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/rows.h"
#include "support/tolerance.h"

// The worked example of the specification, number by number: an error shared by the library and its
// reference would have to reproduce these digits too.
namespace {

using gradthru::Estimator;
using support::Row;

const Row kLogits = {.5, -1, 0, 1.5};
const Row kG = {1, -2, .5, 3};
constexpr int64_t kIndex = 2;
const Row kGumbels = {.3, -.2, 2.5, .4};
// The third stands for the Gumbels where a rule takes them from there.
const std::vector<Row> kExponentials = {
    {.7, .2, 1.1, .4},
    {1.5, .9, .3, .6},
    {std::exp(-.3), std::exp(.2), std::exp(-2.5), std::exp(-.4)}};
constexpr double kPrinted = 1e-9;

struct Printed {
  std::string spec;
  Row grad;
};

/// The rules that need no noise beyond the index.
const std::vector<Printed> kIndexBased = {
    {"st", {-.215816806, -.195340578, -.197581382, .608738766}},
    {"st(tau_f=2, tau_b=0.5)", {-.372488812, -.052464942, -.178803547, .603757301}},
    {"identity", {1, -2, .5, 3}},
    {"darn", {.325756627, .072686128, -1.283941076, .885498320}},
    {"zgr", {.054969910, -.061327225, -.740761229, .747118543}},
    {"zgr(tau_f=2)", {.032052198, -.075701930, -.220575967, .264225699}},
    {"st_zgr(alpha=0.5)", {-.080423448, -.128333901, -.469171305, .677928655}},
    {"reinmax(tau_f=1, tau_b=1.3)", {.080312859, -.138816633, -.616562282, .675066056}},
    {"reinmax(tau_f=2, tau_b=1.3)", {.010709586, -.015824688, -.313627860, .318742963}},
    {"reinmax_uniform", {-.188539642, -.180023671, -.239355073, .607918386}},
    {"mve(5)", {-.089957900, -.221462356, -.428170655, .739590912}},
    {"mve", {-.075086658, -.173138262, -.502826314, .751051234}},
    {"gst(tau_f=1, tau_b=0.7, gap=1)", {.015826651, -.078078395, -.407806825, .470058569}},
    {"gst(tau_f=1, tau_b=0.7, gap=p)", {.022091651, -.079665833, -.386954639, .444528821}},
    {"gst(tau_f=1, tau_b=0.7, gap=1, detach=false)", {.015826651, -.078078395, 0, .062251744}},
    {"gst(tau_f=2, tau_b=0.7, gap=1)", {.029485014, -.090988165, -.111547865, .173051016}}};

/// The Gumbel rules, with the noise of the example.
const std::vector<Printed> kNoisy = {
    {"gumbel_softmax(tau_f=2, tau_b=0.5)", {-.186154321, -.020097028, -.883313657, 1.089565006}},
    {"gumbel_softmax(0.5)", {-.003764889, -.002815792, -.861774905, .868355586}},
    {"gumbel_rao(2, tau=0.5)", {-.003417231, -.093868537, -.514353732, .611639500}},
    {"gumbel_rao(2, tau_f=2, tau_b=0.5)", {-.161678953, -.070119097, -.822008858, 1.053806908}},
    {"reinmax_rao(tau=0.7, samples=2)", {.110073055, -.048623053, -.570265165, .508815163}},
    {"reinmax_cv(tau=0.7, samples=2, eta=1.5, draw=free)",
     {.052691461, -.169776829, -1.137635226, 1.254720594}},
    {"reinmax_cv(tau=0.7, samples=1, eta=1.5)",
     {.051960859, -.269816648, -1.228602904, 1.446458692}}};

/// What f passes on where it sees one number: h = 1.3 times the values.
const std::vector<Printed> kScalar = {
    {"mve_scalar(t=5, values=0:1:2:3)", {-.631076636, -.070111777, -.010091772, .711280186}},
    {"mve_scalar(values=0:1:2:3)", {-.632943270, -.070071330, -.009511750, .712526350}}};
const Row kScalarG = {0, 1.3, 2.6, 3.9};

void expect_row(const Row& actual, const Row& expected, const std::string& what) {
  support::expect_near(support::tensor_of(actual), support::tensor_of(expected), kPrinted, what);
}

Row reference_of_spec(const std::string& spec, const Row& g = kG) {
  const Estimator e = gradthru::parse_estimator(spec);
  return support::reference_of(e.method).grad(kLogits, kIndex, g, support::settings_of(e),
                                              reference::listed_noise(kGumbels, kExponentials));
}

TEST(WorkedExample, Softmax) {
  expect_row(reference::softmax(kLogits), {.219879642, .049061780, .133363744, .597694834},
             "softmax");
}

TEST(WorkedExample, ReferenceOfIndexBasedRules) {
  for (const Printed& row : kIndexBased)
    expect_row(reference_of_spec(row.spec), row.grad, row.spec);
}

TEST(WorkedExample, LibraryOfIndexBasedRules) {
  const at::Tensor logits = support::tensor_of(kLogits).unsqueeze(0);
  const at::Tensor g = support::tensor_of(kG).unsqueeze(0);
  for (const Printed& row : kIndexBased) {
    const gradthru::SampleOptions replay = {.index = support::index_tensor({kIndex})};
    const support::Outcome run =
        support::run(logits, gradthru::parse_estimator(row.spec), replay, g);
    expect_row(support::row_of(run.grad), row.grad, row.spec);
    expect_row(support::row_of(run.drawn.onehot), {0, 0, 1, 0}, row.spec);
  }
}

TEST(WorkedExample, ScalarRules) {
  const at::Tensor logits = support::tensor_of(kLogits).unsqueeze(0);
  const at::Tensor g = support::tensor_of(kScalarG).unsqueeze(0);
  for (const Printed& row : kScalar) {
    expect_row(reference_of_spec(row.spec, kScalarG), row.grad, row.spec);
    const gradthru::SampleOptions replay = {.index = support::index_tensor({kIndex})};
    expect_row(
        support::row_of(support::run(logits, gradthru::parse_estimator(row.spec), replay, g).grad),
        row.grad, row.spec);
  }
}

TEST(WorkedExample, LibraryBackwardAccumulatesIntoTheLeaf) {
  const at::Tensor logits = support::leaf(support::tensor_of(kLogits).unsqueeze(0));
  const gradthru::SampleOptions replay = {.index = support::index_tensor({kIndex})};
  for (int pass = 0; pass < 2; ++pass) {
    const gradthru::Sample z = gradthru::sample(logits, gradthru::zgr(), replay);
    torch::autograd::backward({z.onehot}, {support::tensor_of(kG).unsqueeze(0)});
  }
  expect_row(support::row_of(logits.grad()), reference::scaled(reference_of_spec("zgr"), 2),
             "twice zgr");
}

TEST(WorkedExample, ReferenceOfNoisyRules) {
  for (const Printed& row : kNoisy) expect_row(reference_of_spec(row.spec), row.grad, row.spec);
}

TEST(WorkedExample, IndexOfBothConventions) {
  const reference::Noise noise = reference::listed_noise(kGumbels, kExponentials);
  for (const char* spec : {"gumbel_softmax(tau_f=2, tau_b=0.5)", "gumbel_softmax(0.5)"}) {
    const reference::Settings e = support::settings_of(gradthru::parse_estimator(spec));
    EXPECT_EQ(reference::gumbel_argmax(kLogits, e, noise), kIndex) << spec;
  }
}

TEST(WorkedExample, ConditionalPerturbedLogits) {
  expect_row(reference::conditional_perturbed(kLogits, kIndex, kExponentials[0]),
             {.559890560, .370547171, 1.919364786, 1.444126111}, "conditional");
}

}  // namespace
