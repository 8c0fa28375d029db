// Session affinity on the request path, and for `weir explain`: whose the request is by its cookie, and whether that
// backend may have it. The cookie itself is made and read by lb/route/affinity.hpp.
#pragma once
#include <cstdint>

#include "lb/net/http1.hpp"
#include "lb/proxy/runtime.hpp"
#include "lb/route/affinity.hpp"

namespace weir::proxy {

struct Home {
  route::Affinity::Found found;
  bool sent = false;  // a cookie of that name stands in the request, be it good or not
};

/// Looks at the first few cookies of that name, and takes the first that is good. The pool has affinity. `now`: Unix
/// seconds.
Home find_home(const Pool& pool, const http1::RequestHead& head, int64_t now);

/// May the backend have requests of its own sessions? Those that the pool balances over may, and those that drain until
/// affinity.drain has passed since the order, unless they are ill.
bool serves_its_sessions(const Pool& pool, const std::vector<bool>& takes_requests, uint32_t backend, TimePoint now);

/// When a backend that drains loses its sessions; only with BackendOrder::drain.
TimePoint drain_deadline(const config::Affinity& affinity, const BackendState& backend);

/// What a backend that drains still has of its sessions.
struct SessionsLeft {
  uint64_t about = 0;         // that it has answered since the order, and within affinity.idle
  Duration until_deadline{};  // affinity.drain; 0: past it, no session is sent to it
  Duration until_over{};      // until they count as over if none of them comes before; at most until_deadline
};
/// Only with BackendOrder::drain. Who asks is not on the request path: it reads 16 KiB.
SessionsLeft sessions_left(const config::Affinity& affinity, const BackendState& backend, TimePoint now);

}  // namespace weir::proxy
