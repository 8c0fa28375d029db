// A bounded queue of byte records between two threads: one puts, one takes, neither ever waits (Lamport's
// single-producer ring with cached positions). A record lies in one piece, so that the reader can use it where it is.
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace weir {

class ByteRing {
 public:
  static constexpr size_t kLeast = 1024;

  /// `bytes` is rounded up to a power of two. The memory is touched only as it is used.
  explicit ByteRing(size_t bytes)
      : capacity_(std::bit_ceil(bytes < kLeast ? kLeast : bytes)),
        memory_(std::make_unique_for_overwrite<std::byte[]>(capacity_)) {}

  size_t capacity() const { return capacity_; }

  /// Writer: room for a record of `bytes`, or null when the ring is too full. Nothing is seen by the reader until
  /// commit(). A record above half the capacity may never fit, as it must not wrap.
  std::byte* reserve(size_t bytes) {
    const size_t size = rounded(bytes + sizeof(uint64_t));
    const uint64_t head = head_.load(std::memory_order_relaxed);
    const size_t offset = head & (capacity_ - 1);
    const size_t to_end = capacity_ - offset;
    const size_t skipped = size > to_end ? to_end : 0;
    if (head + skipped + size - tail_seen_ > capacity_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head + skipped + size - tail_seen_ > capacity_) return nullptr;
    }
    if (skipped) put_length(offset, kSkip);
    const size_t start = skipped ? 0 : offset;
    put_length(start, bytes);
    reserved_ = head + skipped + size;
    return memory_.get() + start + sizeof(uint64_t);
  }
  /// Writer: hands over what reserve() gave.
  void commit() { head_.store(reserved_, std::memory_order_release); }

  /// Reader: passes each record that is there now, `most` at most, to `take(span)`, whose bytes are valid until it
  /// returns. The ring bytes that were freed.
  template <typename Take>
  size_t consume(Take&& take, size_t most = ~size_t{0}) {
    const uint64_t head = head_.load(std::memory_order_acquire);
    const uint64_t first = tail_.load(std::memory_order_relaxed);
    uint64_t tail = first;
    while (tail != head && most > 0) {
      const size_t offset = tail & (capacity_ - 1);
      uint64_t length;
      std::memcpy(&length, memory_.get() + offset, sizeof(length));
      if (length == kSkip) {
        tail += capacity_ - offset;
      } else {
        take(std::span<const std::byte>(memory_.get() + offset + sizeof(length), length));
        tail += rounded(length + sizeof(length));
        --most;
      }
      tail_.store(tail, std::memory_order_release);
    }
    return tail - first;
  }

 private:
  static constexpr uint64_t kSkip = ~uint64_t{0};  // the rest up to the end is unused
  static size_t rounded(size_t bytes) { return (bytes + 7) & ~size_t{7}; }
  void put_length(size_t offset, uint64_t length) { std::memcpy(memory_.get() + offset, &length, sizeof(length)); }

  const size_t capacity_;
  const std::unique_ptr<std::byte[]> memory_;
  alignas(64) std::atomic<uint64_t> head_{0};  // bytes ever put; the writer's
  uint64_t reserved_ = 0, tail_seen_ = 0;
  alignas(64) std::atomic<uint64_t> tail_{0};  // bytes ever taken; the reader's
};

}  // namespace weir
