#include "lb/net/buffer.hpp"

#include <string>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using weir::net::Buffer;
using weir::net::BufferPool;

TEST_CASE("a buffer keeps the order of what is appended and consumed") {
  BufferPool pool;
  Buffer buffer;
  std::string expected;
  weir::Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    const uint32_t size = rng.below(rng.below(50) == 0 ? 40'000 : 300);
    if (rng.below(2)) {
      const std::string piece(size, static_cast<char>('a' + i % 26));
      buffer.append(pool, piece);
      expected += piece;
    } else {
      const uint32_t part = std::min<uint32_t>(size, buffer.size());
      buffer.consume(pool, part);
      expected.erase(0, part);
    }
    REQUIRE(buffer.view() == expected);
  }
  buffer.release(pool);
  CHECK(buffer.empty());
  CHECK(pool.used() == 0);
}

TEST_CASE("an empty buffer holds no memory") {
  BufferPool pool;
  Buffer buffer;
  buffer.append(pool, "hello");
  CHECK(pool.used() > 0);
  buffer.consume(pool, 5);
  CHECK(pool.used() == 0);
}

TEST_CASE("prepare gives room behind the contents and keeps them") {
  BufferPool pool;
  Buffer buffer;
  buffer.append(pool, "head");
  for (int i = 0; i < 5; ++i) {
    char* into = buffer.prepare(pool, 1000);
    REQUIRE(buffer.room() >= 1000);
    std::fill(into, into + 1000, 'x');
    buffer.commit(1000);
  }
  CHECK(buffer.view() == "head" + std::string(5000, 'x'));
  buffer.release(pool);
}

TEST_CASE("blocks are recycled, and those above the largest size are not kept") {
  BufferPool pool;
  const auto first = pool.take(3000);
  CHECK(first.size == 4096);
  pool.give_back(first);
  const auto again = pool.take(4000);
  CHECK(again.data == first.data);
  pool.give_back(again);
  const auto large = pool.take(1 << 20);
  CHECK(large.size == 1 << 20);
  CHECK(pool.used() == 1 << 20);
  pool.give_back(large);
  CHECK(pool.used() == 0);
}
