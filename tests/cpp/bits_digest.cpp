// Prints a name and the digest of the bits for many calls, under the instruction set that
// GRADTHRU_CPU names: bits_test compares what it prints.
#include <cstdio>
#include <exception>
#include <string>

#include "support/digest.h"

namespace {

using support::BitCase;

void print(const std::string& what, const std::string& digest) {
  std::printf("%s: %s\n", what.c_str(), digest.c_str());
}

/// The options that kernels look at, of a case with 37 rows.
BitCase with_options(BitCase c) {
  const int64_t rows = c.logits.size(0), K = c.logits.size(1);
  support::Random random(9);
  c.what += " with options";
  c.options.mask = random.integers({rows, K}, 0, 2).ne(0);
  c.options.samples = 2;
  c.g = at::stack({c.g, c.g.flip(0)});
  const gradthru::About about = gradthru::about(c.e.method);
  if (about.uniform_mix == gradthru::UniformMix::taken) c.options.uniform_mix = 0.25;
  const auto takes = [&](const char* key) {
    return std::find(about.parameters.begin(), about.parameters.end(), key) !=
           about.parameters.end();
  };
  const at::Tensor tau = random.integers({rows}, 1, 8).to(at::kDouble) / 4;
  if (takes("tau_f")) c.options.tau_f = tau;
  if (takes("tau_b")) c.options.tau_b = tau;
  return c;
}

void print_categorical(at::ScalarType dtype) {
  for (const gradthru::Estimator& e : support::sweep())
    for (const int64_t K : {2, 7, 64, 65, 130}) {
      if (K > support::most_categories(e)) continue;
      const BitCase c = support::bit_case(e, K > 64 ? 5 : 37, K, dtype);
      print(c.what, support::digest_of(c));
      const BitCase other = with_options(c);
      if (K == 7 || K == 130) print(other.what, support::digest_of(other));
    }
  for (const gradthru::Method method : gradthru::methods(gradthru::Family::pathwise)) {
    const gradthru::Estimator e = support::plain_estimator(method);
    for (const int64_t K : {1, 3, 4, 5, 16, 17, 33, 63, 80, 1000, 1025, 16389, 70001}) {
      if (K > support::most_categories(e)) continue;
      const BitCase c = support::bit_case(e, K > 10000 ? 2 : 37, K, dtype);
      print(c.what, support::digest_of(c));
    }
  }
}

void print_binary(at::ScalarType dtype) {
  for (const gradthru::Estimator& e : support::sweep()) {
    support::Random random(3);
    at::Tensor logits = random.normal({1003}, 2);
    logits.slice(0, 0, 1003, 9) *= 2000;
    gradthru::BinaryOptions options{.samples = 2, .key = support::kBitKey};
    const at::Tensor g = random.normal({2, 1003}, 1, dtype);
    print("binary " + to_string(e) + " " + c10::toString(dtype),
          support::digest_of(support::run_binary(logits.to(dtype), e, options, g)));
  }
}

}  // namespace

int main() try {
  for (const at::ScalarType dtype : support::kVectorDtypes) {
    print_categorical(dtype);
    print_binary(dtype);
  }
} catch (const std::exception& error) {
  std::printf("%s\n", error.what());
  return 1;
}
