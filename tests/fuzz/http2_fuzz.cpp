// A client's connection of HTTP/2, without I/O: whatever comes, in pieces that the input chooses, each request that is
// taken is a head of HTTP/1.1 of one meaning, every stream is told to be closed at most once, what is held is bounded,
// and in the end nothing is left. The first byte chooses the pieces; the preface is put before the rest.
#include "lb/net/http2_server.hpp"

#include <algorithm>
#include <memory>
#include <vector>

#include "lb/net/http1.hpp"
#include "lb/net/http2_fields.hpp"
#include "lb/net/http2_request.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace weir;

namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Stream final : http2::ServerStream {
  http2::RequestText text;
  size_t held = 0, left = 40'000;
  bool headed = false, ended = false, answered = false, large = false;
};

class Events final : public http2::ServerEvents {
 public:
  explicit Events(const Http2Limits& limits) : limits_(limits) {}
  ~Events() {
    for (auto& stream : streams) stream->text.release(pool);
  }

  http2::ServerStream* on_stream() override {
    streams.push_back(std::make_unique<Stream>());
    return streams.back().get();
  }
  Field on_field(http2::ServerStream& stream, std::string_view name, std::string_view value, bool trailer) override {
    Stream& mine = own(stream);
    if (trailer) return Field::ok;
    if (mine.headed) fuzz::require("a field after the head");
    const auto verdict = mine.text.add(pool, limits_, name, value);
    mine.large = verdict == http2::RequestText::Verdict::too_large;
    return verdict == http2::RequestText::Verdict::malformed ? Field::malformed : Field::ok;
  }
  Field on_head(http2::ServerStream& stream) override {
    Stream& mine = own(stream);
    if (mine.headed) fuzz::require("two heads");
    mine.headed = true;
    const auto verdict = mine.text.finish(pool, !stream.heard_all(), "AAECAwQFBgcICQoLDA0ODw==");
    if (verdict == http2::RequestText::Verdict::malformed) return Field::malformed;
    if (verdict == http2::RequestText::Verdict::ok) check_head(mine);
    return Field::ok;
  }
  void on_data(http2::ServerStream& stream, std::string_view data) override {
    Stream& mine = own(stream);
    if (!mine.headed || mine.ended) fuzz::require("a body without its head, or after its end");
    mine.held += data.size();
    if (mine.held > limits_.stream_window + 65'535) fuzz::require("more than the window");
  }
  void on_end(http2::ServerStream& stream) override { own(stream).ended = true; }
  void on_closed(http2::ServerStream&, Http2Error, bool) override {}
  size_t on_read(http2::ServerStream& stream, bool& end, bool& trailers) override {
    end = true;
    trailers = stream.id() % 8 == 1;
    return own(stream).left;
  }
  void on_take(http2::ServerStream& stream, size_t bytes, net::Buffer& out) override {
    Stream& mine = own(stream);
    if (bytes > mine.left) fuzz::require("more than there is");
    mine.left -= bytes;
    out.append(pool, std::string(bytes, 'x'));
  }
  void on_trailers_due(http2::ServerStream& stream) override {
    http2::FieldSection fields;
    fields.add("x-sum", "1");
    session->submit_trailers(stream, fields);
  }
  void on_reset_received(Http2Error) override {}
  void on_reset_sent(Http2Error) override {}
  void on_goaway_sent(Http2Error) override {}

  void answer() {
    for (auto& stream : streams) {
      if (stream->closed() || !stream->headed || stream->answered) continue;
      session->consume(*stream, stream->held);
      stream->held = 0;
      if (!stream->heard_all()) continue;
      stream->answered = true;
      http2::FieldSection fields;
      fields.add(":status", "200");
      session->submit_head(*stream, fields, stream->id() % 4 == 1);
    }
  }

  net::BufferPool pool;
  http2::ServerSession* session = nullptr;
  std::vector<std::unique_ptr<Stream>> streams;

 private:
  static Stream& own(http2::ServerStream& stream) {
    auto& mine = static_cast<Stream&>(stream);
    if (mine.closed()) fuzz::require("told of a stream that is closed");
    return mine;
  }
  /// The text is one whole head and nothing else, or the parser has said why not.
  static void check_head(Stream& stream) {
    http1::RequestHead head;
    const std::string_view text = stream.text.view();
    const auto result = http1::parse_request(text, {}, head);
    if (result.status == http1::Parse::need_more) fuzz::require("the head of a whole request isn't whole");
    if (result.status == http1::Parse::done && head.size != text.size()) fuzz::require("more than one head");
    if (result.status == http1::Parse::done && head.framing == http1::Framing::none && !stream.heard_all() &&
        !stream.text.websocket())
      fuzz::require("a body without framing");
  }

  const Http2Limits& limits_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 200'000) return 0;
  Http2Limits limits;
  limits.streams = 20;
  const TimePoint now{std::chrono::seconds(1000)};
  const size_t piece = data[0] ? data[0] : 100'000;
  std::string input(kPreface);
  input.append(reinterpret_cast<const char*>(data) + 1, size - 1);
  Events events(limits);
  net::Buffer out;
  {
    http2::ServerSession session(limits, events, now);
    events.session = &session;
    for (size_t at = 0; at < input.size() && !session.finished(); at += piece) {
      session.receive(std::string_view(input).substr(at, piece), now);
      events.answer();
      session.produce(events.pool, out, 64 << 10);
      if (out.size() > (64 << 10) + 16'384 + 9 + 4096) fuzz::require("more is produced than asked for");
      out.release(events.pool);
    }
    session.terminate(Http2Error::no_error);
    session.produce(events.pool, out, 64 << 10);
    out.release(events.pool);
  }
  return 0;
}
