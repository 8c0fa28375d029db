#include "lb/net/tls_tickets.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>

namespace weir::net {

namespace {

/// HMAC-SHA256, as the expansion of HKDF (RFC 5869 §2.3) with one block a label.
std::array<uint8_t, 32> expand(std::string_view secret, std::string_view text, uint8_t label) {
  std::string message(text);
  message += static_cast<char>(label);
  std::array<uint8_t, 32> out{};
  unsigned length = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), out.data(), &length);
  return out;
}

}  // namespace

TicketKey TicketKeys::derive(std::string_view secret, int64_t period) const {
  const std::string text = "weir ticket " + use_ + ' ' + std::to_string(period) + ' ';
  TicketKey key{};
  const auto name = expand(secret, text, 1);
  std::copy_n(name.begin(), key.name.size(), key.name.begin());
  key.cipher = expand(secret, text, 2);
  key.mac = expand(secret, text, 3);
  return key;
}

TicketKey TicketKeys::current(int64_t now) const { return derive(secrets_.front(), now / kPeriod.count()); }

bool TicketKeys::find(const uint8_t* name, int64_t now, TicketKey& key) const {
  for (const int64_t step : {0, -1, 1})
    for (const auto& secret : secrets_) {
      key = derive(secret, now / kPeriod.count() + step);
      if (std::equal(key.name.begin(), key.name.end(), name)) return true;
    }
  return false;
}

}  // namespace weir::net
