// HMAC-SHA256 (RFC 2104) under one key.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::route {

/// A key with its two blocks already hashed: a message of up to 55 bytes costs two rounds of SHA-256, and nothing is
/// allocated. Immutable, so any thread may sign with it. OpenSSL's own keyed contexts allocate at each use.
class SigningKey {
 public:
  using Signature = std::array<uint8_t, 32>;
  explicit SigningKey(std::string_view key);
  Signature sign(std::string_view message) const;
  Signature sign(std::string_view first, std::string_view second) const;

 private:
  static constexpr size_t kStateBytes = 112;  // of SHA256_CTX
  struct alignas(8) State {
    std::array<std::byte, kStateBytes> bytes;
  };
  State inner_, outer_;
};

/// Base64url without padding (RFC 4648 §5); `out` has room for 4/3 of the bytes, rounded up.
void write_base64url(const uint8_t* bytes, size_t size, char* out);

/// Takes the same time wherever they differ. Both have `size` bytes.
bool same_secret(const char* a, const char* b, size_t size);

}  // namespace weir::route
