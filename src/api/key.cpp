#include "gradthru/key.h"

#include <ATen/CPUGeneratorImpl.h>

#include <mutex>

namespace gradthru {

Key key_from(const std::optional<at::Generator>& generator) {
  auto* cpu = at::get_generator_or_default<at::CPUGeneratorImpl>(
      generator, at::detail::getDefaultCPUGenerator());
  std::lock_guard<std::mutex> lock(cpu->mutex_);
  return {.seed = cpu->random64()};
}

}  // namespace gradthru
