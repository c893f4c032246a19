// Kernels of the binary (sigmoid) forms: an element per thread.
#include "cuda/binary_kernel.h"
#include "cuda/lanes.h"

namespace gradthru::cuda {
namespace {

constexpr int kThreads = 256;

struct ElementLoop {
  int64_t first, step;

  __device__ __forceinline__ ElementLoop()
      : first(static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x),
        step(static_cast<int64_t>(gridDim.x) * blockDim.x) {}
};

template <class Real>
__global__ void __launch_bounds__(kThreads) sample_elements(BinarySampleCall<Real> call) {
  const ThreadTile<Real> t;
  const ElementLoop loop;
  for (int64_t n = loop.first; n < call.N; n += loop.step) {
    for (int64_t sample = 0; sample < call.samples; ++sample) sample_element(t, call, n, sample);
  }
}

template <class Rule, class Real>
__global__ void __launch_bounds__(kThreads) backward_elements(BinaryBackwardCall<Real> call) {
  const ThreadTile<Real> t;
  const ElementLoop loop;
  for (int64_t n = loop.first; n < call.N; n += loop.step) backward_element<Rule>(t, call, n);
}

template <class Rule, bool kMixable, class Real>
cudaError_t launch(const BinaryBackwardCall<Real>& call, cudaStream_t stream) {
  if constexpr (math::is_sequential<Rule>()) {
    return cudaErrorNotSupported;
  } else {
    if (call.uniform_mix > 0 && !kMixable) return cudaErrorNotSupported;
    backward_elements<Rule, Real>
        <<<blocks_for(call.N, kThreads), kThreads, 0, stream>>>(prepared(call));
    return cudaGetLastError();
  }
}

}  // namespace

template <class Real>
cudaError_t launch_binary_sample(const BinarySampleCall<Real>& call, cudaStream_t stream) {
  if (call.N == 0) return cudaSuccess;
  sample_elements<Real><<<blocks_for(call.N, kThreads), kThreads, 0, stream>>>(prepared(call));
  return cudaGetLastError();
}

template <class Real>
cudaError_t launch_binary_backward(std::string_view method, const BinaryBackwardCall<Real>& call,
                                   cudaStream_t stream) {
  if (call.N == 0) return cudaSuccess;
#define GRADTHRU_ESTIMATOR(name, draw, parameters, ...) \
  if (method == #name) return launch<math::name, takes_mix(parameters)>(call, stream);
#include "gradthru/estimators.def"
  return cudaErrorInvalidValue;
}

#define GRADTHRU_INSTANTIATE(Real)                                                               \
  template cudaError_t launch_binary_sample(const BinarySampleCall<Real>&, cudaStream_t);        \
  template cudaError_t launch_binary_backward(std::string_view, const BinaryBackwardCall<Real>&, \
                                              cudaStream_t);
GRADTHRU_INSTANTIATE(float)
GRADTHRU_INSTANTIATE(double)
#undef GRADTHRU_INSTANTIATE

}  // namespace gradthru::cuda
