#include "lb/proxy/credentials.hpp"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace weir::proxy {

namespace {

using Secret = std::array<uint8_t, 32>;

const Secret& process_secret() {
  static const Secret secret = [] {
    Secret bytes;
    if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
      throw std::runtime_error("there is no randomness for a secret");
    return bytes;
  }();
  return secret;
}

}  // namespace

CredentialDigest digest_credentials(std::string_view stored, std::string_view user, std::string_view password) {
  // A zero byte stands in none of the three, so that their joining is one to one.
  char joined[1024];
  const size_t size = stored.size() + user.size() + password.size() + 2;
  if (size > sizeof joined) throw std::length_error("credentials longer than any that are taken");
  char* at = joined;
  for (const std::string_view part : {stored, user, password}) {
    if (at != joined) *at++ = '\0';
    at += part.copy(at, part.size());
  }
  CredentialDigest digest;
  unsigned length = 0;
  HMAC(EVP_sha256(), process_secret().data(), static_cast<int>(process_secret().size()),
       reinterpret_cast<const unsigned char*>(joined), size, digest.data(), &length);
  OPENSSL_cleanse(joined, size);
  return digest;
}

TimePoint CredentialCache::find(const CredentialDigest& digest, TimePoint now) const {
  if (entries_.empty()) return {};
  for (size_t i = set_of(digest); i < set_of(digest) + kWays; ++i) {
    const Entry& entry = entries_[i];
    if (entry.until > now && CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) return entry.until;
  }
  return {};
}

void CredentialCache::remember(const CredentialDigest& digest, TimePoint until) {
  if (entries_.empty()) entries_.resize(kSets * kWays);
  const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(set_of(digest));
  const auto same = std::find_if(first, first + kWays, [&](const Entry& entry) { return entry.digest == digest; });
  const auto place =
      same != first + kWays
          ? same
          : std::min_element(first, first + kWays, [](const auto& a, const auto& b) { return a.until < b.until; });
  *place = {digest, until};
}

}  // namespace weir::proxy
