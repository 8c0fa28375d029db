#include "lb/admin/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "lb/admin/assets.hpp"
#include "lb/admin/broadcast.hpp"
#include "lb/admin/socket_file.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/log.hpp"
#include "lb/net/socket.hpp"

namespace weir::admin {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::error_code;
using Protocol = asio::generic::stream_protocol;
using Stream = boost::beast::basic_stream<Protocol>;

constexpr std::chrono::milliseconds kPauseAfterAcceptError{100};  // descriptors ran out: don't spin
constexpr std::chrono::seconds kLinger{2};  // RFC 9112 §9.6: let the client read the answer to what it is still sending
const boost::beast::string_view kPolicy(kContentSecurityPolicy.data(), kContentSecurityPolicy.size());
constexpr size_t kLingerBytes = 64 << 10;
constexpr std::chrono::seconds kRefusalLog{1};  // between two lines about refused requests

class Session;

/// What the sessions share; empty of the API once the server has stopped.
struct Hub {
  Hub(asio::io_context& control, Sources from)
      : sources(from),
        api(std::in_place, std::move(from)),
        broadcast(std::make_shared<Broadcast>(control, [this] { return api->event(); })) {}
  void note_refusal(const Refusal& refusal, const std::string& peer, std::string_view method, std::string_view target);

  const Sources sources;
  std::optional<Api> api;
  const std::shared_ptr<Broadcast> broadcast;  // stopped before the API goes
  std::set<Session*> sessions;
  uint64_t waits = 0;  // numbers the waits of sessions, in their order
  TimePoint next_refusal_log{};
  uint64_t refusals_not_logged = 0;
  bool handed_over = false;  // another process has the listeners
};

/// Counted all, logged once a second: whoever asks in a loop must not fill the disk.
void Hub::note_refusal(const Refusal& refusal, const std::string& peer, std::string_view method,
                       std::string_view target) {
  sources.process.admin_refused[static_cast<size_t>(refusal.reason)].fetch_add(1);
  const TimePoint now = monotonic_now();
  if (now < next_refusal_log) {
    ++refusals_not_logged;
    return;
  }
  next_refusal_log = now + kRefusalLog;
  log::warn("admin_refused", {{"peer", peer},
                              {"method", std::string(method)},
                              {"target", std::string(target)},
                              {"reason", std::string(to_string(refusal.reason))},
                              {"more", std::to_string(std::exchange(refusals_not_logged, 0))}});
}

/// Who asks: "127.0.0.1:51234", or "uid 1000" over a unix socket.
std::string peer_of(Stream& stream) {
  const int fd = stream.socket().native_handle();
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return "-";
  if (storage.ss_family != AF_UNIX)
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length).to_string();
  ucred credentials{};
  length = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return "unix socket";
  return "uid " + std::to_string(credentials.uid);
}

bool is_loopback(const Endpoint& where) {
  static const auto v4 = AddressBlock::parse("127.0.0.0/8"), v6 = AddressBlock::parse("::1");
  return (v4 && v4->contains(where)) || (v6 && v6->contains(where));
}

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Stream stream, std::shared_ptr<Hub> hub, Entrance entrance, const void* listener)
      : stream_(std::move(stream)),
        hub_(std::move(hub)),
        entrance_(std::move(entrance)),
        listener_(listener),
        peer_(peer_of(stream_)) {
    hub_->sessions.insert(this);
  }
  ~Session() {
    hub_->broadcast->remove(this);
    hub_->sessions.erase(this);
  }

  void read() {
    waits_since_ = ++hub_->waits;
    parser_.emplace();
    parser_->header_limit(Server::kHeadBytes);
    parser_->body_limit(Server::kBodyBytes);
    stream_.expires_after(Server::kTimeout);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](error_code error, size_t) { self->on_read(error); });
  }
  void close() {
    closed_ = true;
    stream_.close();
  }
  /// Counts against the limit of that listener?
  bool of(const void* listener) const { return listener_ == listener && !closed_; }
  /// 0 while a request is served; else smaller the longer it has waited for the client.
  uint64_t waits_since() const { return waits_since_; }
  bool streams() const { return streams_; }

 private:
  void on_read(error_code error) {
    waits_since_ = 0;
    if (!hub_->api) return;
    if (error == http::error::header_limit) return send(problem(431, "The request head is over 8 KiB."), false);
    if (error == http::error::body_limit) return send(problem(413, "Requests have no use for a body here."), false);
    if (error == http::error::end_of_stream || error == http::error::partial_message) return;
    if (error && error.category() == http::make_error_code(http::error::bad_method).category())
      return send(problem(400, "The request breaks RFC 9112."), false);
    if (error) return;  // gone, or too slow
    try {
      respond(parser_->get());
    } catch (const std::exception& e) {
      log::error("admin_request_failed", {{"error", e.what()}});
      send(problem(500, "The answer could not be made; the event log says why."), false);
    }
  }

  void respond(const http::request<http::string_body>& request) {
    const auto text = [](boost::beast::string_view view) { return std::string_view(view.data(), view.size()); };
    const size_t hosts = request.count(http::field::host);
    const bool keep_alive = request.keep_alive();
    if (hosts > 1 || (hosts == 0 && request.version() >= 11))
      return send(problem(400, "One Host field is needed."), keep_alive);
    const std::string_view target = text(request.target()), cookies = text(request[http::field::cookie]);
    const Credentials credentials{text(request.method_string()),
                                  text(request[http::field::host]),
                                  text(request[http::field::origin]),
                                  text(request[http::field::authorization]),
                                  hub_->api->knows_session(cookies, entrance_.cookie),
                                  find_asset(target.substr(0, target.find('?'))) != nullptr};
    if (const auto refusal = judge(entrance_, credentials, hub_->sources.inventory()->token)) {
      hub_->note_refusal(*refusal, peer_, credentials.method, target);
      Reply reply = problem(refusal->status, refusal->detail);
      reply.asks_for_token = refusal->status == 401;
      return send(std::move(reply), keep_alive);
    }
    hub_->api->answer({credentials.method, target, entrance_.surface, peer_, entrance_.reach, credentials.session,
                       cookies, entrance_.cookie},
                      [self = shared_from_this(), keep_alive](Reply reply) {
                        if (!self->hub_->api) return;
                        if (reply.events && self->parser_->get().method() == http::verb::get) return self->stream();
                        self->send(std::move(reply), keep_alive);
                      });
  }

  void send(Reply reply, bool keep_alive) {
    keep_alive = keep_alive && !hub_->handed_over;
    const bool head = parser_->is_header_done() && parser_->get().method() == http::verb::head;
    response_ = {};
    response_.version(11);
    response_.result(reply.status);
    const auto set = [&](http::field field, std::string_view value) {
      response_.set(field, {value.data(), value.size()});
    };
    set(http::field::content_type, reply.content_type);
    set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (reply.content_type.starts_with("text/html")) response_.set("Content-Security-Policy", kPolicy);
    response_.set("Referrer-Policy", "no-referrer");
    response_.set("Cross-Origin-Resource-Policy", "same-origin");
    if (!reply.allow.empty()) set(http::field::allow, reply.allow);
    if (!reply.set_cookie.empty()) set(http::field::set_cookie, reply.set_cookie);
    if (reply.asks_for_token) set(http::field::www_authenticate, "Bearer realm=\"weir\"");
    response_.keep_alive(keep_alive);
    response_.content_length(reply.body.size());
    if (!head) response_.body() = std::move(reply.body);
    stream_.expires_after(Server::kTimeout);
    http::async_write(stream_, response_, [self = shared_from_this(), keep_alive](error_code error, size_t) {
      if (error) return;
      if (keep_alive && self->hub_->api) return self->read();
      self->shut_down();
    });
  }

  /// Server-sent events until the client goes. A client that can't keep up misses snapshots, one that takes none for
  /// kTimeout is closed.
  void stream() {
    static const auto kHead = std::make_shared<const std::string>(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n\r\n"
        "retry: 1000\n\n");
    next_text_ = nullptr;
    writing_ = true;  // the first snapshot waits for the head
    if (!hub_->broadcast->add(this, [this](const Broadcast::Text& text) { deliver(text); })) {
      writing_ = false;
      return send(problem(503, "Enough dashboards are open already; close one."), false);
    }
    streams_ = true;
    stream_.expires_never();
    wait_for_end();
    write_text(kHead);
  }
  void deliver(const Broadcast::Text& text) {
    if (closed_) return;
    if (writing_)
      next_text_ = text;
    else
      write_text(text);
  }
  void write_text(const Broadcast::Text& text) {
    writing_ = true;
    stream_.expires_after(Server::kTimeout);
    asio::async_write(stream_, asio::buffer(*text), [self = shared_from_this(), text](error_code error, size_t) {
      self->writing_ = false;
      // The browser comes back at once, and is judged again: a session that has ended must not see on for ever.
      if (error || ++self->texts_written_ > Broadcast::kTexts) return self->end_stream();
      if (const auto next = std::exchange(self->next_text_, nullptr); next && !self->closed_) self->write_text(next);
    });
  }
  void wait_for_end() {
    stream_.async_read_some(asio::buffer(discarded_), [self = shared_from_this()](error_code error, size_t n) {
      self->discarded_bytes_ += n;
      if (!error && self->discarded_bytes_ < kLingerBytes) return self->wait_for_end();
      self->end_stream();
    });
  }
  void end_stream() {
    hub_->broadcast->remove(this);
    if (!closed_) close();
  }

  void shut_down() {
    waits_since_ = ++hub_->waits;
    error_code ignored;
    stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    stream_.expires_after(kLinger);
    discard();
  }
  void discard() {
    stream_.async_read_some(asio::buffer(discarded_), [self = shared_from_this()](error_code error, size_t n) {
      self->discarded_bytes_ += n;
      if (!error && self->discarded_bytes_ < kLingerBytes) self->discard();
    });
  }

  Stream stream_;
  const std::shared_ptr<Hub> hub_;
  const Entrance entrance_;
  const void* const listener_;
  const std::string peer_;
  uint64_t waits_since_ = 0;
  bool closed_ = false;
  boost::beast::flat_buffer buffer_{2 * (Server::kHeadBytes + Server::kBodyBytes)};
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
  std::array<char, 4096> discarded_;
  size_t discarded_bytes_ = 0;
  Broadcast::Text next_text_;  // of a stream: the newest snapshot that waits for the write under way
  bool writing_ = false, streams_ = false;
  size_t texts_written_ = 0;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  Listener(asio::io_context& control, std::shared_ptr<Hub> hub, Surface surface, const Endpoint& address, UniqueFd fd,
           std::string key)
      : acceptor_(control), pause_(control), hub_(std::move(hub)), address_(address), key_(std::move(key)) {
    acceptor_.assign(Protocol(address_.family(), 0), fd.get());
    fd.release();
    const Reach reach = address_.is_unix()      ? Reach::local_socket
                        : is_loopback(address_) ? Reach::loopback
                                                : Reach::network;
    const bool check_host = !address_.is_unix() && (surface == Surface::everything || is_loopback(address_));
    entrance_ = {surface, reach, address_.host(), check_host, session_cookie_name(address_.port())};
  }

  const Endpoint& address() const { return address_; }

  /// The duplicates of one socket, and the sockets of one SO_REUSEPORT group, have one key.
  const std::string& key() const { return key_; }
  int descriptor() { return acceptor_.native_handle(); }

  void accept() {
    if (std::exchange(accepting_, true)) return;
    accept_next();
  }
  /// Leaves what waits in the socket to another process.
  void halt() {
    accepting_ = false;
    error_code ignored;
    acceptor_.cancel(ignored);
  }

  void close() {
    if (!hub_->handed_over) net::close_listener(descriptor());
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    const std::string path = address_.is_unix() && !hub_->handed_over ? address_.host().substr(5) : "";
    if (path.starts_with('/')) ::unlink(path.c_str());
  }

 private:
  void accept_next() {
    acceptor_.async_accept([self = shared_from_this()](error_code error, Protocol::socket socket) {
      if (!self->acceptor_.is_open() || error == asio::error::operation_aborted) return;
      if (error) return self->accept_later();
      if (self->make_room())
        std::make_shared<Session>(Stream(std::move(socket)), self->hub_, self->entrance_, self.get())->read();
      if (self->accepting_) self->accept_next();
    });
  }

  /// Each listener has its own places, so that who can reach a public one can't keep the operator out of another. Who
  /// has waited longest makes room. False: all of them are being served.
  bool make_room() {
    size_t open = 0;
    Session* oldest = nullptr;
    for (Session* session : hub_->sessions) {
      if (!session->of(this)) continue;
      ++open;
      if (session->waits_since() && (!oldest || session->waits_since() < oldest->waits_since())) oldest = session;
    }
    if (open < Server::kConnections) return true;
    if (oldest) oldest->close();
    return oldest;
  }

  void accept_later() {
    pause_.expires_after(kPauseAfterAcceptError);
    pause_.async_wait([self = shared_from_this()](error_code error) {
      if (!error && self->acceptor_.is_open() && self->accepting_) self->accept_next();
    });
  }

  asio::basic_socket_acceptor<Protocol> acceptor_;
  asio::steady_timer pause_;
  const std::shared_ptr<Hub> hub_;
  const Endpoint address_;
  const std::string key_;
  Entrance entrance_;
  bool accepting_ = false;
};

/// As lb/listeners.hpp calls its own, so that an address may change its use in an upgrade. Port 0 is another one for
/// each.
std::string key_of(const char* name, const Endpoint& where) {
  return where.is_unix() || where.port() ? where.to_string() : std::string(name) + ' ' + where.to_string();
}

}  // namespace

struct Server::Impl {
  Impl(asio::io_context& io, Sources sources) : control(io), hub(std::make_shared<Hub>(io, std::move(sources))) {}
  asio::io_context& control;
  const std::shared_ptr<Hub> hub;
  std::vector<std::shared_ptr<Listener>> listeners;
  std::vector<std::pair<std::string, Endpoint>> not_announced;

  net::HandedSockets* handed = nullptr;

  Endpoint listen(const Endpoint& where, Surface surface, const char* name);
  template <typename Which>
  void end_sessions(Which which) {
    const auto sessions = hub->sessions;  // closing one may end another
    for (Session* session : sessions)
      if (hub->sessions.count(session) && which(*session)) session->close();
  }
};

Server::Server(asio::io_context& control, Sources sources)
    : impl_(std::make_unique<Impl>(control, std::move(sources))) {}

Server::~Server() { stop(); }

Endpoint Server::Impl::listen(const Endpoint& where, Surface surface, const char* name) {
  const std::string key = key_of(name, where);
  auto sockets = handed ? handed->take(key) : net::HandedSockets::Taken{};
  if (sockets.fds.empty()) {
    auto opened = net::open_listener(where, 1, kSocketMode);
    sockets = {opened.address, std::move(opened.fds)};
    const std::string path = where.is_unix() ? where.host().substr(5) : "";
    if (path.starts_with('/')) share_socket(path);
  }
  for (auto& fd : sockets.fds) {
    listeners.push_back(std::make_shared<Listener>(control, hub, surface, sockets.address, std::move(fd), key));
    if (!handed) listeners.back()->accept();
  }
  not_announced.emplace_back(name, sockets.address);
  return sockets.address;
}

void Server::take_over(net::HandedSockets& handed) {
  impl_->handed = &handed;
  impl_->hub->handed_over = true;  // they are the other process's yet
}

void Server::accept() {
  impl_->handed = nullptr;
  impl_->hub->handed_over = false;
  for (const auto& listener : impl_->listeners) listener->accept();
}

void Server::offer(net::Handover& handover) const {
  for (const auto& listener : impl_->listeners) {
    const bool same = !handover.sockets.empty() && handover.sockets.back().key == listener->key();
    if (!same) handover.sockets.push_back({listener->key(), {}});
    handover.sockets.back().fds.push_back(listener->descriptor());
  }
}

void Server::hand_over(const std::vector<std::string>& closing) {
  std::erase_if(impl_->listeners, [&](const auto& listener) {
    const bool closes = std::find(closing.begin(), closing.end(), listener->key()) != closing.end();
    closes ? listener->close() : listener->halt();
    return closes;
  });
  impl_->hub->handed_over = true;
  impl_->end_sessions([](const Session& session) { return session.streams() || session.waits_since(); });
}

void Server::announce() {
  for (const auto& [name, address] : std::exchange(impl_->not_announced, {}))
    log::info("listening", {{"listener", name}, {"address", address.to_string()}});
}

Endpoint Server::listen(const Endpoint& where, Surface surface) {
  return impl_->listen(where, surface, surface == Surface::everything ? "admin" : "metrics");
}

bool Server::listen_on_socket(const std::string& path) {
  try {
    make_folder_of(path);
    impl_->listen(Endpoint::parse("unix:" + path).value(), Surface::everything, "admin_socket");
    return true;
  } catch (const std::exception& error) {
    log::warn("admin_socket_failed",
              {{"path", path}, {"reason", error.what()}, {"help", "set admin.socket to another path, or to off"}});
    return false;
  }
}

void Server::stop() {
  for (const auto& listener : impl_->listeners) listener->close();
  impl_->listeners.clear();
  impl_->hub->broadcast->stop();
  impl_->end_sessions([](const Session&) { return true; });
  impl_->hub->api.reset();
}

}  // namespace weir::admin
