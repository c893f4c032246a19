// Compiled once for each instruction set, with the flags of the kernels.
#define HWY_COMPILE_ONLY_STATIC
#include "support/vector_functions.h"

#include "cpu/simd/row_in_vector.h"
#include "cpu/simd/rows_in_lanes.h"

namespace vector_functions {
namespace {

namespace simd = gradthru::cpu::HWY_NAMESPACE;

template <class Function>
void each16(const float* x, float* y, int64_t n, const Function& function) {
  for (int64_t i = 0; i < n; i += 16) simd::store16(function(simd::load16(x + i)), y + i);
}

void exp(const float* x, float* y, int64_t n) {
  each16(x, y, n, [](const simd::Floats& v) { return simd::exp16(v); });
}

void log(const float* x, float* y, int64_t n) {
  each16(x, y, n, [](const simd::Floats& v) { return simd::log16(v); });
}

void log1p(const float* x, float* y, int64_t n) {
  each16(x, y, n, [](const simd::Floats& v) { return simd::log1p16(v); });
}

void log_of_high_words(const uint32_t* h, float* y, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    simd::Uints words;
    for (int p = 0; p < simd::kParts; ++p)
      words.part[p] = simd::hn::LoadU(simd::UintTag(), h + i + p * simd::kWidth);
    simd::Floats logs;
    simd::log_of_cells<1>(&words, [](int, int) { return 0x80000000u; }, &logs);
    simd::store16(logs, y + i);
  }
}

void exponentials_of_rows(uint64_t seed, uint64_t offset, Cell first, float* y) {
  const simd::RowsInLanes tile(seed);
  const simd::RowsInLanes::Stream stream{seed, offset, first.row};
  simd::Floats last = simd::floats(0);
  for (int64_t k = 0; k <= static_cast<int64_t>(first.column); ++k)
    last = tile.exponential(stream, k);
  simd::store16(last, y);
}

void exponentials_of_columns(uint64_t seed, uint64_t offset, Cell first, float* y) {
  simd::NoiseColumns noise;
  const simd::RowInVector::Stream stream{seed, offset, first.row};
  const simd::FullCursor cursor{static_cast<int64_t>(first.column), &noise};
  const simd::RowInVector tile(seed, nullptr, nullptr);
  simd::store16(tile.exponential(stream, cursor), y);
}

}  // namespace

#define GRADTHRU_NAME_OF(set) set##_functions
#define GRADTHRU_FUNCTIONS(set) GRADTHRU_NAME_OF(set)
extern const Functions GRADTHRU_FUNCTIONS(GRADTHRU_TEST_SET_NAME);
const Functions GRADTHRU_FUNCTIONS(GRADTHRU_TEST_SET_NAME) = {
    GRADTHRU_TARGET,         &exp, &log, &log1p, &log_of_high_words, &exponentials_of_rows,
    &exponentials_of_columns};

}  // namespace vector_functions
