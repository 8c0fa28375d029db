// What is remembered of passwords that were right: never the passwords, but a keyed hash (HMAC-SHA-256 under a secret
// of this process) of user, password and the user's entry in the file, for some minutes.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "lb/base/clock.hpp"

namespace weir::proxy {

using CredentialDigest = std::array<uint8_t, 32>;

/// `stored`: the hash in the file, so that whatever was remembered is void once that changes.
CredentialDigest digest_credentials(std::string_view stored, std::string_view user, std::string_view password);

/// Bounded; what expires first makes room. One thread.
class CredentialCache {
 public:
  /// When it expires, or the epoch if it isn't there.
  TimePoint find(const CredentialDigest& digest, TimePoint now) const;
  void remember(const CredentialDigest& digest, TimePoint until);

 private:
  static constexpr size_t kSets = 256, kWays = 4;
  struct Entry {
    CredentialDigest digest;
    TimePoint until{};
  };
  static size_t set_of(const CredentialDigest& digest) { return digest[0] * kWays; }
  std::vector<Entry> entries_;  // empty until something is remembered
};

}  // namespace weir::proxy
