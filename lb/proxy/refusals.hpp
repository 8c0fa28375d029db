// Which refusals of a backend speak against it, for passive ejection. A backend that refuses a request (GOAWAY,
// REFUSED_STREAM; RFC 9113 §8.7) lives, and has not looked at it: it restarts, or has had enough for a moment. However
// many requests that hits at once, it is no failure. One that was asked later, and is refused before the backend has
// answered anything, is one: a backend that does nothing but refuse is of no use.
#pragma once
#include <cstdint>

namespace weir::proxy {

/// Of one backend, as one worker sees it. Not thread-safe.
class Refusals {
 public:
  /// A request goes out; its number, above 0.
  uint64_t ask() { return ++asked_; }
  /// The backend has begun an answer, whatever it says.
  void answered() { since_ = 0; }
  /// It has refused the request of that number. Is that a failure? The same question may be asked again.
  bool failed(uint64_t number) {
    if (since_ == 0) since_ = asked_;
    return number > since_;
  }

 private:
  uint64_t asked_ = 0;
  uint64_t since_ = 0;  // the last request that had gone out when it began to refuse; 0: it has answered since
};

}  // namespace weir::proxy
