#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace gradthru::train {

/// SHA-256 of the bytes (FIPS 180-4).
std::array<uint8_t, 32> sha256(std::string_view bytes);

/// The same as 64 lower-case hexadecimal digits, as `sha256sum` prints it.
std::string sha256_hex(std::string_view bytes);

/// The first 8 bytes of the digest as a big-endian number: how texts become seeds.
uint64_t sha256_prefix(std::string_view bytes);

}  // namespace gradthru::train
