#include "lb/base/byte_ring.hpp"

#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;

namespace {

bool put(ByteRing& ring, const std::string& text) {
  std::byte* place = ring.reserve(text.size());
  if (!place) return false;
  std::memcpy(place, text.data(), text.size());
  ring.commit();
  return true;
}

std::vector<std::string> take_all(ByteRing& ring) {
  std::vector<std::string> found;
  ring.consume([&](std::span<const std::byte> bytes) {
    found.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  });
  return found;
}

}  // namespace

TEST_CASE("the capacity is a power of two", "[byte_ring]") {
  CHECK(ByteRing(0).capacity() == 1024);
  CHECK(ByteRing(1025).capacity() == 2048);
  CHECK(ByteRing(1 << 20).capacity() == 1 << 20);
}

TEST_CASE("a full ring refuses and goes on after a read", "[byte_ring]") {
  ByteRing ring(1024);
  const std::string text(120, 'x');  // 128 bytes with its length
  for (int i = 0; i < 8; ++i) CHECK(put(ring, text));
  CHECK_FALSE(put(ring, text));
  CHECK_FALSE(put(ring, ""));
  CHECK(take_all(ring).size() == 8);
  CHECK(put(ring, text));
  CHECK(take_all(ring) == std::vector{text});
}

TEST_CASE("an empty record is a record", "[byte_ring]") {
  ByteRing ring(1024);
  CHECK(put(ring, ""));
  CHECK(take_all(ring) == std::vector<std::string>{""});
  CHECK(take_all(ring).empty());
}

TEST_CASE("what was not committed does not exist", "[byte_ring]") {
  ByteRing ring(1024);
  REQUIRE(ring.reserve(500));
  CHECK(take_all(ring).empty());
  CHECK(put(ring, "a"));
  CHECK(take_all(ring) == std::vector<std::string>{"a"});
}

TEST_CASE("records come out as they went in, round after round", "[byte_ring]") {
  ByteRing ring(1024);
  Rng rng(7);
  std::deque<std::string> inside;
  size_t refused = 0, accepted = 0;
  for (int step = 0; step < 20'000; ++step) {
    if (rng.below(3) != 0) {
      const std::string text(rng.below(400), static_cast<char>('a' + rng.below(26)));
      if (put(ring, text)) {
        inside.push_back(text);
        ++accepted;
      } else {
        REQUIRE_FALSE(inside.empty());  // a record below half the capacity always fits into an empty ring
        ++refused;
      }
    } else {
      for (const auto& text : take_all(ring)) {
        REQUIRE_FALSE(inside.empty());
        REQUIRE(text == inside.front());
        inside.pop_front();
      }
      REQUIRE(inside.empty());
    }
  }
  CHECK(refused > 100);
  CHECK(accepted > 1000);
}

TEST_CASE("one thread puts while another takes", "[byte_ring]") {
  ByteRing ring(4096);
  constexpr uint64_t kRecords = 50'000;
  std::thread writer([&] {
    for (uint64_t i = 0; i < kRecords; ++i) {
      std::byte* place;
      while (!(place = ring.reserve(8 + i % 100))) std::this_thread::yield();
      std::memcpy(place, &i, sizeof(i));
      std::memset(place + 8, static_cast<int>(i & 0xff), i % 100);
      ring.commit();
    }
  });
  uint64_t next = 0;
  bool right = true;
  while (next < kRecords) {
    const size_t freed = ring.consume([&](std::span<const std::byte> bytes) {
      uint64_t value;
      std::memcpy(&value, bytes.data(), sizeof(value));
      right = right && value == next && bytes.size() == 8 + next % 100;
      for (const auto byte : bytes.subspan(8)) right = right && byte == static_cast<std::byte>(next & 0xff);
      ++next;
    });
    if (freed == 0) std::this_thread::yield();
  }
  writer.join();
  CHECK(right);
}
