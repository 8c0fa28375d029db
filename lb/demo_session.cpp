#include "lb/demo_session.hpp"

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <charconv>
#include <map>
#include <optional>

#include "lb/base/escape.hpp"
#include "lb/base/log.hpp"

namespace weir::demo {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr size_t kEchoBytes = 64u << 20;
constexpr size_t kPiece = 64u << 10;

/// A request with what its body came to.
struct Request {
  http::request<http::buffer_body> head;
  std::string client, path, query, body;
  uint64_t body_bytes = 0;
  std::string_view target() const { return {head.target().data(), head.target().size()}; }
  bool wants_json() const { return head[http::field::accept].find("application/json") != beast::string_view::npos; }
};

/// What to answer: decided by plain functions, sent by coroutines. (GCC 12 destroys the temporaries of an expression
/// with co_await twice now and then, so the coroutines take nothing but references to named objects.)
struct Reply {
  enum class Kind { text, bytes, stream };
  unsigned status = 200;
  std::string body, type = "text/plain";
  Kind kind = Kind::text;
  uint64_t bytes = 0;
  milliseconds delay{0}, every{1000};  // every: between the events of a stream
  bool then_die = false;
  milliseconds dead_for{0};
};

std::string_view text(beast::string_view view) { return {view.data(), view.size()}; }

std::string quoted(std::string_view text) {
  std::string out = "\"";
  append_escaped(text, EscapeStyle::json, out);
  return out += '"';
}

std::string describe(const Backend& backend, const Request& request) {
  std::map<std::string, std::string, std::less<>> fields;  // a repeated field is joined, as RFC 9110 §5.3 reads it
  for (const auto& field : request.head) {
    std::string name(field.name_string());
    for (auto& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    auto& value = fields[name];
    if (!value.empty()) value += ", ";
    value.append(field.value().data(), field.value().size());
  }
  std::string out =
      "{\n  \"backend\": " + quoted(backend.name) + ",\n  \"request\": " + std::to_string(backend.requests);
  out += ",\n  \"client\": " + quoted(request.client) +
         ",\n  \"method\": " + quoted(std::string(request.head.method_string()));
  out += ",\n  \"target\": " + quoted(request.target()) + ",\n  \"version\": \"1." +
         std::to_string(request.head.version() % 10);
  out += "\",\n  \"body_bytes\": " + std::to_string(request.body_bytes) + ",\n  \"headers\": {";
  const char* comma = "";
  for (const auto& [name, value] : fields) {
    out += comma + ("\n    " + quoted(name)) + ": " + quoted(value);
    comma = ",";
  }
  return out += "\n  }\n}\n";
}

uint64_t number_or(std::string_view text, uint64_t fallback) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty() ? number : fallback;
}

/// Reads a parameter that may be left out. False: it is there, and no time with its unit.
bool read_time(const Request& request, std::string_view name, milliseconds& out) {
  const auto text = query_value(request.query, name);
  return text.empty() || parse_duration(text, out);
}

Reply refusal(std::string why) { return {400, why + "; see weir demo-backend --help\n"}; }

/// Why a query can't be obeyed, or nothing.
std::optional<Reply> refuse_query(const Request& request, std::initializer_list<std::string_view> known) {
  const auto unknown = unknown_parameter(request.query, known);
  if (unknown.empty()) return std::nullopt;
  std::string names;
  for (const auto name : known) names += (names.empty() ? "" : ", ") + std::string(name);
  return refusal(std::string(request.path) + " has no parameter " + std::string(unknown.substr(0, 64)) +
                 (names.empty() ? "" : "; it has: " + names));
}

Reply fail(Backend& me, const Request& request) {
  if (auto refused = refuse_query(request, {"status", "only"})) return *refused;
  const auto only = query_value(request.query, "only"), status = query_value(request.query, "status");
  const auto number = status.empty() ? 503 : number_or(status, 0);
  if (number < 200 || number > 599) return refusal("status: write one from 200 to 599");
  if (!only.empty() && only != "health" && only != "requests") return refusal("only: write health or requests");
  me.fail_status = static_cast<uint16_t>(number);
  me.failing = only != "health";
  me.unhealthy = only != "requests";
  return {200, me.name + ": done\n"};
}

/// What a POST to /-/… tells it to be.
Reply obey(Backend& me, const Request& request) {
  const auto order = std::string_view(request.path).substr(3);
  if (request.head.method() != http::verb::post) return {405, "POST it: curl -X POST …" + request.path + "\n"};
  Reply reply{200, me.name + ": done\n"};
  milliseconds time{0};
  if (order == "fail") {
    reply = fail(me, request);
  } else if (order == "ok") {
    if (auto refused = refuse_query(request, {})) return *refused;
    me.failing = me.unhealthy = false;
    me.delay = me.options.delay;
  } else if (order == "slow") {
    if (auto refused = refuse_query(request, {"by"})) return *refused;
    if (!parse_duration(query_value(request.query, "by"), time)) return refusal("by: write a time like 300ms or 2s");
    me.delay = time;
  } else if (order == "die") {
    if (auto refused = refuse_query(request, {"for"})) return *refused;
    if (!read_time(request, "for", time)) return refusal("for: write a time like 500ms or 10s");
    reply.body = me.name + " dies\n";
    reply.then_die = true;
    reply.dead_for = time;
  } else {
    return refusal("no such order");
  }
  if (reply.status == 200) log::info("told", {{"backend", me.name}, {"order", std::string(request.target())}});
  return reply;
}

/// An ordinary answer, of one that neither fails nor was asked for something special.
Reply greet(const Backend& me, const Request& request, Reply reply) {
  if (request.path.starts_with("/status/")) {
    const auto asked = number_or(std::string_view(request.path).substr(8), 0);
    if (asked < 200 || asked > 599) return {400, "write /status/N with N from 200 to 599\n"};
    reply.status = static_cast<unsigned>(asked);
  }
  const bool json = request.path == "/headers" || request.wants_json();
  if (json) reply.type = "application/json";
  reply.body =
      json ? describe(me, request) : "hello from " + me.name + " (request " + std::to_string(me.requests) + ")\n";
  return reply;
}

Reply decide(Backend& me, Request& request) {
  if (request.path.starts_with("/-/")) return obey(me, request);
  if (request.path == "/healthz") return me.unhealthy ? Reply{503, me.name + " is not well\n"} : Reply{200, "ok\n"};
  ++me.requests;
  if (me.options.verbose) {
    log::info("request", {{"backend", me.name},
                          {"method", std::string(request.head.method_string())},
                          {"target", std::string(request.target())}});
  }
  Reply reply;
  reply.delay = me.delay;
  if (request.path == "/slow") {
    if (auto refused = refuse_query(request, {"by"})) return *refused;
    milliseconds by = 1s;
    if (!read_time(request, "by", by)) return refusal("by: write a time like 300ms or 2s");
    reply.delay += by;
  }
  reply.status = me.options.status;
  if (me.failing) {
    reply.status = me.fail_status;
    reply.body = me.name + " fails, as it was told\n";
  } else if (me.options.fail_percent > 0 && me.rng.below(100) < me.options.fail_percent) {
    reply.status = 503;
    reply.body = me.name + " fails now and then, as it was told\n";
  } else if (request.path == "/echo") {
    const std::string_view type = text(request.head[http::field::content_type]);
    reply.type = type.empty() ? "application/octet-stream" : type;
    reply.body = std::move(request.body);
  } else if (request.path == "/stream") {
    if (auto refused = refuse_query(request, {"every", "n"})) return *refused;
    if (!read_time(request, "every", reply.every)) return refusal("every: write a time like 100ms or 2s");
    reply.kind = Reply::Kind::stream;
  } else if (request.path.starts_with("/bytes/")) {
    reply.kind = Reply::Kind::bytes;
    reply.bytes = number_or(std::string_view(request.path).substr(7), 0);
  } else {
    return greet(me, request, std::move(reply));
  }
  return reply;
}

asio::awaitable<void> wait(milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

class Session {
 public:
  Session(Socket socket, std::shared_ptr<Backend> backend) : socket_(std::move(socket)), backend_(std::move(backend)) {
    backend_->sockets().insert(&socket_);
    error_code error;
    const auto peer = socket_.remote_endpoint(error);
    if (!error) client_ = Endpoint::from_sockaddr(peer.data(), static_cast<socklen_t>(peer.size())).to_string();
  }
  ~Session() { backend_->sockets().erase(&socket_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  asio::awaitable<void> run() {
    for (bool again = true; again;) again = co_await exchange();
    error_code ignored;
    socket_.shutdown(asio::socket_base::shutdown_both, ignored);
  }

 private:
  asio::awaitable<bool> exchange();
  asio::awaitable<bool> read_body(http::request_parser<http::buffer_body>& parser, Request& request);
  asio::awaitable<bool> answer(const Request& request, const Reply& reply);
  asio::awaitable<bool> send(const Request& request, const Reply& reply);
  asio::awaitable<bool> send_bytes(const Request& request, uint64_t bytes);
  asio::awaitable<bool> send_stream(const Request& request, milliseconds every);
  asio::awaitable<void> websocket(const Request& request);
  std::string head(const Request& request, unsigned status, std::string_view type, std::string_view framing) const;

  Socket socket_;
  std::shared_ptr<Backend> backend_;
  std::string client_;
  beast::flat_buffer buffer_;
};

/// Reads one request and answers it. False: the connection ends here.
asio::awaitable<bool> Session::exchange() {
  http::request_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  parser.header_limit(64u << 10);
  error_code error;
  co_await http::async_read_header(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, error));
  Request request;
  if (error) {
    if (error.category() != http::make_error_code(http::error::bad_method).category() ||
        error == http::error::end_of_stream) {
      co_return false;
    }
    request.head.version(11);
    request.head.keep_alive(false);
    const Reply refusal{400, "that is no HTTP/1.1 request: " + error.message() + "\n"};
    co_return co_await send(request, refusal);
  }
  if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(socket_, asio::buffer(go_on), asio::use_awaitable);
  }
  request.head = parser.get();
  request.client = client_;
  const auto target = request.target();
  request.path = target.substr(0, target.find('?'));
  if (request.path.size() < target.size()) request.query = target.substr(request.path.size() + 1);
  if (request.path == "/ws" && beast::websocket::is_upgrade(request.head)) {
    co_await websocket(request);
    co_return false;
  }
  const bool complete = co_await read_body(parser, request);
  const Reply reply = complete ? decide(*backend_, request) : Reply{413, "more than 64 MiB\n"};
  if (reply.delay > 0ms) co_await wait(reply.delay);
  const bool again = co_await answer(request, reply);
  if (reply.then_die) {
    backend_->sockets().erase(&socket_);  // whose answer is to arrive
    backend_->die(reply.dead_for);
  }
  co_return again && !reply.then_die;
}

/// Keeps the body for /echo, counts it for all. False: too large to keep.
asio::awaitable<bool> Session::read_body(http::request_parser<http::buffer_body>& parser, Request& request) {
  const bool keep = request.path == "/echo";
  std::string piece(parser.is_done() ? 0 : kPiece, '\0');
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error_code error;
    co_await http::async_read_some(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, error));
    if (error && error != http::error::need_buffer) throw boost::system::system_error(error);
    const size_t read = piece.size() - parser.get().body().size;
    request.body_bytes += read;
    if (!keep) continue;
    if (request.body.size() + read > kEchoBytes) {
      request.head.keep_alive(false);
      co_return false;
    }
    request.body.append(piece, 0, read);
  }
  co_return true;
}

asio::awaitable<bool> Session::answer(const Request& request, const Reply& reply) {
  if (reply.kind == Reply::Kind::stream) return send_stream(request, reply.every);
  if (reply.kind == Reply::Kind::bytes) return send_bytes(request, reply.bytes);
  return send(request, reply);
}

/// `framing`: a whole field with its line end, or empty.
std::string Session::head(const Request& request, unsigned status, std::string_view type,
                          std::string_view framing) const {
  std::string out = "HTTP/1.1 " + std::to_string(status) + " ";
  out += text(http::obsolete_reason(static_cast<http::status>(status)));
  out += "\r\nServer: weir-demo\r\nX-Backend: " + backend_->name + "\r\n";
  if (!type.empty()) out.append("Content-Type: ").append(type).append("\r\n");
  out += framing;
  if (!request.head.keep_alive()) out += "Connection: close\r\n";
  if (request.head.keep_alive() && request.head.version() == 10) out += "Connection: keep-alive\r\n";
  return out += "\r\n";
}

asio::awaitable<bool> Session::send(const Request& request, const Reply& reply) {
  const bool bodiless = reply.status == 204 || reply.status == 304;
  const std::string length = bodiless ? "" : "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
  const std::string first = head(request, reply.status, bodiless ? "" : reply.type, length);
  const bool with_body = !bodiless && request.head.method() != http::verb::head;
  const std::array<asio::const_buffer, 2> message{asio::buffer(first),
                                                  asio::buffer(reply.body.data(), with_body ? reply.body.size() : 0)};
  co_await asio::async_write(socket_, message, asio::use_awaitable);
  co_return request.head.keep_alive();
}

asio::awaitable<bool> Session::send_bytes(const Request& request, uint64_t bytes) {
  const std::string first =
      head(request, 200, "application/octet-stream", "Content-Length: " + std::to_string(bytes) + "\r\n");
  if (request.head.method() == http::verb::head) bytes = 0;
  std::string piece(std::min<uint64_t>(bytes, kPiece), '\0');
  for (size_t i = 0; i < piece.size(); ++i) piece[i] = i % 64 == 63 ? '\n' : static_cast<char>('a' + i % 64 % 26);
  std::array<asio::const_buffer, 2> message{asio::buffer(first), asio::buffer(piece)};
  for (;;) {
    co_await asio::async_write(socket_, message, asio::use_awaitable);
    bytes -= message[1].size();
    if (bytes == 0) co_return request.head.keep_alive();
    message = {asio::const_buffer{}, asio::buffer(piece.data(), std::min<uint64_t>(bytes, piece.size()))};
  }
}

asio::awaitable<bool> Session::send_stream(const Request& request, milliseconds every) {
  const auto pause = std::max(every, milliseconds(1));
  const uint64_t events = number_or(query_value(request.query, "n"), 0);
  const bool chunked = request.head.version() >= 11;  // HTTP/1.0 knows the end by the connection's end
  const std::string first =
      head(request, 200, "text/event-stream",
           chunked ? "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n" : "Cache-Control: no-cache\r\n");
  co_await asio::async_write(socket_, asio::buffer(first), asio::use_awaitable);
  if (request.head.method() == http::verb::head) co_return request.head.keep_alive();
  std::string event;
  for (uint64_t n = 1; events == 0 || n <= events; ++n) {
    if (n > 1) co_await wait(pause);
    event = "data: {\"backend\": " + quoted(backend_->name) + ", \"tick\": " + std::to_string(n) + "}\n\n";
    const auto chunk = http::make_chunk(asio::buffer(event));
    if (chunked) {
      co_await asio::async_write(socket_, chunk, asio::use_awaitable);
    } else {
      co_await asio::async_write(socket_, asio::buffer(event), asio::use_awaitable);
    }
  }
  const auto last = http::make_chunk_last();
  if (chunked) co_await asio::async_write(socket_, last, asio::use_awaitable);
  co_return chunked&& request.head.keep_alive();
}

asio::awaitable<void> Session::websocket(const Request& request) {
  beast::websocket::stream<Socket&> stream(socket_);
  co_await stream.async_accept(request.head, asio::use_awaitable);
  ++backend_->requests;
  backend_->remember_websocket(
      &stream, [&stream] { stream.async_close(beast::websocket::close_code::going_away, [](error_code) {}); });
  const auto forget = [backend = backend_](const void* websocket) { backend->forget_websocket(websocket); };
  const std::unique_ptr<const void, decltype(forget)> remembered(&stream, forget);
  beast::flat_buffer message;
  for (;;) {
    co_await stream.async_read(message, asio::use_awaitable);
    stream.text(stream.got_text());
    co_await stream.async_write(message.data(), asio::use_awaitable);
    message.clear();
  }
}

}  // namespace

asio::awaitable<void> serve(Socket socket, std::shared_ptr<Backend> backend) {
  Session session(std::move(socket), std::move(backend));
  try {
    co_await session.run();
  } catch (const boost::system::system_error&) {
    // The peer has gone, or its WebSocket has ended.
  }
}

}  // namespace weir::demo
