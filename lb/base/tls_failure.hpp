// Why a TLS handshake came to nothing: a label of a metric, and a word in the log.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

enum class TlsFailure : uint8_t {
  none,
  plain_http,           // HTTP without TLS
  not_tls,              // something else without TLS
  version,              // no version that both speak
  cipher,               // no cipher, curve or signature that both have
  alpn,                 // no protocol that both speak
  server_name,          // strict_sni: no certificate for the name, or no name
  certificate_missing,  // of the peer
  certificate_refused,  // of the peer
  alert,                // the peer has refused
  protocol,             // broken messages
  closed,               // the peer has gone
  timeout,
  overload,  // it made room for a younger one
};
inline constexpr size_t kTlsFailures = 14;

constexpr std::string_view to_string(TlsFailure failure) {
  constexpr std::array<std::string_view, kTlsFailures> kNames{"none",
                                                              "plain_http",
                                                              "not_tls",
                                                              "version",
                                                              "cipher",
                                                              "alpn",
                                                              "server_name",
                                                              "certificate_missing",
                                                              "certificate_refused",
                                                              "alert",
                                                              "protocol",
                                                              "closed",
                                                              "timeout",
                                                              "overload"};
  return kNames[static_cast<size_t>(failure)];
}

}  // namespace weir
