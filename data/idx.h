#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace gradthru::data {

/// Images of an IDX file: `count` × `height` × `width` grey values 0…255, row by row.
struct IdxImages {
  int64_t count = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;
};

/// Reads a gzip-compressed IDX file of images (magic 0x803, sizes big-endian).
/// Memory: grows with the bytes that arrive, at most 1 GiB, whatever the header claims.
/// Errors: InvalidInput with file, wanted and got: a file that cannot be read, is not gzip, is cut
/// short or damaged; wrong magic; a size of 0 or above 1 GiB; fewer or more bytes than the header
/// says.
/// Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
IdxImages read_idx_images(const std::filesystem::path& file);

/// Reads a gzip-compressed IDX file of labels (magic 0x801), each below `classes`.
/// Errors: as read_idx_images(); also a label out of range, with its record number from 0.
std::vector<uint8_t> read_idx_labels(const std::filesystem::path& file, int classes = 10);

}  // namespace gradthru::data
