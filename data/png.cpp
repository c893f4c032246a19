#include "data/png.h"

#include <png.h>

#include "gradthru/error.h"

namespace gradthru::data {

GreyImage decode_png(const std::string& bytes, const std::string& where) {
  // Frees what the library holds on every way out.
  struct Reader : png_image {
    Reader() : png_image{} { version = PNG_IMAGE_VERSION; }
    ~Reader() { png_image_free(this); }
  } reader;
  const auto require = [&](int done) {
    if (done == 0 || PNG_IMAGE_FAILED(reader)) {
      throw InvalidInput(where + ": wanted a PNG image: " + reader.message);
    }
  };
  require(png_image_begin_read_from_memory(&reader, bytes.data(), bytes.size()));
  constexpr uint64_t kMostPixels = uint64_t{1} << 20;
  if (uint64_t{reader.width} * reader.height > kMostPixels) {
    throw InvalidInput(where + ": wanted at most 1048576 pixels, got " +
                       std::to_string(reader.width) + "x" + std::to_string(reader.height));
  }
  reader.format = PNG_FORMAT_GRAY;
  GreyImage image{.height = reader.height, .width = reader.width, .pixels = {}};
  image.pixels.resize(PNG_IMAGE_SIZE(reader));
  require(png_image_finish_read(&reader, nullptr, image.pixels.data(), 0, nullptr));
  return image;
}

}  // namespace gradthru::data
