#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/estimators.h"
#include "support/gradient.h"
#include "support/random.h"
#include "support/rows.h"
#include "support/tolerance.h"

// The backward as a citizen of autograd: equal to a plain-Torch surrogate with the same noise, and
// refusing what it cannot give.
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::Noise;
using gradthru::sample;
using gradthru::Sample;
using gradthru::SampleOptions;
using gradthru::to_string;
using support::Outcome;
using support::Row;

constexpr Key kKey{.seed = 2718, .offset = 28};
constexpr int64_t kRows = 20, kCategories = 6;

using Surrogate = std::function<at::Tensor(const at::Tensor& logits, const at::Tensor& index)>;

/// The library's gradient against autograd's for <g, surrogate>.
void expect_equals_autograd(const Estimator& e, const Surrogate& surrogate) {
  support::Random random(1);
  const at::Tensor logits = random.normal({kRows, kCategories}, support::kLogitScale);
  const at::Tensor g = random.normal({kRows, kCategories});
  const Outcome run = support::run(logits, e, {.key = kKey}, g);
  const at::Tensor input = support::leaf(logits);
  const at::Tensor relaxed = surrogate(input, run.drawn.index);
  const at::Tensor expected = torch::autograd::grad({(relaxed * g).sum()}, {input})[0];
  support::expect_near(run.grad, expected, 1e-12 * support::max_abs(g), to_string(e));
}

at::Tensor noise_matrix(uint64_t offset, double (*transform)(uint64_t)) {
  std::vector<Row> rows;
  for (uint64_t n = 0; n < kRows; ++n) {
    rows.emplace_back();
    for (uint64_t k = 0; k < kCategories; ++k)
      rows.back().push_back(transform(reference::cell(kKey.seed, offset, n, k)));
  }
  return support::matrix_from(rows);
}

TEST(Surrogate, StraightThrough) {
  for (double tau_b : {0.5, 1.0, 1.3})
    expect_equals_autograd(
        gradthru::st({.tau_f = 0.7, .tau_b = tau_b}),
        [&](const at::Tensor& logits, const at::Tensor&) { return (logits / tau_b).softmax(-1); });
}

at::Tensor gumbel_softmax_surrogate(const at::Tensor& logits, const Estimator& e) {
  const at::Tensor gumbels = noise_matrix(kKey.offset, &reference::gumbel_of);
  const double tau_b = e.tau_b.start;
  return (e.noise == Noise::scaled_sum ? (logits + gumbels) / tau_b : logits / tau_b + gumbels)
      .softmax(-1);
}

TEST(Surrogate, GumbelSoftmaxHardAndSoft) {
  for (Noise noise : {Noise::scaled_sum, Noise::scaled_logits})
    for (bool hard : {true, false}) {
      const Estimator e =
          gradthru::gumbel_softmax({.tau_f = 0.6, .tau_b = 0.6, .noise = noise, .hard = hard});
      expect_equals_autograd(e, [&](const at::Tensor& logits, const at::Tensor&) {
        return gumbel_softmax_surrogate(logits, e);
      });
    }
}

/// The conditional perturbed logits minus the logits, as numbers.
at::Tensor detached_perturbation(const at::Tensor& sampling_logits, const at::Tensor& index,
                                 uint64_t offset) {
  const at::Tensor exponentials = noise_matrix(offset, &reference::exponential_of);
  const at::Tensor log_z = sampling_logits.logsumexp(-1, true);
  const at::Tensor log_e_x = exponentials.gather(-1, index.unsqueeze(-1)).log();
  const at::Tensor others = -at::logaddexp(exponentials.log() - sampling_logits, log_e_x - log_z);
  const at::Tensor winner = (log_z - log_e_x).expand_as(others);
  const at::Tensor is_winner = at::one_hot(index, kCategories).to(at::kBool);
  return (at::where(is_winner, winner, others) - sampling_logits).detach();
}

TEST(Surrogate, GumbelRaoWithDetachedNoise) {
  for (Noise noise : {Noise::scaled_sum, Noise::scaled_logits}) {
    const Estimator e =
        gradthru::gumbel_rao({.tau_f = 2, .tau_b = 0.7, .noise = noise, .samples = 3});
    expect_equals_autograd(e, [&](const at::Tensor& logits, const at::Tensor& index) {
      at::Tensor sum = at::zeros_like(logits);
      for (uint64_t m = 0; m < 3; ++m) {
        const bool scaled = noise == Noise::scaled_logits;
        const at::Tensor shift =
            detached_perturbation(scaled ? logits / 2 : logits, index, kKey.offset + 1 + m);
        sum = sum + (scaled ? logits / 0.7 + shift : (logits + shift) / 0.7).softmax(-1);
      }
      return sum / 3;
    });
  }
}

at::Tensor gst_perturbed(const at::Tensor& logits, const at::Tensor& index, const Estimator& e) {
  const at::Tensor p =
      (logits / e.tau_f.start).softmax(-1).gather(-1, index.unsqueeze(-1)).detach();
  const at::Tensor clamped = p.clamp_max(1 - 1e-5);
  const at::Tensor gap =
      e.gap == gradthru::kGapP ? -(-clamped).log1p() / clamped : at::full_like(p, e.gap);
  const at::Tensor largest = std::get<0>(logits.max(-1, true));
  const at::Tensor lowered = at::minimum(logits, largest - e.tau_f.start * gap);
  const at::Tensor is_winner = at::one_hot(index, kCategories).to(at::kBool);
  return at::where(is_winner, largest.expand_as(logits), lowered);
}

TEST(Surrogate, GappedStraightThrough) {
  for (double gap : {0.5, 1.0, gradthru::kGapP})
    for (bool detach : {true, false}) {
      const Estimator e = gradthru::gst({.tau_f = 1.2, .tau_b = 0.7, .gap = gap, .detach = detach});
      expect_equals_autograd(e, [&](const at::Tensor& logits, const at::Tensor& index) {
        const at::Tensor perturbed = gst_perturbed(logits, index, e);
        const at::Tensor through = logits + (perturbed - logits).detach();
        return ((detach ? through : perturbed) / 0.7).softmax(-1);
      });
    }
}

class Autograd : public testing::TestWithParam<Estimator> {
 protected:
  support::Random random{2};
  at::Tensor logits = support::leaf(random.normal({kRows, kCategories}));
  at::Tensor g = random.normal({kRows, kCategories});
};

TEST_P(Autograd, TwiceWithRetainedGraphGivesEqualBits) {
  const Sample z = sample(logits, GetParam(), {.key = kKey});
  const at::Tensor first = torch::autograd::grad({z.onehot}, {logits}, {g}, true)[0];
  const at::Tensor second = torch::autograd::grad({z.onehot}, {logits}, {g})[0];
  support::expect_same_bits(first, second, to_string(GetParam()));
}

TEST_P(Autograd, IndexHasNoGradient) {
  const Sample z = sample(logits, GetParam(), {.key = kKey});
  EXPECT_FALSE(z.index.requires_grad());
  EXPECT_TRUE(z.onehot.requires_grad());
  EXPECT_FALSE(sample(logits.detach(), GetParam(), {.key = kKey}).onehot.requires_grad());
}

/// Runs `call`, which must fail with a message that says that a second derivative was refused; not
/// one of Torch's about a missing or unused graph, which would follow from a silent zero.
template <typename Call>
void expect_refused(const Call& call, const std::string& pattern, const std::string& what) {
  try {
    call();
    ADD_FAILURE() << what << " was accepted";
  } catch (const std::exception& error) {
    const std::string message = error.what();
    EXPECT_THAT(message, testing::ContainsRegex(pattern)) << what;
    EXPECT_THAT(message, testing::Not(testing::HasSubstr("does not require grad"))) << what;
    EXPECT_THAT(message, testing::Not(testing::HasSubstr("have been used in the graph"))) << what;
  }
}

TEST_P(Autograd, SecondOrderForTheLogitsIsRefused) {
  const Sample z = sample(logits, GetParam(), {.key = kKey});
  expect_refused(
      [&] {
        const at::Tensor grad = torch::autograd::grad({z.onehot}, {logits}, {g}, true, true)[0];
        torch::autograd::grad({grad.pow(2).sum()}, {logits});
      },
      "[Ss]econd|[Tt]wice|[Dd]ouble", to_string(GetParam()));
}

TEST_P(Autograd, SecondOrderForTheIncomingGradientIsRefused) {
  const Sample z = sample(logits, GetParam(), {.key = kKey});
  const at::Tensor incoming = support::leaf(g);
  expect_refused(
      [&] {
        const at::Tensor grad =
            torch::autograd::grad({z.onehot}, {logits}, {incoming}, true, true)[0];
        torch::autograd::grad({grad.pow(2).sum()}, {incoming});
      },
      "[Ss]econd|[Tt]wice|[Dd]ouble", to_string(GetParam()));
}

TEST_P(Autograd, ForwardModeIsRefused) {
  const uint64_t level = torch::autograd::forward_ad::enter_dual_level();
  const int64_t number = static_cast<int64_t>(level);
  const at::Tensor dual = at::_make_dual(logits.detach(), at::ones_like(g), number);
  expect_refused([&] { sample(dual, GetParam(), {.key = kKey}); }, "[Ff]orward",
                 to_string(GetParam()));
  const at::Tensor binary = at::_make_dual(g.detach(), at::ones_like(g), number);
  const Estimator pair = support::for_categories(GetParam(), 2);
  expect_refused([&] { gradthru::sample_binary(binary, pair, {.key = kKey}); }, "[Ff]orward",
                 to_string(GetParam()));
  torch::autograd::forward_ad::exit_dual_level(level);
}

TEST_P(Autograd, ChangedLogitsAreDetected) {
  const at::Tensor changed = logits * 1;
  const Sample z = sample(changed, GetParam(), {.key = kKey});
  changed.mul_(2);
  expect_refused([&] { torch::autograd::grad({z.onehot}, {logits}, {g}); }, "inplace",
                 to_string(GetParam()));
}

TEST_P(Autograd, SameKeyGivesSameBits) {
  const Sample z = sample(logits, GetParam(), {.key = kKey});
  const Outcome drawn = support::run(logits, GetParam(), {.key = kKey}, g);
  support::expect_same_bits(drawn.drawn.index, z.index, to_string(GetParam()));
  support::expect_same_bits(drawn.grad, torch::autograd::grad({z.onehot}, {logits}, {g})[0],
                            to_string(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Sweep, Autograd, testing::ValuesIn(support::sweep_for(kCategories)),
                         [](const auto& tested) { return support::test_name(tested.param); });

/// For rules whose noise does not depend on whether the index was drawn.
TEST(Replay, OfADrawnIndexGivesEqualBits) {
  support::Random random(3);
  const at::Tensor logits = random.normal({kRows, kCategories});
  const at::Tensor g = random.normal({kRows, kCategories});
  std::vector<Estimator> estimators = support::sweep();
  std::erase_if(estimators, [](const Estimator& e) {
    return support::draw_of(e.method) == support::Draw::gumbel;
  });
  for (const Estimator& e : estimators) {
    const Outcome drawn = support::run(logits, e, {.key = kKey}, g);
    const SampleOptions replay = {.index = drawn.drawn.index, .key = kKey};
    support::expect_same_bits(support::run(logits, e, replay, g).grad, drawn.grad, to_string(e));
  }
}

}  // namespace
