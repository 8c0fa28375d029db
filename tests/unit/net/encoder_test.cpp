// The encoders, decoded by the libraries' own decoders.
#include "lb/net/encoder.hpp"

#include <zlib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"

using namespace weir;
using net::Encoder;
using net::EncoderMemory;

namespace {

std::string inflated(std::string_view data, bool& complete) {
  z_stream stream{};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  std::string plain;
  int result = Z_OK;
  do {
    char room[4096];
    stream.next_out = reinterpret_cast<Bytef*>(room);
    stream.avail_out = sizeof room;
    result = inflate(&stream, Z_SYNC_FLUSH);
    plain.append(room, sizeof room - stream.avail_out);
  } while (result == Z_OK && (stream.avail_in || stream.avail_out == 0));
  complete = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return plain;
}

/// Fed in pieces, with so much room for what comes out.
std::string encoded(Encoder& encoder, std::string_view plain, size_t piece, size_t room, Encoder::Flush flush) {
  std::string result;
  std::vector<char> out(room);
  do {
    std::string_view in = plain.substr(0, piece);
    plain.remove_prefix(in.size());
    for (bool done = false; !done;) {
      const auto step = encoder.encode(in, plain.empty() ? Encoder::Flush::finish : flush, out.data(), room);
      REQUIRE_FALSE(step.failed);
      result.append(out.data(), step.written);
      done = step.done;
    }
    REQUIRE(in.empty());
  } while (!plain.empty());
  return result;
}

std::string sample(int kind, size_t size) {
  Rng rng(7);
  std::string text;
  while (text.size() < size) {
    const uint64_t random = rng();
    if (kind == 0) text += "line " + std::to_string(random % 5000) + " of a page\n";
    if (kind == 1) text += static_cast<char>(random);
    if (kind == 2) text += "0123456789abcdef"[random % 16];
    if (kind == 3) text += std::to_string(random >> (random % 60)) + ' ';
    if (kind == 4) text += "aaaaaaaaaaaaaaaa";
  }
  text.resize(size);
  return text;
}

}  // namespace

TEST_CASE("gzip comes out whole, in any pieces") {
  EncoderMemory memory;
  Encoder encoder;
  for (const size_t size : {0u, 1u, 100u, 5000u, 200'000u})
    for (const auto& [piece, room] : {std::pair<size_t, size_t>{1 << 20, 1 << 20}, {777, 64}, {4096, 1000}})
      for (const auto flush : {Encoder::Flush::none, Encoder::Flush::sync}) {
        const std::string plain = sample(0, size);
        REQUIRE(encoder.begin(memory, ContentCoding::gzip, 4, 0));
        bool complete = false;
        CHECK((inflated(encoded(encoder, plain, piece, room, flush), complete) == plain));
        CHECK(complete);
        encoder.end();
      }
  CHECK(memory.lent() == 0);
}

TEST_CASE("after a flush all is with the client; without the end it does not look complete") {
  EncoderMemory memory;
  Encoder encoder;
  REQUIRE(encoder.begin(memory, ContentCoding::gzip, 4, 0));
  char out[4096];
  std::string sent;
  for (const std::string_view event : {"data: 1\n\n", "data: 2\n\n"}) {
    std::string_view in = event;
    const auto step = encoder.encode(in, Encoder::Flush::sync, out, sizeof out);
    CHECK(step.done);
    sent.append(out, step.written);
    bool complete = true;
    CHECK(inflated(sent, complete).ends_with(event));
    CHECK_FALSE(complete);
  }
}

TEST_CASE("no encoder takes more than is reserved for it") {
  for (const auto coding : kContentCodings)
    for (int level = 1; level <= Encoder::kLevels; ++level) {
      size_t most = 0;
      for (int kind = 0; kind < 5; ++kind)
        for (const auto& [piece, hint, flush] :
             {std::tuple<size_t, uint64_t, Encoder::Flush>{256 << 10, 0, Encoder::Flush::none},
              {64 << 10, 1u << 30, Encoder::Flush::none},
              {64 << 10, 1000, Encoder::Flush::sync}}) {
          EncoderMemory memory;
          Encoder encoder;
          REQUIRE(encoder.begin(memory, coding, level, hint));
          const std::string plain = sample(kind, 1 << 20);
          std::vector<char> out(32 << 10);
          for (size_t at = 0; at < plain.size(); at += piece) {
            std::string_view in = std::string_view(plain).substr(at, piece);
            for (bool done = false; !done;) {
              done = encoder.encode(in, flush, out.data(), out.size()).done;
              most = std::max(most, memory.lent());
            }
          }
        }
      INFO(to_string(coding) << " " << level << ": " << (most >> 10) << " KiB");
      CHECK(most <= Encoder::memory(coding, level));
      CHECK(most >= Encoder::memory(coding, level) / 3);  // else the bound is too wide
    }
}

TEST_CASE("memory is kept for the next, and given back") {
  EncoderMemory memory;
  Encoder encoder;
  REQUIRE(encoder.begin(memory, ContentCoding::gzip, 4, 0));
  const size_t lent = memory.lent();
  CHECK(memory.kept() == 0);
  encoder.end();
  CHECK(memory.lent() == 0);
  CHECK(memory.kept() == lent);
  REQUIRE(encoder.begin(memory, ContentCoding::gzip, 4, 0));
  CHECK(memory.kept() == 0);
  CHECK(memory.lent() == lent);
  encoder.end();
  memory.trim();
  CHECK(memory.kept() == 0);
  for (const size_t size : {1u, 48u, 49u, 64u, 65u, 1000u, 1u << 20, (1u << 20) + 1}) {
    void* block = memory.take(size);
    REQUIRE(block);
    CHECK(memory.lent() >= size);
    CHECK(memory.lent() <= std::max<size_t>(size * 5 / 4 + 32, 64));
    std::fill_n(static_cast<char*>(block), size, 'x');
    memory.give_back(block);
  }
  CHECK(memory.take(size_t{1} << 40) == nullptr);
}
