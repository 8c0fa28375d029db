#include "lb/net/span_queue.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace weir::trace {

namespace {

constexpr size_t kUsual = 768;  // bytes of a request with one try
constexpr size_t kLeastRing = 64 << 10, kMostRing = 64 << 20;

using TextMember = std::string_view RequestSpan::*;
constexpr std::array<TextMember, 13> kTexts{
    &RequestSpan::trace_id,   &RequestSpan::parent_id,  &RequestSpan::trace_state, &RequestSpan::method,
    &RequestSpan::path,       &RequestSpan::host,       &RequestSpan::client,      &RequestSpan::peer,
    &RequestSpan::user_agent, &RequestSpan::request_id, &RequestSpan::listener,    &RequestSpan::route,
    &RequestSpan::pool};

/// What stands in the ring, followed by the tries, then the texts in the order of kTexts, then the backends' names.
struct Packed {
  int64_t wall_ns;
  uint64_t duration_us, span;
  uint32_t attempts;
  std::array<uint16_t, kTexts.size()> lengths;
  uint16_t status;
  uint8_t tries, minor;
  Cause cause;
  bool answered;
};

struct PackedTry {
  sockaddr_storage address;
  socklen_t address_length;
  uint32_t start_us, took_us;
  uint16_t status, name_length;
  Cause cause;
  bool reused;
};
static_assert(std::is_trivially_copyable_v<Packed> && std::is_trivially_copyable_v<PackedTry>);

std::string_view cut(std::string_view text) { return text.substr(0, RequestSpan::kTextBytes); }

void put(std::byte*& at, const void* from, size_t size) {
  if (size == 0) return;  // data() of a text may be null
  std::memcpy(at, from, size);
  at += size;
}

}  // namespace

SpanQueue::SpanQueue(size_t workers, uint32_t most) : most_(most) {
  for (size_t i = 0; i < workers; ++i)
    rings_.push_back(std::make_unique<ByteRing>(std::clamp(most * kUsual, kLeastRing, kMostRing)));
}

bool SpanQueue::write(size_t worker, const RequestSpan& request) noexcept {
  Packed packed{.wall_ns = request.wall_ns,
                .duration_us = request.duration_us,
                .span = request.span,
                .attempts = request.attempts,
                .lengths = {},
                .status = request.status,
                .tries = static_cast<uint8_t>(std::min(request.tries.size(), RequestSpan::kMostAttempts)),
                .minor = request.minor,
                .cause = request.cause,
                .answered = request.answered};
  size_t total = sizeof packed + packed.tries * sizeof(PackedTry);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    packed.lengths[i] = static_cast<uint16_t>(cut(request.*kTexts[i]).size());
    total += packed.lengths[i];
  }
  for (size_t i = 0; i < packed.tries; ++i) total += cut(request.tries[i].backend).size();
  if (waiting_.fetch_add(1, std::memory_order_relaxed) >= most_) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  std::byte* at = rings_[worker]->reserve(total);
  if (!at) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  put(at, &packed, sizeof packed);
  for (size_t i = 0; i < packed.tries; ++i) {
    const AttemptSpan& from = request.tries[i];
    const PackedTry one{.address = from.address ? from.address->storage : sockaddr_storage{},
                        .address_length = from.address ? from.address->length : 0,
                        .start_us = from.start_us,
                        .took_us = from.took_us,
                        .status = from.status,
                        .name_length = static_cast<uint16_t>(cut(from.backend).size()),
                        .cause = from.cause,
                        .reused = from.reused};
    put(at, &one, sizeof one);
  }
  for (size_t i = 0; i < kTexts.size(); ++i) put(at, (request.*kTexts[i]).data(), packed.lengths[i]);
  for (size_t i = 0; i < packed.tries; ++i)
    put(at, request.tries[i].backend.data(), cut(request.tries[i].backend).size());
  rings_[worker]->commit();
  return true;
}

void SpanQueue::unpack(std::span<const std::byte> bytes, Unpacked& into) {
  Packed packed;
  std::memcpy(&packed, bytes.data(), sizeof packed);
  RequestSpan& request = into.request;
  request.wall_ns = packed.wall_ns;
  request.duration_us = packed.duration_us;
  request.span = packed.span;
  request.attempts = packed.attempts;
  request.status = packed.status;
  request.answered = packed.answered;
  request.minor = packed.minor;
  request.cause = packed.cause;
  const std::byte* tries = bytes.data() + sizeof packed;
  const char* text = reinterpret_cast<const char*>(tries + packed.tries * sizeof(PackedTry));
  for (size_t i = 0; i < kTexts.size(); ++i) {
    request.*kTexts[i] = {text, packed.lengths[i]};
    text += packed.lengths[i];
  }
  for (size_t i = 0; i < packed.tries; ++i) {
    PackedTry one;
    std::memcpy(&one, tries + i * sizeof one, sizeof one);
    into.addresses[i].storage = one.address;
    into.addresses[i].length = one.address_length;
    into.tries[i] = {
        {text, one.name_length}, &into.addresses[i], one.start_us, one.took_us, one.status, one.cause, one.reused};
    text += one.name_length;
  }
  request.tries = std::span(into.tries).first(packed.tries);
}

}  // namespace weir::trace
