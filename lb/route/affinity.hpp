// Session affinity (techniques §1): a cookie that names the backend of a session, signed, so that no table is needed
// and every instance with the secret can read it. Pure: keys and time are passed in.
//
//   v1.<id>.<session>.<expiry>.<signature>
//
// id: 96 bits of HMAC(K, "backend:" + name). session: 48 random bits that tell one session from another, so that those
// of a backend can be counted; they stay the same for as long as the session lives. expiry: Unix seconds. signature:
// HMAC(K, all before it without its dot). K = HMAC(key, "weir affinity " + pool), so that a cookie of one pool is worth
// nothing in another. All but the time in base64url.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lb/route/signing_key.hpp"

namespace weir::route {

/// The parts of a cookie that has the form of one; they point into it.
struct AffinityCookie {
  std::string_view id, session, signature;
  std::string_view signed_part;
  int64_t expiry = 0;  // Unix seconds
};

/// Only the one way in which write() puts it: no leading zeros, no padding, nothing behind.
bool parse_affinity_cookie(std::string_view text, AffinityCookie& out);

class Affinity {
 public:
  static constexpr size_t kIdBytes = 16, kSessionBytes = 8, kSignatureBytes = 43, kMostDigits = 12;
  static constexpr size_t kMostBytes = 3 + kIdBytes + 1 + kSessionBytes + 1 + kMostDigits + 1 + kSignatureBytes;
  static constexpr uint32_t kNobody = ~uint32_t{0};
  using Session = std::array<char, kSessionBytes>;

  enum class Verdict : uint8_t {
    absent,
    expired,
    forged,  // or signed with a key that is no longer known
    gone,    // genuine, for a backend that the pool doesn't have
    valid,
  };
  struct Found {
    Verdict verdict = Verdict::absent;
    uint32_t backend = kNobody;  // with `valid`: index among the names
    bool renew = false;          // past half of its time, or made for a longer one
    Session session{};           // with `valid` and `gone`
  };

  /// `keys`: at least one; the first signs, each verifies. `backends`: their names.
  Affinity(std::string_view pool, const std::vector<std::string>& keys, const std::vector<std::string>& backends,
           std::chrono::seconds ttl);

  /// One HMAC; if the id belongs to none of the backends, one a key. `now`: Unix seconds.
  Found read(std::string_view cookie, int64_t now) const;
  /// The number of a new session, of random bits.
  static Session new_session(uint64_t random);
  /// The cookie of a session at a backend, at most kMostBytes; how many.
  size_t write(uint32_t backend, const Session& session, int64_t now, char* out) const;

 private:
  using Id = std::array<char, kIdBytes>;
  struct Slot {
    Id id;
    uint32_t key = kNobody, backend = kNobody;
  };
  const Slot* find(std::string_view id) const;
  void insert(const Slot& slot);

  int64_t ttl_;
  std::vector<SigningKey> keys_;  // the pool's own
  std::vector<Id> own_;           // under the key that signs, by backend
  std::vector<Slot> slots_;       // hash table, at most half full; ids are secret until we give them out
};

}  // namespace weir::route
