#include "lb/route/affinity.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "lb/base/hash.hpp"

namespace weir::route {

namespace {

constexpr std::string_view kVersion = "v1.";

bool is_base64url(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  });
}

SigningKey key_of_pool(std::string_view key, std::string_view pool) {
  const auto derived = SigningKey(key).sign("weir affinity ", pool);
  return SigningKey({reinterpret_cast<const char*>(derived.data()), derived.size()});
}

size_t slot_of(std::string_view id, size_t slots) {
  uint64_t halves[2];
  std::memcpy(halves, id.data(), sizeof halves);
  return mix_hash(halves[0], halves[1]) & (slots - 1);
}

bool signed_by(const SigningKey& key, const AffinityCookie& cookie) {
  char expected[Affinity::kSignatureBytes];
  write_base64url(key.sign(cookie.signed_part).data(), sizeof(SigningKey::Signature), expected);
  return same_secret(expected, cookie.signature.data(), sizeof expected);
}

}  // namespace

bool parse_affinity_cookie(std::string_view text, AffinityCookie& out) {
  constexpr size_t kSessionAt = kVersion.size() + Affinity::kIdBytes + 1;
  constexpr size_t kExpiryAt = kSessionAt + Affinity::kSessionBytes + 1;
  constexpr size_t kShortest = kExpiryAt + 1 + 1 + Affinity::kSignatureBytes;
  if (text.size() < kShortest || text.size() > Affinity::kMostBytes || !text.starts_with(kVersion)) return false;
  const size_t signature_at = text.size() - Affinity::kSignatureBytes;
  out.id = text.substr(kVersion.size(), Affinity::kIdBytes);
  out.session = text.substr(kSessionAt, Affinity::kSessionBytes);
  out.signature = text.substr(signature_at);
  out.signed_part = text.substr(0, signature_at - 1);
  for (const size_t dot : {kSessionAt - 1, kExpiryAt - 1, signature_at - 1})
    if (text[dot] != '.') return false;
  if (!is_base64url(out.id) || !is_base64url(out.session) || !is_base64url(out.signature)) return false;
  const std::string_view digits = out.signed_part.substr(kExpiryAt);
  if (digits[0] < '1' || digits[0] > '9') return false;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), out.expiry);
  return read.ec == std::errc() && read.ptr == digits.data() + digits.size();
}

Affinity::Affinity(std::string_view pool, const std::vector<std::string>& keys,
                   const std::vector<std::string>& backends, std::chrono::seconds ttl)
    : ttl_(ttl.count()), slots_(std::bit_ceil(2 * keys.size() * backends.size() + 1)) {
  for (uint32_t k = 0; k < keys.size(); ++k) {
    keys_.push_back(key_of_pool(keys[k], pool));
    for (uint32_t b = 0; b < backends.size(); ++b) {
      Slot slot{{}, k, b};
      write_base64url(keys_[k].sign("backend:", backends[b]).data(), kIdBytes * 3 / 4, slot.id.data());
      if (k == 0) own_.push_back(slot.id);
      insert(slot);
    }
  }
}

void Affinity::insert(const Slot& slot) {
  size_t at = slot_of({slot.id.data(), kIdBytes}, slots_.size());
  while (slots_[at].key != kNobody) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = slot;
}

const Affinity::Slot* Affinity::find(std::string_view id) const {
  for (size_t at = slot_of(id, slots_.size()); slots_[at].key != kNobody; at = (at + 1) & (slots_.size() - 1))
    if (std::memcmp(slots_[at].id.data(), id.data(), kIdBytes) == 0) return &slots_[at];
  return nullptr;
}

Affinity::Found Affinity::read(std::string_view text, int64_t now) const {
  AffinityCookie cookie;
  if (!parse_affinity_cookie(text, cookie)) return {Verdict::forged};
  if (cookie.expiry <= now) return {Verdict::expired};
  Session session;
  std::copy(cookie.session.begin(), cookie.session.end(), session.begin());
  const Slot* slot = find(cookie.id);
  if (!slot) {
    const auto verifies = [&](const SigningKey& key) { return signed_by(key, cookie); };
    if (std::none_of(keys_.begin(), keys_.end(), verifies)) return {Verdict::forged};
    return {Verdict::gone, kNobody, false, session};
  }
  if (!signed_by(keys_[slot->key], cookie)) return {Verdict::forged};
  const int64_t left = cookie.expiry - now;
  return {Verdict::valid, slot->backend, left * 2 < ttl_ || left > ttl_, session};
}

Affinity::Session Affinity::new_session(uint64_t random) {
  constexpr size_t kBytes = kSessionBytes * 3 / 4;
  uint8_t bytes[kBytes];
  std::memcpy(bytes, &random, kBytes);
  Session session;
  write_base64url(bytes, kBytes, session.data());
  return session;
}

size_t Affinity::write(uint32_t backend, const Session& session, int64_t now, char* out) const {
  char* at = std::copy(kVersion.begin(), kVersion.end(), out);
  at = std::copy(own_[backend].begin(), own_[backend].end(), at);
  *at++ = '.';
  at = std::copy(session.begin(), session.end(), at);
  *at++ = '.';
  at = std::to_chars(at, out + kMostBytes, now + ttl_).ptr;
  const auto signature = keys_[0].sign({out, static_cast<size_t>(at - out)});
  *at++ = '.';
  write_base64url(signature.data(), signature.size(), at);
  return static_cast<size_t>(at - out) + kSignatureBytes;
}

}  // namespace weir::route
