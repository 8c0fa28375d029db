// The memory of nghttp2 for one session. It keeps a buffer of 16 KiB for the frame that goes out next, as long as the
// session lives, and seldom fills more than the first page of that: bodies do not pass through it. In pages of its own
// it costs one page; from the heap, where others have been before, all of it.
#pragma once
#include <cstddef>

namespace weir::http2 {

/// Must outlive its session, on one thread with it. The functions are those of nghttp2_mem, `self` a FrameBuffer.
class FrameBuffer {
 public:
  FrameBuffer() = default;
  FrameBuffer(const FrameBuffer&) = delete;
  FrameBuffer& operator=(const FrameBuffer&) = delete;

  /// Null: out of memory.
  static void* take(size_t size, void* self);
  static void give_back(void* block, void* self);
  static void* take_cleared(size_t count, size_t size, void* self);
  static void* resize(void* block, size_t size, void* self);

 private:
  void* pages_ = nullptr;  // its place in them while it has one
};

}  // namespace weir::http2
