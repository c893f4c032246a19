#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "cuda/binary_element.h"

// Launchers of the binary (sigmoid) forms, for float and double. Everything they are given lies on
// the current device; they neither allocate nor wait.
namespace gradthru::cuda {

template <class Real>
cudaError_t launch_binary_sample(const BinarySampleCall<Real>& call, cudaStream_t stream);

/// `method` is a name in the registry; the errors are those of launch_backward.
template <class Real>
cudaError_t launch_binary_backward(std::string_view method, const BinaryBackwardCall<Real>& call,
                                   cudaStream_t stream);

}  // namespace gradthru::cuda
