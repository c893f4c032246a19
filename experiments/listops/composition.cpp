#include "experiments/listops/composition.h"

#include <ATen/core/grad_mode.h>
#include <torch/autograd.h>

#include "experiments/listops/merging.h"
#include "gradthru/categorical.h"

namespace gradthru::experiments::listops {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Compose : public torch::autograd::Function<Compose> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& leaves, const Tensor& weight,
                        const Tensor& bias, const Tensor& query,
                        const c10::intrusive_ptr<Merging>& merging) {
    static_cast<void>(leaves), static_cast<void>(weight), static_cast<void>(bias),
        static_cast<void>(query);
    context->saved_data["merging"] = c10::IValue::make_capsule(merging);
    return merging->run(/*differentiable=*/true);
  }

  static variable_list backward(AutogradContext* context, const variable_list& g_root) {
    const auto merging =
        c10::static_intrusive_pointer_cast<Merging>(context->saved_data["merging"].toCapsule());
    variable_list gradients = merging->gradients(g_root[0]);
    gradients.emplace_back();
    return gradients;
  }
};

}  // namespace

uint64_t offsets_used(const Choice& choice, const Layout& layout) {
  if (!choice.estimator) return 0;
  return gradthru::offsets_used(*choice.estimator) * static_cast<uint64_t>(layout.levels());
}

Tree compose(const Tensor& leaves, const CompositionParameters& parameters, const Layout& layout,
             const Choice& choice) {
  if (choice.draw || (choice.estimator && traits(*choice.estimator).relaxed)) {
    return compose_densely(leaves, parameters, layout, choice);
  }
  auto merging = c10::make_intrusive<Merging>(leaves, parameters, layout, choice);
  Tree tree;
  if (at::GradMode::is_enabled()) {
    tree.root =
        Compose::apply(leaves, parameters.weight, parameters.bias, parameters.query, merging);
  } else {
    tree.root = merging->run(/*differentiable=*/false);
  }
  tree.merged = merging->merged();
  return tree;
}

}  // namespace gradthru::experiments::listops
