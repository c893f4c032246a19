#include "train/figures.h"

#include <png.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "train/atomic_file.h"

namespace gradthru::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string png_of(const Picture& picture) {
  if (picture.width < 1 || picture.height < 1 ||
      static_cast<int64_t>(picture.grey.size()) != picture.width * picture.height) {
    throw std::logic_error("a picture needs one grey level for each pixel");
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.format = PNG_FORMAT_GRAY;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  const auto write = [&](void* memory, png_alloc_size_t& size) {
    if (png_image_write_to_memory(&image, memory, &size, 0, picture.grey.data(), 0, nullptr))
      return;
    throw std::runtime_error(std::string("cannot write a PNG: ") + image.message);
  };
  png_alloc_size_t size = 0;
  write(nullptr, size);
  std::string bytes(size, '\0');
  write(bytes.data(), size);
  bytes.resize(size);
  return bytes;
}

/// The index; one that cannot be read is begun anew.
ordered_json index_in(const fs::path& path) {
  std::ifstream file(path);
  const ordered_json held = ordered_json::parse(file, nullptr, false);
  return held.is_array() ? held : ordered_json::array();
}

void require_name(const std::string& name, const std::string& ending) {
  if (name.size() > ending.size() && name.ends_with(ending) && name.front() != '.' &&
      fs::path(name).filename() == name) {
    return;
  }
  throw std::logic_error("a figure's file must be a name that ends in " + ending + ", got '" +
                         name + "'");
}

}  // namespace

void write_figure(const fs::path& run_folder, const Figure& figure, double epoch) {
  const Picture* picture = std::get_if<Picture>(&figure.content);
  require_name(figure.file, picture != nullptr ? ".png" : ".txt");
  const fs::path folder = run_folder / "figures";
  fs::create_directories(folder);
  write_atomically(folder / figure.file,
                   picture != nullptr ? png_of(*picture) : std::get<std::string>(figure.content));
  const fs::path index = folder / "index.json";
  ordered_json entries = ordered_json::array();
  for (const auto& entry : index_in(index)) {
    if (!entry.is_object() || entry.value("file", ordered_json()) != figure.file) {
      entries.push_back(entry);
    }
  }
  entries.push_back({{"file", figure.file}, {"caption", figure.caption}, {"epoch", epoch}});
  write_atomically(index,
                   entries.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace gradthru::train
