#include "lb/net/http2_frame_buffer.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace weir::http2 {

namespace {

constexpr size_t kLeast = 16 << 10;  // the first of a session that is so large is this one
constexpr size_t kPlace = 20 << 10;  // it, in whole pages of 4 KiB
constexpr size_t kPlaces = 64;       // mapped at a time

struct Free {
  Free* next;
};

/// Places of one thread. They are used again, and never given back.
thread_local Free* free_places = nullptr;

bool map_more() {
  void* const mapped = ::mmap(nullptr, kPlace * kPlaces, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return false;
  ::madvise(mapped, kPlace * kPlaces, MADV_NOHUGEPAGE);  // a huge page would fill the gaps
  for (size_t i = kPlaces; i-- > 0;) free_places = new (static_cast<char*>(mapped) + i * kPlace) Free{free_places};
  return true;
}

}  // namespace

void* FrameBuffer::take(size_t size, void* self) {
  auto& mine = *static_cast<FrameBuffer*>(self);
  if (size < kLeast || size > kPlace || mine.pages_ || (!free_places && !map_more())) return std::malloc(size);
  return mine.pages_ = std::exchange(free_places, free_places->next);
}

void FrameBuffer::give_back(void* block, void* self) {
  auto& mine = *static_cast<FrameBuffer*>(self);
  if (!block || block != mine.pages_) return std::free(block);
  mine.pages_ = nullptr;
  free_places = new (block) Free{free_places};
}

void* FrameBuffer::take_cleared(size_t count, size_t size, void*) { return std::calloc(count, size); }

void* FrameBuffer::resize(void* block, size_t size, void* self) {
  if (!block) return take(size, self);
  auto& mine = *static_cast<FrameBuffer*>(self);
  if (block != mine.pages_) return std::realloc(block, size);
  if (size <= kPlace) return block;
  void* const larger = std::malloc(size);
  if (!larger) return nullptr;
  std::memcpy(larger, block, kPlace);
  give_back(block, self);
  return larger;
}

}  // namespace weir::http2
