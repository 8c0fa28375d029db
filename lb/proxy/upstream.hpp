// Connections to one backend, as one worker holds them: idle ones are kept last in, first out, and watched.
#pragma once
#include <memory>
#include <span>

#include "config/model.hpp"
#include "lb/base/state.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/poller.hpp"
#include "lb/net/stream.hpp"
#include "lb/net/tls_client.hpp"
#include "lb/net/tls_session.hpp"
#include "lb/proxy/message_sides.hpp"

namespace weir::proxy {

class DownstreamConnection;
class Worker;
class UpstreamConnection;
class TcpSession;
struct Http2Set;

/// Who has a connection to a backend: an exchange, or a question of forward-auth.
class UpstreamUser {
 public:
  virtual void on_connected() = 0;
  /// `error`: an errno, or a TlsFailure made negative.
  virtual void on_connect_failed(int error) = 0;
  /// Will anything follow the request's head?
  virtual bool sends_body() const { return true; }
  virtual bool wants_response() const = 0;
  virtual void on_upstream_bytes(char* data, size_t size) = 0;
  /// Fields that follow the answer's body, right before its on_upstream_end(false): whole lines "name: value\r\n",
  /// valid until that returns, and the user's to change.
  virtual void on_upstream_trailers(std::span<char> lines) { static_cast<void>(lines); }
  virtual void on_upstream_end(bool reset) = 0;
  virtual void on_upstream_drained() = 0;

 protected:
  ~UpstreamUser() = default;
};

/// All connections of a worker to one backend.
struct UpstreamSet {
  static constexpr uint32_t kMaxIdle = 1024;
  UpstreamSet();
  ~UpstreamSet();
  std::shared_ptr<BackendState> backend;
  BackendCells* cells = nullptr;
  UpstreamConnection* newest = nullptr;  // idle, most recently used first
  UpstreamConnection* oldest = nullptr;
  uint32_t idle = 0;
  uint32_t connections = 0;        // alive, idle or not; with streams of HTTP/2
  TcpSession* sessions = nullptr;  // with mode: tcp, whose connection each of them is
  config::Sessions ends;           // … and when they are ended
  BackendStatus seen = BackendStatus::unknown;
  /// The backend closed connections that were idle for so long: they are retired earlier. Forgotten at `learnt_until`.
  Duration learnt_keep_alive{Duration::max()};
  TimePoint learnt_until{};
  std::shared_ptr<const net::TlsClient> tls;  // null: plain
  std::string tls_name;                       // to be asked for and verified
  net::TlsMemory tls_memory;
  /// What connections begin with. Unless none, each belongs to a client, which alone may use it.
  ProxyVersion proxy = ProxyVersion::none;

  std::unique_ptr<Http2Set> http2;  // made when it is needed first
  bool speaks_http2 = false;

  /// At a reload: idle connections that are spoken otherwise from now on are closed.
  void use_tls(std::shared_ptr<const net::TlsClient> client, const std::string& name);
  void use_proxy_protocol(ProxyVersion version);
  /// HTTP/2, or HTTP/1.1.
  void use_http2(bool on);
};

class UpstreamConnection final : public Upstream, public net::Pollable, public Timer {
 public:
  UpstreamConnection(Worker& worker, UpstreamSet& set);
  ~UpstreamConnection();

  /// Begins to connect. 0, or the errno of an immediate failure, after which it may be tried again. `connected()` may
  /// be true at once. `user_timeout`: TCP_USER_TIMEOUT, zero for none.
  int connect(std::chrono::milliseconds user_timeout);
  /// Before connect(): the connection begins with `header`, before TLS, and `client` alone may have it.
  void begin_with(std::string_view header, DownstreamConnection& client);
  bool connected() const override { return state_ != State::connecting; }
  bool reused() const override { return requests_ > 1; }
  /// The protocol agreed in the TLS handshake; empty: none.
  std::string_view alpn() const { return stream_.tls() ? stream_.tls()->alpn() : std::string_view(); }
  Duration idle_for(TimePoint now) const { return now - idle_since_; }
  UpstreamSet& set() { return set_; }

  /// Who has the connection from now on.
  void attach(UpstreamUser& user);
  Sent send(const iovec* parts, int count) override;
  bool blocked() const override { return !out_.empty() && state_ != State::connecting; }
  void shutdown_send_after_flush() override;
  void pump() override;
  void look_for_end() override;
  void keep(Duration keep_alive) override;
  void close(bool reset = false) override;

  /// For UpstreamSet.
  static UpstreamConnection* take_idle(UpstreamSet& set, TimePoint now, Duration max_idle);
  static void close_all_idle(UpstreamSet& set);

 private:
  enum class State : uint8_t { connecting, busy, idle, closed };
  void on_events(uint32_t events) override;
  void on_timer(TimePoint now) override;  // idle for too long
  void finish_connecting();
  void begin_tls();
  bool send_header();
  bool shake_hands();
  bool still_idle();
  bool flush();
  void unlink_idle();

  Worker& worker_;
  UpstreamSet& set_;
  net::Stream stream_;
  std::shared_ptr<const net::TlsClient> tls_;  // as the set had it when the connection was made
  net::Buffer out_;
  UpstreamUser* user_ = nullptr;
  DownstreamConnection* client_ = nullptr;  // which alone may have it; null: anybody
  UpstreamConnection* newer_ = nullptr;
  UpstreamConnection* older_ = nullptr;
  TimePoint idle_since_{};
  uint32_t requests_ = 0;
  State state_ = State::connecting;
  bool readable_ = false, peer_fin_ = false, shutdown_pending_ = false;
};

}  // namespace weir::proxy
