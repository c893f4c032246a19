#pragma once

#include <cstdint>
#include <vector>

#include "gradthru/key.h"

// Cells of the random numbers deep in the tails: those whose high word is all zeros or all ones,
// among the first four columns of 2^35 rows. A search for them takes minutes.
namespace support {

inline constexpr gradthru::Key kDeepKey{.seed = 20240, .offset = 99};

struct DeepCell {
  uint64_t row;
  uint64_t column;
};

/// v and u below 2^-32.
inline const std::vector<DeepCell> kLowCells = {
    {3311345213, 0},  {3956093861, 0},  {8542061714, 0},  {11363045000, 0},
    {12603238418, 0}, {16180346583, 0}, {18032807954, 0}, {30254479892, 0},
    {57626723, 2},    {3239893227, 3},  {3668061445, 2},  {4428928979, 2}};

/// v and u above 1 - 2^-32.
inline const std::vector<DeepCell> kHighCells = {
    {3268609076, 0},  {14179840349, 0}, {18637658871, 0}, {20748781519, 0},
    {21942869967, 0}, {22425210407, 0}, {25924433382, 0}, {28112045731, 0},
    {452224999, 2},   {763657794, 2},   {852139791, 3},   {2029376284, 3}};

/// The first eight are of column 0, where indices are drawn.
inline constexpr size_t kIndexCells = 8;

}  // namespace support
