// Kernels of the categorical gradients, one for each rule of the registry.
#include "cuda/categorical_kernel.h"
#include "cuda/lanes.h"

namespace gradthru::cuda {
namespace {

constexpr int kThreads = kWarpsPerBlock * kLanesPerWarp;

/// A row per warp, its samples one after the other.
template <class Rule, bool kMixed, class Real>
__global__ void __launch_bounds__(kThreads)
    backward_by_warps(BackwardCall<Real> call, Real* workspace, int64_t scratch_rows) {
  const RowOfWarp<Real> t;
  const Place place;
  Real* scratch = workspace + place.warp * workspace_rows(call, scratch_rows) * call.K;
  for (int64_t n = place.warp; n < call.N; n += place.warps) {
    const Real* logits = allowed_row(t, call, n, scratch + scratch_rows * call.K);
    for (int64_t sample = 0; sample < call.samples; ++sample) {
      backward_row<Rule, kMixed>(t, call, n, sample, logits,
                                 call.grad + (sample * call.N + n) * call.K, call.out + n * call.K,
                                 scratch);
    }
  }
}

/// A row per thread, staged: logits, grad, out, scratch.
template <class Rule, bool kMixed, class Real>
__global__ void __launch_bounds__(kThreads)
    backward_by_threads(BackwardCall<Real> call, int64_t scratch_rows) {
  const RowOfThread<Real> t;
  const Place place;
  const int K = static_cast<int>(call.K);
  Real* logits = staged_rows<Real>(place, 3 + scratch_rows, K);
  Real* grad = logits + stage_size(K);
  Real* out = grad + stage_size(K);
  Real* scratch = out + stage_size(K);
  const int64_t groups = stage_groups(call.N);
  for (int64_t group = place.warp; group < groups; group += place.warps) {
    const StagedRows rows(group, call.N);
    stage_logits(place.lane, rows, call, logits);
    for (int64_t sample = 0; sample < call.samples; ++sample) {
      stage_in(place.lane, rows.count, K, call.grad + (sample * call.N + rows.first) * K, grad);
      if (place.lane < rows.count) {
        backward_row<Rule, kMixed>(t, call, rows.first + place.lane, sample, logits + place.lane,
                                   grad + place.lane, out + place.lane, scratch + place.lane);
      }
      __syncwarp();
    }
    stage_out(place.lane, rows.count, K, out, call.out + rows.first * K);
  }
}

template <class Rule, bool kMixed, class Real>
cudaError_t workspace_for(const BackwardCall<Real>& call, int64_t* bytes) {
  *bytes = 0;
  if (call.K <= kThreadRowCategories) return cudaSuccess;
  int64_t warps = 0;
  const cudaError_t status = row_warps(call.N, &warps);
  *bytes = warps * workspace_rows(call, scratch_rows_of<Rule, kMixed>(call)) * call.K *
           static_cast<int64_t>(sizeof(Real));
  return status;
}

template <class Rule, bool kMixed, class Real>
cudaError_t launch(const BackwardCall<Real>& call, void* workspace, cudaStream_t stream) {
  if (call.N == 0) return cudaSuccess;
  const int64_t scratch = scratch_rows_of<Rule, kMixed>(call);
  if (call.K <= kThreadRowCategories) {
    const StagedLaunch<Real> shape(call.N, 1, 3 + scratch, call.K);
    backward_by_threads<Rule, kMixed, Real>
        <<<shape.blocks, shape.threads, shape.shared_bytes, stream>>>(prepared(call), scratch);
    return cudaGetLastError();
  }
  int64_t warps = 0;
  const cudaError_t status = row_warps(call.N, &warps);
  if (status != cudaSuccess) return status;
  backward_by_warps<Rule, kMixed, Real><<<blocks_for(warps, kWarpsPerBlock), kThreads, 0, stream>>>(
      prepared(call), static_cast<Real*>(workspace), scratch);
  return cudaGetLastError();
}

/// act(Rule, mixed) for the rule of this name, both as types.
template <class Act>
cudaError_t with_rule(std::string_view method, bool mixed, const Act& act) {
  const auto with = [&]<class Rule, bool kMixable>(Rule rule) {
    if constexpr (math::is_sequential<Rule>()) {
      return cudaErrorNotSupported;
    } else if constexpr (kMixable) {
      return mixed ? act(rule, std::true_type{}) : act(rule, std::false_type{});
    } else {
      return mixed ? cudaErrorNotSupported : act(rule, std::false_type{});
    }
  };
#define GRADTHRU_ESTIMATOR(name, draw, parameters, ...) \
  if (method == #name) return with.template operator()<math::name, takes_mix(parameters)>({});
#include "gradthru/estimators.def"
  return cudaErrorInvalidValue;
}

}  // namespace

template <class Real>
cudaError_t backward_workspace(std::string_view method, const BackwardCall<Real>& call,
                               int64_t* bytes) {
  return with_rule(method, call.uniform_mix > 0, [&](auto rule, auto mixed) {
    return workspace_for<decltype(rule), mixed.value>(call, bytes);
  });
}

template <class Real>
cudaError_t launch_backward(std::string_view method, const BackwardCall<Real>& call,
                            void* workspace, cudaStream_t stream) {
  return with_rule(method, call.uniform_mix > 0, [&](auto rule, auto mixed) {
    return launch<decltype(rule), mixed.value>(call, workspace, stream);
  });
}

#define GRADTHRU_INSTANTIATE(Real)                                                                \
  template cudaError_t backward_workspace(std::string_view, const BackwardCall<Real>&, int64_t*); \
  template cudaError_t launch_backward(std::string_view, const BackwardCall<Real>&, void*,        \
                                       cudaStream_t);
GRADTHRU_INSTANTIATE(float)
GRADTHRU_INSTANTIATE(double)
#undef GRADTHRU_INSTANTIATE

}  // namespace gradthru::cuda
