#include <algorithm>
#include <stdexcept>

#include "experiments/decoupled/binary_autoencoder.h"
#include "experiments/decoupled/binary_network.h"
#include "experiments/decoupled/categorical.h"
#include "experiments/decoupled/logic_network.h"
#include "experiments/decoupled/task.h"

namespace gradthru::experiments::decoupled {
namespace {

TaskEntry vae_entry(const std::string& latent) {
  return {.name = "vae-" + latent,
          .latent = latent,
          .batch = 100,
          .small = {512, 256},
          .full = {512, 256},
          .make = [latent](const TaskSetting& s) { return make_vae(latent, s); }};
}

}  // namespace

const std::vector<TaskEntry>& tasks() {
  static const std::vector<TaskEntry> all = {
      {.name = "cat-ae", .small = {256}, .full = {512, 256}, .make = make_categorical_autoencoder},
      {.name = "binary-ae",
       .small = {16, 32},
       .full = {64, 128},
       .fewest = 2,
       .most = 2,
       .binary = true,
       .make = make_binary_autoencoder},
      vae_entry("8x4"),
      vae_entry("16x12"),
      {.name = "sbn",
       .data = "fashion-mnist",
       .samples = 10,
       .small = {200, 200},
       .full = {512, 512, 512},
       .binary = true,
       .has_gap = false,
       .make = make_binary_network},
      {.name = "dlgn",
       .lr = "0.01",
       .batch = 100,
       .small = {2000, 2000, 2000},
       .full = {8000, 8000, 8000, 8000, 8000, 8000},
       .has_gap = false,
       .has_mean = true,
       .make = make_logic_network},
  };
  return all;
}

const TaskEntry& task(const std::string& name) {
  const auto& all = tasks();
  const auto entry =
      std::find_if(all.begin(), all.end(), [&](const TaskEntry& t) { return t.name == name; });
  if (entry == all.end()) throw std::logic_error("unknown task " + name);
  return *entry;
}

}  // namespace gradthru::experiments::decoupled
