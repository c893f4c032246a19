#include <ATen/Dispatch.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "gradthru/bernoulli.h"
#include "gradthru/categorical.h"
#include "support/gradient.h"
#include "support/soak_case.h"

// Very many draws of every estimator and dtype, of which each element is looked at. The default run
// is short; GRADTHRU_SOAK_DRAWS asks for more (`./dev soak`: a billion each).
namespace {

using gradthru::Estimator;
using gradthru::Key;
using gradthru::Method;

int64_t wanted_draws() {
  const char* text = std::getenv("GRADTHRU_SOAK_DRAWS");
  return text == nullptr ? 400000 : std::strtoll(text, nullptr, 10);
}

/// Rows in lanes up to 64 categories, along the vector beyond.
constexpr int64_t kMostLanes = 64;
const std::vector<int64_t> kVectorSizes = {65, 66, 79, 80, 81, 127, 128, 129, 255, 257, 1000, 1025};

constexpr int64_t kRoundCells = 40000;  // of one call, all samples
constexpr int64_t kSamples = 8;

/// Calls with the same logits; making those costs as much as several calls.
int64_t keys() {
  return wanted_draws() < 10000000 ? 4 : 16;
}

class Soak : public testing::TestWithParam<std::tuple<Method, at::ScalarType>> {
 protected:
  Method method() const { return std::get<0>(GetParam()); }
  at::ScalarType dtype() const { return std::get<1>(GetParam()); }

  /// What divides by the probability of the drawn category may exceed the range of float16.
  bool may_overflow(const Estimator& e) const {
    return dtype() == at::kHalf && support::divides_by_probability(e);
  }

  int64_t round_number_ = 0;
  at::Generator generator_ = at::detail::createCPUGenerator(1000 * static_cast<uint64_t>(method()) +
                                                            static_cast<uint64_t>(dtype()));

  int64_t integer(int64_t end) {
    return at::randint(0, end, {1}, generator_, at::TensorOptions(at::kLong)).item<int64_t>();
  }
  Key key() {
    return {.seed = static_cast<uint64_t>(integer(int64_t{1} << 62)),
            .offset = static_cast<uint64_t>(integer(int64_t{1} << 40)),
            .row0 = integer(int64_t{1} << 40)};
  }
  /// The settings of the method in turn.
  Estimator next_setting() {
    const std::vector<Estimator> settings = support::sweep(method());
    return settings[static_cast<size_t>(round_number_) % settings.size()];
  }
};

class Categorical : public Soak {
 protected:
  int64_t next_size(const Estimator& e) {
    const int64_t round = round_number_;
    if (round % 16 == 15 && support::most_categories(e) > kMostLanes)
      return kVectorSizes[static_cast<size_t>(integer(static_cast<int64_t>(kVectorSizes.size())))];
    return 1 + integer(round % 4 == 3 ? kMostLanes : 8);  // draws of few categories cost least
  }

  std::string fault_of(const support::SoakRows& rows, const gradthru::Sample& drawn,
                       const Estimator& e) const {
    std::string fault;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype(), "soak", [&] {
      fault = support::fault_in_draws(rows, drawn.index.const_data_ptr<int64_t>(),
                                      drawn.onehot.const_data_ptr<scalar_t>(), kSamples, e.hard);
    });
    return fault;
  }

  std::string gradient_fault(const support::SoakRows& rows, const at::Tensor& grad,
                             const Estimator& e) const {
    std::string fault;
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype(), "soak", [&] {
      fault = support::fault_in_gradient(rows, grad.const_data_ptr<scalar_t>(), grad.size(0),
                                         may_overflow(e));
    });
    return fault;
  }

  /// Rows whose backward is run: the solver of mve takes K^3.
  static int64_t backward_rows(const Estimator& e, int64_t rows, int64_t K) {
    if (e.method != Method::mve) return rows;
    return std::min(rows, std::max<int64_t>(1, 200000 / (K * K * K)));
  }

  /// One set of logits under several keys; the draws that were looked at.
  int64_t round() {
    const Estimator setting = next_setting();
    const int64_t K = next_size(setting);
    const Estimator e = support::for_categories(setting, K);
    const int64_t N = std::max<int64_t>(1, kRoundCells / kSamples / K) + integer(17);
    const bool across = integer(4) == 0;  // dim = 0
    const at::Tensor logits = support::soak_logits(N, K, dtype(), generator_);
    const at::Tensor place = across ? logits.t().contiguous() : logits;
    gradthru::SampleOptions options{.dim = across ? 0 : -1, .samples = kSamples};
    std::optional<at::Tensor> mask;
    if (integer(3) == 0) {
      mask = at::rand({N, K}, generator_).gt(0.4);
      options.mask = across ? mask->t() : *mask;
    }
    if (gradthru::about(method()).uniform_mix == gradthru::UniformMix::taken && integer(4) == 0)
      options.uniform_mix = 0.1;
    const double span =
        options.uniform_mix > 0 ? 1e30 : support::kReach * support::sampling_tau(e) + 1;
    const support::SoakRows rows = support::soak_rows(logits, mask, span);
    at::Tensor g = at::randn({kSamples, N, K}, generator_).to(dtype());
    g = at::where(logits.gt(support::kMinusInfinity), g, at::full({}, NAN, g.options()));
    for (int64_t i = 0; i < keys(); ++i) {
      options.key = key();
      const std::string fault = look(place, rows, e, options, g, across);
      EXPECT_EQ(fault, "") << to_string(e) << " K=" << K << " rows=" << N << " across=" << across
                           << " mask=" << mask.has_value() << " mix=" << options.uniform_mix
                           << " seed=" << options.key->seed << " offset=" << options.key->offset
                           << " row0=" << options.key->row0 << " round=" << round_number_;
      if (fault != "") return 0;
    }
    return N * kSamples * keys();
  }

  std::string look(const at::Tensor& logits, const support::SoakRows& rows, const Estimator& e,
                   const gradthru::SampleOptions& options, const at::Tensor& g, bool across) {
    const auto rows_last = [&](const at::Tensor& t) {
      return across ? t.movedim(-2, -1).contiguous() : t;
    };
    const at::Tensor input = support::leaf(logits);
    gradthru::Sample drawn = gradthru::sample(input, e, options);
    const at::Tensor output = drawn.onehot;
    drawn.onehot = rows_last(output.detach());
    const std::string fault = fault_of(rows, drawn, e);
    if (fault != "") return fault;
    const int64_t N = g.size(1), count = backward_rows(e, N, rows.K);
    if (count == N) {
      const at::Tensor arriving = across ? g.movedim(-1, -2) : g;
      return gradient_fault(rows, rows_last(support::gradient(output, input, arriving)), e);
    }
    gradthru::SampleOptions some = options;
    some.dim = -1;
    if (some.mask) some.mask = (across ? some.mask->t() : *some.mask).slice(0, 0, count);
    const at::Tensor few = rows_last(logits).slice(0, 0, count);
    return gradient_fault(rows, support::run(few, e, some, g.slice(1, 0, count)).grad, e);
  }
};

TEST_P(Categorical, FindsNothing) {
  for (int64_t draws = 0; draws < wanted_draws() && !HasFailure(); ++round_number_)
    draws += round();
}

class Binary : public Soak {
 protected:
  int64_t round() {
    const Estimator e = support::for_categories(next_setting(), 2);
    const int64_t N = 5000 + integer(17);
    const at::Tensor logits = support::soak_logits(N, 1, dtype(), generator_).flatten();
    const at::Tensor g = at::randn({kSamples, N}, generator_).to(dtype());
    gradthru::BinaryOptions options{.samples = kSamples};
    if (integer(2) == 0) options.coding = gradthru::Coding::plus_minus_one;
    if (gradthru::about(method()).uniform_mix == gradthru::UniformMix::taken && integer(4) == 0)
      options.uniform_mix = 0.1;
    for (int64_t i = 0; i < keys(); ++i) {
      options.key = key();
      const support::BinaryOutcome run = support::run_binary(logits, e, options, g);
      const std::string fault = fault_of(run, logits, e, options);
      EXPECT_EQ(fault, "") << to_string(e) << " mix=" << options.uniform_mix
                           << " coding=" << static_cast<int>(options.coding)
                           << " seed=" << options.key->seed << " offset=" << options.key->offset
                           << " row0=" << options.key->row0 << " round=" << round_number_;
      if (fault != "") return 0;
    }
    return N * kSamples * keys();
  }

  std::string fault_of(const support::BinaryOutcome& run, const at::Tensor& logits,
                       const Estimator& e, const gradthru::BinaryOptions& options) const {
    const double off = options.coding == gradthru::Coding::zero_one ? 0 : -1;
    const at::Tensor value = run.value.to(at::kFloat);
    const at::Tensor good =
        e.hard ? value.eq(off).logical_or(value.eq(1)) : value.ge(off).logical_and(value.le(1));
    if (!good.all().item<bool>()) return "a sample has neither value";
    const at::Tensor finite =
        may_overflow(e) ? run.grad.isnan().logical_not() : run.grad.isfinite();
    if (!finite.all().item<bool>()) return "a gradient is not finite";
    if (!e.hard || options.uniform_mix > 0) return "";
    const double reach = support::kReach * support::sampling_tau(e) + 1;
    const at::Tensor a = logits.to(at::kFloat);
    if (a.gt(reach).logical_and(value.ne(1)).any().item<bool>()) return "an impossible 0";
    return a.lt(-reach).logical_and(value.eq(1)).any().item<bool>() ? "an impossible 1" : "";
  }
};

TEST_P(Binary, FindsNothing) {
  for (int64_t draws = 0; draws < wanted_draws() && !HasFailure(); ++round_number_)
    draws += round();
}

const auto kEvery =
    testing::Combine(testing::ValuesIn(gradthru::methods(gradthru::Family::pathwise)),
                     testing::Values(at::kDouble, at::kFloat, at::kHalf, at::kBFloat16));
std::string case_name(const testing::TestParamInfo<std::tuple<Method, at::ScalarType>>& tested) {
  const auto [method, dtype] = tested.param;
  return std::string(gradthru::name(method)) + "_" + c10::toString(dtype);
}

INSTANTIATE_TEST_SUITE_P(Soak, Categorical, kEvery, case_name);
INSTANTIATE_TEST_SUITE_P(Soak, Binary, kEvery, case_name);

}  // namespace
