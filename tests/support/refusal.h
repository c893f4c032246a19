#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "gradthru/error.h"

namespace support {

/// The call throws InvalidInput with one line that holds `part`.
inline void expect_refused(const std::function<void()>& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "accepted; wanted a refusal with: " << part;
  } catch (const gradthru::InvalidInput& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

}  // namespace support
