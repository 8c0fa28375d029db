#include "lb/net/buffer.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace weir::net {

namespace {
size_t class_of(uint32_t bytes) {
  size_t i = 0;
  while (i < BufferPool::kSizes.size() && BufferPool::kSizes[i] < bytes) ++i;
  return i;
}
}  // namespace

BufferPool::~BufferPool() { trim(); }

BufferPool::Block BufferPool::take(uint32_t bytes) {
  const size_t i = class_of(bytes);
  const uint32_t size = i < kSizes.size() ? kSizes[i] : bytes;
  used_ += size;
  if (i < kSizes.size() && free_[i]) {
    Free* block = free_[i];
    free_[i] = block->next;
    kept_[i] -= size;
    return {reinterpret_cast<char*>(block), size};
  }
  void* data = std::malloc(size);
  if (!data) throw std::bad_alloc();
  return {static_cast<char*>(data), size};
}

void BufferPool::give_back(Block block) {
  if (!block.data) return;
  used_ -= block.size;
  const size_t i = class_of(block.size);
  if (i >= kSizes.size() || kept_[i] + block.size > kKeptPerSize) {
    std::free(block.data);
    return;
  }
  auto* entry = reinterpret_cast<Free*>(block.data);
  entry->next = free_[i];
  free_[i] = entry;
  kept_[i] += block.size;
}

void BufferPool::trim() {
  for (size_t i = 0; i < kSizes.size(); ++i) {
    while (Free* block = free_[i]) {
      free_[i] = block->next;
      std::free(block);
    }
    kept_[i] = 0;
  }
}

void Buffer::append(BufferPool& pool, std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(prepare(pool, static_cast<uint32_t>(bytes.size())), bytes.data(), bytes.size());
  commit(static_cast<uint32_t>(bytes.size()));
}

char* Buffer::prepare(BufferPool& pool, uint32_t bytes) {
  if (capacity_ - end_ >= bytes) return data_ + end_;
  if (begin_ && capacity_ - size() >= bytes) {
    std::memmove(data_, data_ + begin_, size());
  } else {
    const auto block = pool.take(std::max(size() + bytes, capacity_ * 2));
    if (size()) std::memcpy(block.data, data_ + begin_, size());
    pool.give_back({data_, capacity_});
    data_ = block.data;
    capacity_ = block.size;
  }
  end_ -= begin_;
  begin_ = 0;
  return data_ + end_;
}

void Buffer::consume(BufferPool& pool, uint32_t bytes) {
  begin_ += bytes;
  if (begin_ == end_) release(pool);
}

void Buffer::release(BufferPool& pool) {
  pool.give_back({data_, capacity_});
  data_ = nullptr;
  capacity_ = begin_ = end_ = 0;
}

}  // namespace weir::net
