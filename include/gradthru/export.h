#pragma once

/// Marks what the shared library shows to the outside; everything else stays hidden.
#define GRADTHRU_API __attribute__((visibility("default")))
