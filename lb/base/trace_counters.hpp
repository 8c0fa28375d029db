// What became of the spans, over all exporters that the process has had.
#pragma once
#include <atomic>
#include <cstdint>

namespace weir {

struct TraceCounters {
  std::atomic<uint64_t> exported{0};  // spans that the collector has taken
  std::atomic<uint64_t> dropped{0};   // … that found the queue full
  std::atomic<uint64_t> failed{0};    // … that the collector refused or could not be given
  std::atomic<uint64_t> posts_ok{0}, posts_failed{0};
};

}  // namespace weir
