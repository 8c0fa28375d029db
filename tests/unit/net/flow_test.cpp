// One direction of a relay, over socket pairs.
#include "lb/net/flow.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace weir;
using net::Flow;
using net::PipePool;
using Outcome = Flow::Outcome;

namespace {

struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    near = net::Stream(UniqueFd(ends[0]));
    far = net::Stream(UniqueFd(ends[1]));
  }
  net::Stream near, far;
};

struct Relay {
  net::BufferPool buffers;
  PipePool pipes;
  std::vector<char> scratch = std::vector<char>(256 << 10);
  Pair source, sink;
  Flow flow;
  bool readable = true;

  ~Relay() { flow.release(means()); }
  net::FlowMeans means() { return {buffers, pipes, scratch.data(), scratch.size()}; }
  Outcome move(bool peer_fin = false) { return flow.move(source.near, sink.near, readable, peer_fin, means()); }
  void put(const std::string& bytes) { REQUIRE(source.far.send(bytes.data(), bytes.size()).bytes == bytes.size()); }
  std::string take() {
    std::string all;
    for (char piece[4096];;) {
      const auto got = sink.far.receive(piece, sizeof piece);
      if (got.status != net::IoStatus::ok) return all;
      all.append(piece, got.bytes);
    }
  }
};

}  // namespace

TEST_CASE("flow: bytes as they come, then the end") {
  Relay relay;
  relay.put("hello");
  CHECK(relay.move() == Outcome::idle);
  CHECK_FALSE(relay.readable);
  CHECK(relay.take() == "hello");
  relay.put(" again");
  relay.source.far.shutdown_send();
  relay.readable = true;
  CHECK(relay.move(true) == Outcome::ended);
  CHECK(relay.flow.ended());
  CHECK(relay.take() == " again");
  char byte;
  CHECK(relay.sink.far.receive(&byte, 1).status == net::IoStatus::end);
  CHECK(relay.flow.taken() == 11);
  CHECK(relay.flow.given() == 11);
}

TEST_CASE("flow: what nobody takes is held, and no more is read") {
  Relay relay;
  const std::string piece(32 << 10, 'x');
  std::string sent, got;
  for (int i = 0; i < 200 && !relay.flow.holds(); ++i) {
    if (relay.source.far.send(piece.data(), piece.size()).status == net::IoStatus::ok) sent += piece;
    relay.readable = true;
    relay.move();
  }
  REQUIRE(relay.flow.holds());
  CHECK(relay.buffers.used() <= 256 << 10);
  const uint64_t taken = relay.flow.taken();
  for (int i = 0; i < 3; ++i) {
    relay.readable = true;
    CHECK(relay.move() == Outcome::blocked);
  }
  CHECK(relay.flow.taken() == taken);
  while (relay.flow.holds()) {
    got += relay.take();
    relay.move();
  }
  got += relay.take();
  CHECK(got.size() == relay.flow.given());
  CHECK(got.size() == relay.flow.taken());
  CHECK(relay.buffers.used() == 0);
}

TEST_CASE("flow: long pieces go through a pipe, which is given back") {
  Relay relay;
  const int big = 1 << 20;
  for (auto* stream : {&relay.source.far, &relay.sink.near})
    ::setsockopt(stream->fd(), SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
  std::string sent, got;
  for (int i = 0; i < 64; ++i) {
    const std::string piece(100'000, static_cast<char>('a' + i % 26));
    size_t at = 0;
    while (at < piece.size()) {
      const auto put = relay.source.far.send(piece.data() + at, piece.size() - at);
      at += put.bytes;
      relay.readable = true;
      relay.move();
      got += relay.take();
    }
    sent += piece;
  }
  relay.source.far.shutdown_send();
  relay.readable = true;
  while (relay.move(true) != Outcome::ended) got += relay.take();
  got += relay.take();
  CHECK((got == sent));
  CHECK(relay.flow.given() == sent.size());
}

TEST_CASE("flow: breaks are told apart") {
  Relay relay;
  relay.put("x");
  relay.sink.far = net::Stream();
  CHECK(relay.move() == Outcome::sink_failed);
  CHECK(relay.flow.error() == EPIPE);
}

TEST_CASE("flow: of a source that has broken off everything goes on but an end") {
  Relay relay;
  relay.put("why");
  relay.source.far.shutdown_send();
  relay.flow.source_broke_off();
  CHECK(relay.move(true) == Outcome::source_failed);
  CHECK(relay.take() == "why");
  char byte;
  CHECK(relay.sink.far.receive(&byte, 1).status == net::IoStatus::would_block);
  CHECK(relay.move(true) == Outcome::idle);
}

TEST_CASE("flow: an end that was passed on before the source broke off stays one") {
  Relay relay;
  relay.source.far.shutdown_send();
  CHECK(relay.move(true) == Outcome::ended);
  relay.flow.source_broke_off();
  relay.readable = true;
  CHECK(relay.move(true) == Outcome::ended);
}

TEST_CASE("pipes: no more than a pool may have") {
  PipePool pool;
  std::vector<net::Pipe> taken;
  for (uint32_t i = 0; i < PipePool::kMost; ++i) {
    taken.push_back(pool.take());
    REQUIRE(taken.back());
  }
  CHECK_FALSE(pool.take());
  pool.give_back(std::move(taken.back()), true);
  taken.pop_back();
  taken.push_back(pool.take());
  CHECK(taken.back());
  for (auto& pipe : taken) pool.give_back(std::move(pipe), false);
}
