#include "lb/net/http2_frame_buffer.hpp"

#include <nghttp2/nghttp2.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <thread>

#include "tests/catch.hpp"

using weir::http2::FrameBuffer;

namespace {

constexpr size_t kPage = 4 << 10, kPages = 5;

bool starts_page(const void* block) { return reinterpret_cast<uintptr_t>(block) % kPage == 0; }

/// In a thread that has had no other session.
void alone(auto&& test) { std::thread(test).join(); }

}  // namespace

TEST_CASE("HTTP/2: a session's frame buffer costs the page that it uses", "[http2]") {
  if (::sysconf(_SC_PAGESIZE) != kPage) return;
  int resident = 0;
  bool aligned = false;
  alone([&] {
    FrameBuffer frame;
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session* session = nullptr;
    nghttp2_mem memory{&frame, FrameBuffer::take, FrameBuffer::give_back, FrameBuffer::take_cleared,
                       FrameBuffer::resize};
    nghttp2_session_server_new3(&session, callbacks, nullptr, nullptr, &memory);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
    const uint8_t* sent = nullptr;
    if (nghttp2_session_mem_send(session, &sent) > 0) {  // it stands in that buffer
      auto* const place = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(sent) / kPage * kPage);
      unsigned char pages[kPages] = {};
      aligned = ::mincore(place, sizeof pages * kPage, pages) == 0;
      for (const unsigned char page : pages) resident += page & 1;
    }
    nghttp2_session_del(session);
    nghttp2_session_callbacks_del(callbacks);
  });
  CHECK(aligned);
  CHECK(resident == 1);
}

TEST_CASE("HTTP/2: places of frame buffers are used again", "[http2]") {
  bool right = true;
  alone([&] {
    FrameBuffer one, other;
    void* const first = FrameBuffer::resize(nullptr, 16 << 10, &one);
    void* const second = FrameBuffer::take(20 << 10, &other);
    right = right && starts_page(first) && starts_page(second) && first != second;
    FrameBuffer::give_back(first, &one);
    right = right && FrameBuffer::resize(second, 18 << 10, &other) == second;
    void* const again = FrameBuffer::take(17 << 10, &one);
    right = right && again == first;
    FrameBuffer::give_back(again, &one);
    FrameBuffer::give_back(second, &other);
  });
  CHECK(right);
}

TEST_CASE("HTTP/2: what is no frame buffer comes from the heap", "[http2]") {
  FrameBuffer frame;
  void* const place = FrameBuffer::take(16 << 10, &frame);
  auto* const small = static_cast<char*>(FrameBuffer::take(100, &frame));
  void* const next = FrameBuffer::take(16 << 10, &frame);
  auto* const cleared = static_cast<char*>(FrameBuffer::take_cleared(10, 10, &frame));
  CHECK(cleared[99] == 0);
  std::memset(small, 1, 100);
  auto* const larger = static_cast<char*>(FrameBuffer::resize(small, 30 << 10, &frame));
  CHECK(larger[99] == 1);
  std::memset(place, 2, 16 << 10);
  auto* const moved = static_cast<char*>(FrameBuffer::resize(place, 40 << 10, &frame));
  CHECK(moved != place);
  CHECK(moved[(16 << 10) - 1] == 2);
  CHECK(FrameBuffer::take(16 << 10, &frame) == place);  // it is free again
  FrameBuffer::give_back(place, &frame);
  for (void* block : {next, static_cast<void*>(cleared), static_cast<void*>(larger), static_cast<void*>(moved)})
    FrameBuffer::give_back(block, &frame);
  FrameBuffer::give_back(nullptr, &frame);
}
