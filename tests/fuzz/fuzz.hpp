// What every fuzz target needs: the entry point that libFuzzer and replay_main.cpp call, and a failure that stops the
// run.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace weir::fuzz {

/// Ends the run if `broken` says that something is.
inline void require(const std::string& broken) {
  if (broken.empty()) return;
  std::fprintf(stderr, "invariant broken: %s\n", broken.c_str());
  std::abort();
}

}  // namespace weir::fuzz
