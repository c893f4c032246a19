// Kernels that draw categories. The formulas are in src/math; here rows meet threads.
#include "cuda/categorical_kernel.h"
#include "cuda/lanes.h"

namespace gradthru::cuda {
namespace {

constexpr int kThreads = kWarpsPerBlock * kLanesPerWarp;

/// A row per warp.
template <class Real>
__global__ void __launch_bounds__(kThreads)
    sample_by_warps(SampleCall<Real> call, Real* workspace, int64_t scratch_rows) {
  const RowOfWarp<Real> t;
  const Place place;
  Real* scratch = workspace + place.warp * workspace_rows(call, scratch_rows) * call.K;
  Real* copy = scratch + scratch_rows * call.K;
  for (SampleItem at(place, call.N); at.sample < call.samples; at.advance()) {
    const int64_t item = at.sample * call.N + at.item;
    const int64_t index =
        sample_row(t, call, at.item, at.sample, allowed_row(t, call, at.item, copy),
                   call.value + item * call.K, scratch);
    if (place.lane == 0) call.index[item] = index;
  }
}

/// A row per thread, staged: logits, value, scratch.
template <class Real>
__global__ void __launch_bounds__(kThreads)
    sample_by_threads(SampleCall<Real> call, int64_t scratch_rows) {
  const RowOfThread<Real> t;
  const Place place;
  const int K = static_cast<int>(call.K);
  Real* logits = staged_rows<Real>(place, 2 + scratch_rows, K);
  Real* value = logits + stage_size(K);
  Real* scratch = value + stage_size(K);
  for (SampleItem at(place, stage_groups(call.N)); at.sample < call.samples; at.advance()) {
    const StagedRows rows(at.item, call.N);
    const int64_t row0 = at.sample * call.N + rows.first;
    stage_logits(place.lane, rows, call, logits);
    if (place.lane < rows.count) {
      call.index[row0 + place.lane] =
          sample_row(t, call, rows.first + place.lane, at.sample, logits + place.lane,
                     value + place.lane, scratch + place.lane);
    }
    stage_out(place.lane, rows.count, K, value, call.value + row0 * K);
  }
}

}  // namespace

template <class Real>
cudaError_t sample_workspace(const SampleCall<Real>& call, int64_t* bytes) {
  *bytes = 0;
  if (call.K <= kThreadRowCategories) return cudaSuccess;
  int64_t warps = 0;
  const cudaError_t status = row_warps(call.samples * call.N, &warps);
  *bytes = warps * workspace_rows(call, scratch_rows_of(call)) * call.K *
           static_cast<int64_t>(sizeof(Real));
  return status;
}

template <class Real>
cudaError_t launch_sample(const SampleCall<Real>& call, void* workspace, cudaStream_t stream) {
  if (call.N == 0 || call.samples == 0) return cudaSuccess;
  const int64_t scratch = scratch_rows_of(call);
  if (call.K <= kThreadRowCategories) {
    const StagedLaunch<Real> launch(call.N, call.samples, 2 + scratch, call.K);
    sample_by_threads<Real>
        <<<launch.blocks, launch.threads, launch.shared_bytes, stream>>>(prepared(call), scratch);
    return cudaGetLastError();
  }
  int64_t warps = 0;
  const cudaError_t status = row_warps(call.samples * call.N, &warps);
  if (status != cudaSuccess) return status;
  sample_by_warps<Real><<<blocks_for(warps, kWarpsPerBlock), kThreads, 0, stream>>>(
      prepared(call), static_cast<Real*>(workspace), scratch);
  return cudaGetLastError();
}

#define GRADTHRU_INSTANTIATE(Real)                                          \
  template cudaError_t sample_workspace(const SampleCall<Real>&, int64_t*); \
  template cudaError_t launch_sample(const SampleCall<Real>&, void*, cudaStream_t);
GRADTHRU_INSTANTIATE(float)
GRADTHRU_INSTANTIATE(double)
#undef GRADTHRU_INSTANTIATE

}  // namespace gradthru::cuda
