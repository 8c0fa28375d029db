// Bytes that a connection must keep: a partial head, pipelined requests, the tail that the kernel did not take. An idle
// connection holds none.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::net {

/// Recycles blocks of a few sizes; one a worker, used by that worker alone.
class BufferPool {
 public:
  static constexpr std::array<uint32_t, 5> kSizes{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10};
  static constexpr uint64_t kKeptPerSize = 4 << 20;  // bytes of free blocks kept of one size
  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  struct Block {
    char* data;
    uint32_t size;
  };
  /// At least `bytes` long. Above the largest size the block comes from the heap.
  Block take(uint32_t bytes);
  void give_back(Block block);
  /// Bytes in use by connections.
  uint64_t used() const { return used_; }
  /// Frees the blocks that are kept (memory pressure).
  void trim();

 private:
  struct Free {
    Free* next;
  };
  std::array<Free*, kSizes.size()> free_{};
  std::array<uint64_t, kSizes.size()> kept_{};
  uint64_t used_ = 0;
};

/// A queue of bytes in one block; grows, never shrinks until it is empty. Must be released to its pool before it is
/// destroyed.
class Buffer {
 public:
  bool empty() const { return begin_ == end_; }
  uint32_t size() const { return end_ - begin_; }
  std::string_view view() const { return {data_ + begin_, size()}; }
  char* data() { return data_ + begin_; }

  void append(BufferPool& pool, std::string_view bytes);
  /// Room for `bytes` behind the contents; commit() then says how many were written.
  char* prepare(BufferPool& pool, uint32_t bytes);
  uint32_t room() const { return capacity_ - end_; }
  void commit(uint32_t bytes) { end_ += bytes; }
  /// Drops bytes at the front; an empty buffer gives its block back.
  void consume(BufferPool& pool, uint32_t bytes);
  void release(BufferPool& pool);

 private:
  char* data_ = nullptr;
  uint32_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace weir::net
