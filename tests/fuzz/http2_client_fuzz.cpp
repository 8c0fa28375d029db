// What a backend of HTTP/2 sends. The first byte says whether it has greeted already, how narrow the limits are, and
// how the rest is split.
#include <algorithm>
#include <array>
#include <utility>

#include "lb/net/http1.hpp"
#include "lb/net/http2_client_session.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace weir;
using namespace weir::http2;

namespace {

struct Asked {
  const char* method;
  bool body;
};
constexpr std::array<Asked, 4> kAsked{{{"GET", false}, {"HEAD", false}, {"POST", true}, {"CONNECT", true}}};

void drain(ClientSession& session) {
  size_t bytes = 0;
  for (auto piece = session.next_output(); !piece.empty(); piece = session.next_output()) bytes += piece.size();
  fuzz::require(bytes > (4u << 20) ? "it answers with more than 4 MiB" : "");
}

/// What stands in `in` begins with a whole head, or is the rest of a body.
void check_head(const ClientStream& stream, http1::Method method, bool first) {
  if (!first || stream.in.empty()) return;
  static http1::ResponseHead head;
  const auto result = http1::parse_response(stream.in.view(), method, {}, head);
  fuzz::require(result.status == http1::Parse::need_more ? "half a head" : "");
}

void check_lines(std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = lines.find("\r\n");
    fuzz::require(end == lines.npos ? "a trailer without an end" : "");
    const std::string_view line = lines.substr(0, end);
    fuzz::require(line.find(':') == line.npos || line.find('\n') != line.npos ? "a trailer that is no line" : "");
    lines.remove_prefix(end + 2);
  }
}

void submit(ClientSession& session, net::BufferPool& buffers, ClientStream& stream, const Asked& asked) {
  FieldSection fields;
  fields.add(":method", asked.method);
  fields.add(":scheme", "http");
  fields.add(":authority", "a.test");
  fields.add(":path", "/");
  stream.head_method = std::string_view(asked.method) == "HEAD";
  if (std::string_view(asked.method) == "CONNECT") {
    fields.add(":protocol", "websocket");
    stream.accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
  }
  if (asked.body) stream.out.append(buffers, std::string(100'000, 'x'));
  session.submit(stream, fields, asked.body);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t how = *data;
  net::BufferPool buffers;
  ClientLimits limits;
  if (how & 2) {
    limits.header_bytes = 200;
    limits.header_count = 5;
    limits.trailers = 2;
    limits.control_frames = 10;
  }
  std::array<ClientStream, kAsked.size()> streams;
  {
    ClientSession session(buffers, limits);
    constexpr std::string_view kGreeting("\0\0\0\4\0\0\0\0\0", 9);
    if (how & 1) session.receive(kGreeting.data(), kGreeting.size(), TimePoint());
    for (size_t i = 0; i < streams.size(); ++i) submit(session, buffers, streams[i], kAsked[i]);
    drain(session);
    std::string_view rest{reinterpret_cast<const char*>(data) + 1, size - 1};
    const size_t piece = how & 4 ? 1 + (how >> 4) : rest.size() + 1;
    std::array<bool, kAsked.size()> begun{};
    while (!rest.empty()) {
      const std::string_view now = rest.substr(0, piece);
      rest.remove_prefix(now.size());
      if (!session.receive(now.data(), now.size(), TimePoint())) {
        fuzz::require(session.problem() == ClientSession::Problem::none ? "a failure without a name" : "");
        break;
      }
      for (auto* stream : session.ready) stream->ready = false;
      session.ready.clear();
      for (size_t i = 0; i < streams.size(); ++i) {
        ClientStream& stream = streams[i];
        check_head(stream, i == 1 ? http1::Method::HEAD : http1::Method::GET, !begun[i]);
        begun[i] = begun[i] || !stream.in.empty();
        fuzz::require(stream.unconsumed > stream.in.size() ? "more to consume than has come" : "");
        fuzz::require(stream.in.size() > limits.stream_window + 2 * limits.header_bytes ? "more than the window" : "");
        check_lines(stream.trailers.view());
        if (how & 8) {
          stream.in.release(buffers);
          session.consume(stream, std::exchange(stream.unconsumed, 0));
        }
        if ((how & 16) && !stream.in.empty() && !stream.abandoned) session.abandon(stream);
      }
      drain(session);
    }
    session.say_goodbye();
    drain(session);
  }
  for (auto& stream : streams) stream.release(buffers);
  fuzz::require(buffers.used() ? "a buffer is lost" : "");
  return 0;
}
