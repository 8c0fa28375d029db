// What is spoken, towards clients and backends alike.
#pragma once

namespace weir::net {

// Mozilla's "intermediate" (guidelines 5.7), less its DHE: who has no elliptic curves is older than TLS 1.2 in
// practice, and a DHE handshake costs the server much more than the client.
inline constexpr const char* kTlsCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-"
    "SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
inline constexpr const char* kTlsCiphers13 =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
inline constexpr const char* kTlsGroups = "X25519:P-256:P-384";

}  // namespace weir::net
