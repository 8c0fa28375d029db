#include "lb/net/http2_client_session.hpp"

#include <memory>
#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::http2;

namespace {

/// A frame (RFC 9113 §4.1).
std::string frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string out;
  const auto byte = [&](size_t value) { out += static_cast<char>(value & 0xff); };
  byte(payload.size() >> 16), byte(payload.size() >> 8), byte(payload.size());
  byte(type), byte(flags);
  byte(stream >> 24), byte(stream >> 16), byte(stream >> 8), byte(stream);
  return out + payload;
}

/// A literal field without indexing (RFC 7541 §6.2.2), short enough for one byte of length.
std::string field(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name + static_cast<char>(value.size()) + value;
}

constexpr uint8_t kData = 0, kHeaders = 1, kPriority = 2, kReset = 3, kSettings = 4, kPing = 6, kGoaway = 7,
                  kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

struct Session {
  net::BufferPool buffers;
  ClientSession session;
  std::vector<std::unique_ptr<ClientStream>> streams;
  TimePoint now{std::chrono::seconds(1)};

  explicit Session(const ClientLimits& limits = {}) : session(buffers, limits) {
    output();
    REQUIRE(receive(frame(kSettings, 0, 0, "")));
  }
  ~Session() {
    for (auto& stream : streams) stream->release(buffers);
  }
  bool receive(const std::string& bytes) { return session.receive(bytes.data(), bytes.size(), now); }
  std::string output() {
    std::string all;
    for (auto piece = session.next_output(); !piece.empty(); piece = session.next_output()) all += piece;
    return all;
  }
  ClientStream& ask(const std::string& method = "GET", bool body = false) {
    streams.push_back(std::make_unique<ClientStream>());
    FieldSection fields;
    fields.add(":method", method);
    fields.add(":scheme", "http");
    fields.add(":authority", "a.test");
    fields.add(":path", "/");
    streams.back()->head_method = method == "HEAD";
    REQUIRE(session.submit(*streams.back(), fields, body));
    output();
    return *streams.back();
  }
  static uint32_t id(const ClientStream& stream) { return static_cast<uint32_t>(stream.id); }
};

}  // namespace

TEST_CASE("an answer of HTTP/2 reads like one of HTTP/1.1") {
  Session s;
  auto& stream = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(stream), field(":status", "200") + field("x-a", "1"))));
  CHECK(stream.in.view() == "HTTP/1.1 200 \r\nx-a: 1\r\n\r\n");
  CHECK(s.receive(frame(kData, 0, s.id(stream), "hello")));
  CHECK(s.receive(frame(kData, kEndStream, s.id(stream), "!")));
  CHECK(stream.in.view() == "HTTP/1.1 200 \r\nx-a: 1\r\n\r\nhello!");
  CHECK(stream.unconsumed == 6);
  CHECK(stream.ended);
  CHECK(stream.closed);
  CHECK(stream.fault == StreamFault::none);
  REQUIRE(s.session.ready.size() == 1);
}

TEST_CASE("interim answers stand before the final one, trailers apart") {
  Session s;
  auto& stream = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(stream), field(":status", "103") + field("link", "</a>"))));
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(stream), field(":status", "200"))));
  CHECK(s.receive(frame(kData, 0, s.id(stream), "x")));
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(stream), field("grpc-status", "0"))));
  CHECK(stream.in.view() == "HTTP/1.1 103 \r\nlink: </a>\r\n\r\nHTTP/1.1 200 \r\n\r\nx");
  CHECK(stream.trailers.view() == "grpc-status: 0\r\n");
  CHECK(stream.ended);
}

TEST_CASE("a final answer without a body behind an interim one is no trailer") {
  Session s;
  auto& stream = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(stream), field(":status", "103"))));
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(stream), field(":status", "200"))));
  CHECK(stream.in.view() == "HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n");
  CHECK(stream.trailers.empty());
}

TEST_CASE("what accepts a WebSocket is ours to say") {
  Session s;
  auto& stream = s.ask("GET", true);
  stream.accept = "ours";
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(stream),
                        field(":status", "200") + field("sec-websocket-accept", "theirs") + field("x-a", "1"))));
  CHECK(stream.in.view() ==
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: ours\r\nx-a: 1\r\n\r\n");
}

TEST_CASE("a head that is all there is says so") {
  Session s;
  auto& get = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(get), field(":status", "200"))));
  CHECK(get.in.view() == "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n");
  auto& head = s.ask("HEAD");
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(head), field(":status", "200"))));
  CHECK(head.in.view() == "HTTP/1.1 200 \r\n\r\n");
  auto& none = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(none), field(":status", "204"))));
  CHECK(none.in.view() == "HTTP/1.1 204 \r\n\r\n");
}

TEST_CASE("answers that break the protocol end their stream alone") {
  Session s;
  const std::string ok = field(":status", "200");
  const std::vector<std::string> bad{
      ok + field("Upper", "1"),
      ok + field("connection", "close"),
      ok + field("transfer-encoding", "chunked"),
      ok + field("x", "a\r\nset-cookie: b"),
      ok + field("x", std::string("a\0b", 3)),
      ok + field("a:b", "1"),
      ok + field("a b", "1"),
      ok + field("content-length", "x"),
      ok + field(":status", "200"),
      field("x", "1"),
      field(":path", "/"),
      field(":status", "101"),
      field(":status", "20"),
  };
  for (const auto& block : bad) {
    CAPTURE(block);
    auto& stream = s.ask();
    CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(stream), block)));
    s.output();
    CHECK(stream.closed);
    CHECK(stream.fault == StreamFault::malformed);
    CHECK(stream.in.empty());
  }
  auto& good = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(good), ok)));
  CHECK(good.ended);
}

TEST_CASE("a length that is not kept is a broken answer") {
  Session s;
  for (const char* body : {"ab", "abcd"}) {
    auto& stream = s.ask();
    CHECK(
        s.receive(frame(kHeaders, kEndHeaders, s.id(stream), field(":status", "200") + field("content-length", "3"))));
    CHECK(s.receive(frame(kData, kEndStream, s.id(stream), body)));
    s.output();
    CHECK(stream.closed);
    CHECK_FALSE(stream.ended);
    CHECK(stream.fault == StreamFault::malformed);
  }
}

TEST_CASE("heads and trailers have bounds") {
  ClientLimits limits;
  limits.header_bytes = 300;
  limits.header_count = 5;
  limits.trailers = 2;
  Session s(limits);
  auto& many = s.ask();
  std::string block = field(":status", "200");
  for (int i = 0; i < 5; ++i) block += field("a", "b");
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(many), block)));
  auto& large = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(large),
                        field(":status", "200") + field("a", std::string(100, 'x')) +
                            field("b", std::string(100, 'x')) + field("c", std::string(100, 'x')))));
  auto& behind = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(behind), field(":status", "200"))));
  CHECK(s.receive(
      frame(kHeaders, kEndHeaders | kEndStream, s.id(behind), field("a", "1") + field("b", "1") + field("c", "1"))));
  s.output();
  for (auto* stream : {&many, &large, &behind}) {
    CHECK(stream->closed);
    CHECK(stream->fault == StreamFault::too_large);
  }
}

TEST_CASE("what the backend has not looked at may be asked again") {
  Session s;
  auto& first = s.ask();
  auto& second = s.ask();
  auto& third = s.ask();
  CHECK(s.receive(frame(kReset, 0, s.id(third), std::string("\0\0\0\x07", 4))));  // REFUSED_STREAM
  CHECK(third.fault == StreamFault::refused);
  CHECK(s.receive(frame(kGoaway, 0, 0, std::string("\0\0\0\x01\0\0\0\0", 8))));
  CHECK(s.session.going_away());
  CHECK(second.closed);
  CHECK(second.fault == StreamFault::refused);
  CHECK_FALSE(first.closed);
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(first), field(":status", "200"))));
  CHECK(first.ended);
  ClientStream late;
  FieldSection fields;
  CHECK_FALSE(s.session.submit(late, fields, false));
}

TEST_CASE("a reset is one, but not after the answer is complete") {
  Session s;
  auto& broken = s.ask();
  CHECK(s.receive(frame(kHeaders, kEndHeaders, s.id(broken), field(":status", "200"))));
  CHECK(s.receive(frame(kReset, 0, s.id(broken), std::string("\0\0\0\x02", 4))));
  CHECK(broken.fault == StreamFault::reset);
  auto& early = s.ask("POST", true);
  CHECK(s.receive(frame(kHeaders, kEndHeaders | kEndStream, s.id(early), field(":status", "413"))));
  CHECK(s.receive(frame(kReset, 0, s.id(early), std::string("\0\0\0\0", 4))));
  CHECK(early.ended);
  CHECK(early.closed);
  CHECK(early.fault == StreamFault::none);
}

TEST_CASE("what doesn't speak HTTP/2 is told from what breaks it") {
  net::BufferPool buffers;
  ClientSession session(buffers);
  const std::string answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  session.receive(answer.data(), answer.size(), TimePoint());
  while (!session.next_output().empty()) {
  }
  CHECK(session.problem() == ClientSession::Problem::not_http2);
  Session s;
  s.receive(frame(kData, 0, 0, "on the connection"));
  s.output();
  CHECK(s.session.problem() == ClientSession::Problem::protocol);
}

TEST_CASE("floods end the connection, and time makes them good") {
  ClientLimits limits;
  limits.control_frames = 20;
  Session s(limits);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 15; ++i) CHECK(s.receive(frame(kPing, 0, 0, "01234567")));
    s.output();
    s.now += ClientLimits::kControlTime;
  }
  const std::vector<std::string> floods{frame(kPing, 0, 0, "01234567"), frame(kSettings, 0, 0, ""),
                                        frame(kPriority, 0, 1, std::string("\0\0\0\0\1", 5)), frame(kData, 0, 1, "")};
  for (const auto& one : floods) {
    Session flooded(limits);
    flooded.ask();
    CHECK(flooded.receive(frame(kHeaders, kEndHeaders, 1, field(":status", "200"))));
    bool stands = true;
    for (int i = 0; i < 25 && stands; ++i) {
      stands = flooded.receive(one);
      flooded.output();
    }
    CHECK_FALSE(stands);
    CHECK(flooded.session.problem() == ClientSession::Problem::flood);
  }
}

TEST_CASE("a head in endless continuations ends the connection") {
  Session s;
  auto& stream = s.ask();
  bool stands = s.receive(frame(kHeaders, 0, s.id(stream), field(":status", "200")));
  for (int i = 0; i < 1000 && stands; ++i)
    stands = s.receive(frame(kContinuation, 0, s.id(stream), field("a", std::string(100, 'x'))));
  CHECK_FALSE(stands);
}

TEST_CASE("a body goes out as far as the window reaches, trailers behind it") {
  Session s;
  auto& stream = s.ask("POST", true);
  stream.out.append(s.buffers, std::string(100'000, 'x'));
  stream.out_end = true;
  stream.out_trailers.append(s.buffers, "X-Sum: 1\r\n");
  CHECK(stream.out_whole);
  CHECK(s.session.window() == 65'535);
  s.session.resume(stream);
  CHECK(s.output().size() < 66'000);
  CHECK(stream.out.size() == 100'000 - 65'535);
  CHECK_FALSE(stream.out_whole);
  CHECK(s.session.window() == 0);
  CHECK(s.receive(frame(8, 0, s.id(stream), std::string("\0\1\0\0", 4)) + frame(8, 0, 0, std::string("\0\1\0\0", 4))));
  const std::string rest = s.output();
  CHECK(rest.size() > 100'000 - 65'535);
  CHECK(stream.out.empty());
}

TEST_CASE("an abandoned stream is told, and its data thrown away") {
  Session s;
  auto& stream = s.ask();
  s.session.abandon(stream);
  const std::string told = s.output();
  CHECK(told.find(std::string("\0\0\0\x08", 4)) != std::string::npos);  // CANCEL
  CHECK(stream.closed);
  CHECK(s.receive(frame(kData, 0, s.id(stream), "late")));
  CHECK(stream.in.empty());
}
