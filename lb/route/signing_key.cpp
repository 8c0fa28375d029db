// The functions on plain SHA256_CTX are what OpenSSL 3 has for a state that can be copied without allocating.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "lb/route/signing_key.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <cstring>

namespace weir::route {

namespace {

SHA256_CTX hash_block(const std::array<uint8_t, SHA256_CBLOCK>& key, uint8_t pad) {
  std::array<uint8_t, SHA256_CBLOCK> block;
  for (size_t i = 0; i < block.size(); ++i) block[i] = key[i] ^ pad;
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, block.data(), block.size());
  OPENSSL_cleanse(block.data(), block.size());
  return state;
}

}  // namespace

SigningKey::SigningKey(std::string_view key) {
  static_assert(sizeof(SHA256_CTX) == kStateBytes);
  std::array<uint8_t, SHA256_CBLOCK> block{};
  if (key.size() > block.size())
    SHA256(reinterpret_cast<const uint8_t*>(key.data()), key.size(), block.data());
  else
    std::memcpy(block.data(), key.data(), key.size());
  const SHA256_CTX inner = hash_block(block, 0x36), outer = hash_block(block, 0x5c);
  std::memcpy(inner_.bytes.data(), &inner, sizeof inner);
  std::memcpy(outer_.bytes.data(), &outer, sizeof outer);
  OPENSSL_cleanse(block.data(), block.size());
}

SigningKey::Signature SigningKey::sign(std::string_view message) const { return sign(message, {}); }

SigningKey::Signature SigningKey::sign(std::string_view first, std::string_view second) const {
  SHA256_CTX state;
  Signature digest;
  std::memcpy(&state, inner_.bytes.data(), sizeof state);
  SHA256_Update(&state, first.data(), first.size());
  if (!second.empty()) SHA256_Update(&state, second.data(), second.size());
  SHA256_Final(digest.data(), &state);
  std::memcpy(&state, outer_.bytes.data(), sizeof state);
  SHA256_Update(&state, digest.data(), digest.size());
  SHA256_Final(digest.data(), &state);
  return digest;
}

void write_base64url(const uint8_t* bytes, size_t size, char* out) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  uint32_t bits = 0;
  unsigned held = 0;
  for (size_t i = 0; i < size; ++i) {
    bits = bits << 8 | bytes[i];
    for (held += 8; held >= 6;) {
      held -= 6;
      *out++ = kDigits[bits >> held & 63];
    }
  }
  if (held) *out = kDigits[bits << (6 - held) & 63];
}

bool same_secret(const char* a, const char* b, size_t size) { return CRYPTO_memcmp(a, b, size) == 0; }

}  // namespace weir::route
