// The dashboard's sessions: a browser trades the token for a cookie, so that no script ever has to keep the token.
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/clock.hpp"

namespace weir::admin {

using SessionSecret = std::array<unsigned char, 32>;
/// From the kernel. Throws std::system_error if it has none.
SessionSecret random_secret();

/// Bounded and in memory only: a restart, and a token that a reload changes, end them all.
class Sessions {
 public:
  static constexpr size_t kMost = 32;             // above them the oldest ends
  static constexpr std::chrono::hours kLife{12};  // from its opening, however busy it is

  explicit Sessions(std::function<SessionSecret()> random = random_secret,
                    std::function<TimePoint()> now = monotonic_now)
      : random_(std::move(random)), now_(std::move(now)) {}

  /// For someone who has shown `token`. Returns the session's id.
  std::string open(std::string_view token);
  /// Is it the id of a session that was opened with this token and hasn't ended? An empty token fits nothing.
  bool knows(std::string_view id, std::string_view token);
  void close(std::string_view id);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string id, token;
    TimePoint ends;
  };
  std::function<SessionSecret()> random_;
  std::function<TimePoint()> now_;
  std::vector<Entry> entries_;  // the oldest first
};

/// Cookies don't know ports (RFC 6265 §8.5): two Weirs on one machine need two names.
std::string session_cookie_name(uint16_t port);
/// The value of a Set-Cookie field; an empty `id` ends the cookie.
std::string session_cookie(std::string_view name, std::string_view id);
/// The value that a Cookie field has for `name`; empty: none.
std::string_view cookie_value(std::string_view field, std::string_view name);

/// In a time that depends on the lengths alone.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace weir::admin
