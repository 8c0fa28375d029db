// Whether a failed attempt is tried again: pure rules over what the exchange knows (RFC 9110 §9.2.2), and the budget
// that keeps retries from multiplying the load of a pool in trouble.
#pragma once
#include <cstdint>
#include <string_view>

#include "config/model.hpp"
#include "lb/base/state.hpp"

namespace weir::route {

enum class FailureKind : uint8_t {
  connect,  // no connection: refused, unreachable, timeout.connect
  reset,    // the backend closed or reset the connection before its response was complete
  timeout,  // timeout.response or timeout.per_try
  status,   // a response whose status stands in retry.when
};

/// One attempt that failed, and the request it belongs to.
struct Attempt {
  FailureKind kind = FailureKind::reset;
  uint16_t status = 0;             // for FailureKind::status
  unsigned others_tried = 0;       // backends tried before this one
  bool bytes_sent = false;         // the backend may have looked at some byte of the request
  bool response_begun = false;     // any byte of a response came from the backend
  bool response_started = false;   // any byte of the final response went downstream
  bool body_replayable = true;     // there is no body, or all that has come of it is still held
  bool method_idempotent = false;  // method_repeatable()
  bool reused_connection = false;  // it had served another request before
  bool raced_before = false;       // this request had a retry_same already
};

enum class Verdict : uint8_t {
  give_up,
  retry,       // on another backend, if take_retry() grants it
  retry_free,  // on another backend; nothing was sent, so the budget is not asked
  retry_same,  // the keep-alive race: on a new connection to the same backend, which is not to blame: count no failure
};

/// Does retry.methods have it? Never POST, whatever the list says: a POST of which bytes were sent is not sent twice.
bool method_repeatable(const config::Retry& rules, std::string_view method);

/// - Once response bytes went downstream, or a byte of the body is gone: never, whatever the backend has looked at.
/// - A request of which bytes were sent: only if its method is idempotent.
/// - A pooled connection that ends before any response byte was closed by the backend while it was idle (RFC 9112
/// §9.3.1). One such
///   retry a request, outside of `when`, `attempts` and the budget: it adds no load, and the backend is well.
/// - Otherwise at most retry.attempts others, for the kinds in retry.when.
Verdict decide(const Attempt& attempt, const config::Retry& rules);

/// retries_in_flight may grow by one: it stays within max(budget_percent of the requests in flight, budget_min).
bool budget_allows(uint32_t pool_inflight, uint32_t retries_in_flight, const config::Retry& rules);

/// Verdict::retry asks here. True: the retry is counted in flight, and end_retry() must follow it. Any thread; exact
/// over the process.
///
/// Two limits hold together. At any moment no more retries are in flight than budget_allows(). And over time, retries
/// are paid for by success: a retry makes a debt of one, each success repays budget_percent of one, and the debt never
/// passes max(budget_percent of the requests in flight, 3 × budget_min). The first alone would let a slow trickle of
/// requests be tried three times each for ever. With the second, a pool of which every answer is 503 sees that many
/// retries and then none: at most 1.2 attempts a request from the 45th request on (or from one full turn of the
/// requests in flight on), and close to 1 in the long run; a pool that fails in part sees at most budget_percent more
/// requests than came.
bool take_retry(PoolState& pool, const config::Retry& rules);
/// The retry's attempt has ended, however.
void end_retry(PoolState& pool);
/// A request ended with a response that is no failure by retry.when. One load when there is no debt; writes only to
/// repay.
void repay_retries(PoolState& pool, const config::Retry& rules);

}  // namespace weir::route
