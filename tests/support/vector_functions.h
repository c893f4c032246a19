#pragma once

#include <cstdint>

// The vector functions of one instruction set, on arrays: what functions_test measures.
namespace vector_functions {

/// A cell of the random numbers: (row, column).
struct Cell {
  uint64_t row, column;
};

struct Functions {
  const char* name;
  void (*exp)(const float* x, float* y, int64_t n);  ///< n a multiple of 16, as below
  void (*log)(const float* x, float* y, int64_t n);
  void (*log1p)(const float* x, float* y, int64_t n);
  void (*log_of_high_words)(const uint32_t* h, float* y, int64_t n);  ///< log v, low words 2^31
  /// The exponentials of sixteen rows from `row` in one column, and of sixteen columns from
  /// `column`, a multiple of 16, of one row.
  void (*exponentials_of_rows)(uint64_t seed, uint64_t offset, Cell first, float* y);
  void (*exponentials_of_columns)(uint64_t seed, uint64_t offset, Cell first, float* y);
};

/// Compiled for each instruction set that the library has; the machine may lack some.
// One GRADTHRU_TEST_SET(name) for each in GRADTHRU_TEST_SETS.
#define GRADTHRU_TEST_SET(set) extern const Functions set##_functions;
GRADTHRU_TEST_SETS
#undef GRADTHRU_TEST_SET

}  // namespace vector_functions
