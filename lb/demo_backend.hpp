// `weir demo-backend`: a small HTTP/1.1 server to put behind Weir for a look around: it tells who it is, shows what it
// was sent, and can be slow, fail or die on demand. For demonstrations and tests only; it has no limits worth the name.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::demo {

struct Options {
  std::vector<std::string> binds{"127.0.0.1:9001"};  // as Endpoint::parse reads them; each is a backend of its own
  std::vector<std::string> names;      // of the binds, in their order; those that lack get one made from their port
  std::chrono::milliseconds delay{0};  // before each answer
  uint32_t fail_percent = 0;           // share of requests answered with 503
  uint16_t status = 200;               // of ordinary answers
  bool verbose = false;                // one event line a request
};

/// Serves until SIGINT or SIGTERM, or until every backend was told to die; returns the exit code. Throws
/// std::system_error with a sentence for people if an address can't be listened on.
int run(const Options& options);

/// What a request may ask for, in words for `weir demo-backend --help`.
extern const char* const kHelp;

}  // namespace weir::demo
