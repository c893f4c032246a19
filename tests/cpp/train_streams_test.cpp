#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/sort.h>
#include <gtest/gtest.h>

#include "train/sha256.h"
#include "train/streams.h"

namespace gradthru::train {
namespace {

TEST(Sha256, IsTheStandardOne) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

// Computed with another implementation of SHA-256: byte order, separator and unsigned seeds.
TEST(Streams, SeedsAreThePublishedHash) {
  EXPECT_EQ(stream_seed(0, "init"), 11255572156969503904u);
  EXPECT_EQ(stream_seed(7, "noise"), 7326573832154664496u);
  EXPECT_EQ(stream_seed(18446744073709551615u, "order"), 899408661004452906u);
  EXPECT_EQ(stream_key(7, "noise"), (Key{.seed = 7326573832154664496u}));
}

TEST(Streams, AnOrderVisitsEveryExampleOnce) {
  const at::Tensor order = epoch_order(5, 3, 1000);
  EXPECT_EQ(order.scalar_type(), at::kLong);
  EXPECT_TRUE(at::equal(std::get<0>(at::sort(order)), at::arange(1000)));
  EXPECT_FALSE(at::equal(order, at::arange(1000)));
  EXPECT_EQ(epoch_order(5, 3, 0).numel(), 0);
}

TEST(Streams, AnOrderDependsOnNothingButItsArguments) {
  const at::Tensor order = epoch_order(5, 3, 1000);
  at::rand({17});  // moves Torch's own generator
  EXPECT_TRUE(at::equal(order, epoch_order(5, 3, 1000)));
  EXPECT_FALSE(at::equal(order, epoch_order(5, 4, 1000)));
  EXPECT_FALSE(at::equal(order, epoch_order(6, 3, 1000)));
  // Torch's generator drops the upper half of a seed; ours must not.
  EXPECT_FALSE(at::equal(order, epoch_order(5 + (uint64_t{1} << 32), 3, 1000)));
}

TEST(Streams, NegativeSizesAreRefused) {
  EXPECT_THROW(epoch_order(0, 0, -1), std::invalid_argument);
  EXPECT_THROW(epoch_order(0, -1, 1), std::invalid_argument);
}

}  // namespace
}  // namespace gradthru::train
