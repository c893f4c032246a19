#include "report/event_file.h"

#include <bit>
#include <boost/crc.hpp>

namespace gradthru::report {
namespace {

static_assert(std::endian::native == std::endian::little, "records are little-endian");

template <typename T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// The checksum of TFRecord: CRC-32C, turned and shifted so that no record holds its own.
std::string checksum(std::string_view bytes) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  crc.process_bytes(bytes.data(), bytes.size());
  constexpr uint32_t kDelta = 0xA282EAD8;
  return bytes_of<uint32_t>(std::rotr(static_cast<uint32_t>(crc.checksum()), 15) + kDelta);
}

std::string record(std::string_view data) {
  const std::string length = bytes_of<uint64_t>(data.size());
  return length + checksum(length) + std::string(data) + checksum(data);
}

// The wire format of protocol buffers.
enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string field(uint64_t number, Wire wire, const std::string& value) {
  return varint(number << 3 | wire) + value;
}

std::string text_field(uint64_t number, std::string_view text) {
  return field(number, kBytes, varint(text.size()) + std::string(text));
}

}  // namespace

// Numbers of the fields: event.proto and summary.proto of TensorFlow.

std::string first_event(double wall_time) {
  return record(field(1, kFixed64, bytes_of(wall_time)) + text_field(3, "brain.Event:2"));
}

std::string scalar_event(double wall_time, int64_t step, std::string_view tag, double value) {
  const std::string named =
      text_field(1, tag) + field(2, kFixed32, bytes_of(static_cast<float>(value)));
  return record(field(1, kFixed64, bytes_of(wall_time)) +
                field(2, kVarint, varint(static_cast<uint64_t>(step))) +
                text_field(5, text_field(1, named)));
}

}  // namespace gradthru::report
