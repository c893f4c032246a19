#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

#include "cuda/categorical_row.h"

// Launchers of the categorical family, for float and double. Everything they are given lies on the
// current device; they neither allocate nor wait, and their order of sums is fixed. A workspace of
// the wanted size is the caller's; 0 bytes need none.
namespace gradthru::cuda {

template <class Real>
cudaError_t sample_workspace(const SampleCall<Real>& call, int64_t* bytes);
template <class Real>
cudaError_t launch_sample(const SampleCall<Real>& call, void* workspace, cudaStream_t stream);

/// `method` is a name in the registry. cudaErrorNotSupported: its rule is sequential, or
/// has no form for uniform_mix; cudaErrorInvalidValue: there is no such method.
template <class Real>
cudaError_t backward_workspace(std::string_view method, const BackwardCall<Real>& call,
                               int64_t* bytes);
template <class Real>
cudaError_t launch_backward(std::string_view method, const BackwardCall<Real>& call,
                            void* workspace, cudaStream_t stream);

}  // namespace gradthru::cuda
