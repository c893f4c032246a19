// Chooses the instruction set, once per process.
#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

#include "cpu/simd/kernels.h"
#include "cpu/simd/logic_kernels.h"
#include "cpu/simd/psa_kernels.h"

namespace gradthru::cpu {

#define GRADTHRU_TARGET_TABLE(space)   \
  namespace space {                    \
  extern const Kernels kTable;         \
  extern const PsaTable kPsaTable;     \
  extern const LogicTable kLogicTable; \
  }
GRADTHRU_TARGET_TABLES
#undef GRADTHRU_TARGET_TABLE

namespace {

bool machine_has(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512") {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
  if (name == "avx2") {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c");
  }
#endif
  return name == "baseline";
}

const Kernels& choose() {
#define GRADTHRU_TARGET_TABLE(space) &space::kTable,
  static const std::array tables = {GRADTHRU_TARGET_TABLES};
#undef GRADTHRU_TARGET_TABLE
  const char* wanted = std::getenv("GRADTHRU_CPU");
  std::string known;
  for (const Kernels* table : tables) {  // the best first
    if (!machine_has(table->name)) continue;
    if (wanted == nullptr || *wanted == 0 || std::string_view(wanted) == table->name) return *table;
    known += std::string(known.empty() ? "" : ", ") + table->name;
  }
  TORCH_CHECK_VALUE(false, "GRADTHRU_CPU must be one of ", known, ", got ", wanted);
}

/// The table of the instruction set that was chosen.
template <class Table, size_t count>
const Table& chosen_of(const std::array<const Table*, count>& tables) {
  const std::string_view name = kernels().name;
  return **std::find_if(tables.begin(), tables.end(),
                        [&](const Table* table) { return table->name == name; });
}

}  // namespace

const PsaTable& psa_kernels() {
#define GRADTHRU_TARGET_TABLE(space) &space::kPsaTable,
  static const PsaTable& chosen = chosen_of(std::array{GRADTHRU_TARGET_TABLES});
#undef GRADTHRU_TARGET_TABLE
  return chosen;
}

const LogicTable& logic_kernels() {
#define GRADTHRU_TARGET_TABLE(space) &space::kLogicTable,
  static const LogicTable& chosen = chosen_of(std::array{GRADTHRU_TARGET_TABLES});
#undef GRADTHRU_TARGET_TABLE
  return chosen;
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace gradthru::cpu
