// Certificates for trying things on one's own machine.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace weir::net {

/// A fresh ECDSA key (P-256) and a certificate of its own signing (PEM, the certificate first) for these DNS names and
/// IP addresses; valid from an hour before `now` (seconds since the epoch) for `days`. Throws std::runtime_error.
std::string make_self_signed(const std::vector<std::string>& names, int64_t now, int days);

}  // namespace weir::net
