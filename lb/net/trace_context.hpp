// W3C Trace Context, level 1 (https://www.w3.org/TR/trace-context-1/): reading what a request brings. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::trace {

inline constexpr size_t kTraceIdDigits = 32, kSpanIdDigits = 16;
inline constexpr size_t kTraceParentBytes = 55;  // of version 00: "00-" trace id "-" span id "-" flags

/// Views into what was parsed.
struct TraceParent {
  std::string_view trace_id, parent_id;  // lower-case hexadecimal, not all zeros
  bool sampled = false;
};

/// §3.2. Nothing unless it is valid to the last byte. Of a version above 00 the known part is taken, and what is behind
/// it must begin with a dash (§3.2.4).
std::optional<TraceParent> parse_traceparent(std::string_view value);

/// The traceparent of a request: nothing if there is none, more than one line of it, or an invalid one.
std::optional<TraceParent> find_traceparent(const http1::Head& head);

/// §3.3.1: may the lines of tracestate be passed on? At most 32 members over all lines, each with a valid key and
/// value.
bool valid_tracestate(const http1::Head& head);

/// The id of a request's n-th try at a backend (n from 1), made of the request's own: no memory is needed for them.
/// Never 0, and never `span`.
inline uint64_t attempt_span(uint64_t span, uint32_t n) {
  const uint64_t id = span ^ (n * 0x9e3779b97f4a7c15);
  return id ? id : span + 1;
}

}  // namespace weir::trace
