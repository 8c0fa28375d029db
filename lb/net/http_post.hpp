// One POST over a connection of its own, for a thread that may wait.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lb/base/clock.hpp"
#include "lb/base/endpoint.hpp"

namespace weir::net {

struct PostAnswer {
  std::string failure;  // why there is no answer, for people; empty: there is one
  uint16_t status = 0;
  std::string retry_after;  // as the field has it
  std::string body;         // its first kMostBody bytes
  static constexpr size_t kMostBody = 64 << 10;
};

/// `head` as sent, its last empty line included. `deadline` is asked again at least every 0.1 s: it may come nearer.
PostAnswer post(const Endpoint& where, std::string_view head, std::string_view body,
                const std::function<TimePoint()>& deadline);

}  // namespace weir::net
