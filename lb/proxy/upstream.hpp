// Connections to one backend, as one worker holds them: idle ones are kept last in, first out, and watched.
#pragma once
#include <memory>

#include "lb/base/state.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/poller.hpp"
#include "lb/net/stream.hpp"
#include "lb/net/tls_client.hpp"
#include "lb/net/tls_session.hpp"

namespace weir::proxy {

class DownstreamConnection;
class Worker;
class UpstreamConnection;

/// Who has a connection to a backend: an exchange, or a question of forward-auth.
class UpstreamUser {
 public:
  virtual void on_connected() = 0;
  /// `error`: an errno, or a TlsFailure made negative.
  virtual void on_connect_failed(int error) = 0;
  virtual bool wants_response() const = 0;
  virtual void on_upstream_bytes(char* data, size_t size) = 0;
  virtual void on_upstream_end(bool reset) = 0;
  virtual void on_upstream_drained() = 0;

 protected:
  ~UpstreamUser() = default;
};

/// All connections of a worker to one backend.
struct UpstreamSet {
  static constexpr uint32_t kMaxIdle = 1024;
  std::shared_ptr<BackendState> backend;
  BackendCells* cells = nullptr;
  UpstreamConnection* newest = nullptr;  // idle, most recently used first
  UpstreamConnection* oldest = nullptr;
  uint32_t idle = 0;
  uint32_t connections = 0;  // alive, idle or not
  /// The backend closed connections that were idle for so long: they are retired earlier. Forgotten at `learnt_until`.
  Duration learnt_keep_alive{Duration::max()};
  TimePoint learnt_until{};
  std::shared_ptr<const net::TlsClient> tls;  // null: plain
  std::string tls_name;                       // to be asked for and verified
  net::TlsMemory tls_memory;
  /// What connections begin with. Unless none, each belongs to a client, which alone may use it.
  ProxyVersion proxy = ProxyVersion::none;

  /// At a reload: idle connections that are spoken otherwise from now on are closed.
  void use_tls(std::shared_ptr<const net::TlsClient> client, const std::string& name);
  void use_proxy_protocol(ProxyVersion version);
};

class UpstreamConnection final : public net::Pollable, public Timer {
 public:
  enum class Sent : uint8_t { all, pending, failed };

  UpstreamConnection(Worker& worker, UpstreamSet& set);
  ~UpstreamConnection();

  /// Begins to connect. 0, or the errno of an immediate failure, after which it may be tried again. `connected()` may
  /// be true at once. `user_timeout`: TCP_USER_TIMEOUT, zero for none.
  int connect(std::chrono::milliseconds user_timeout);
  /// Before connect(): the connection begins with `header`, before TLS, and `client` alone may have it.
  void begin_with(std::string_view header, DownstreamConnection& client);
  bool connected() const { return state_ != State::connecting; }
  bool reused() const { return requests_ > 1; }
  Duration idle_for(TimePoint now) const { return now - idle_since_; }
  UpstreamSet& set() { return set_; }

  /// Who has the connection from now on.
  void attach(UpstreamUser& user);
  /// Sends as much as the kernel takes, keeps the rest; order is kept.
  Sent send(const iovec* parts, int count);
  bool blocked() const { return !out_.empty() && state_ != State::connecting; }
  void shutdown_send_after_flush();
  /// Reads on, if there may be something to read and the user wants it.
  void pump();
  /// The part of `data` that is body, moved together into one piece, by `framing`; `used`: bytes that belong to the
  /// message. False: broken framing.
  bool decode(char* data, size_t size, std::string_view& body, size_t& used, bool& complete);
  /// After a failed write: reads what the backend may have said before it closed, after the current event.
  void look_for_end();
  /// Keeps the connection for the next request; `keep_alive`: how long.
  void keep(Duration keep_alive);
  /// Ends it. With `reset` the backend sees a broken connection.
  void close(bool reset = false);

  net::Buffer head;               // a partial response head
  bool write_failed = false;      // the backend reads no more; its answer may still come
  http1::ChunkDecoder chunks;     // of the response body
  uint64_t remaining = 0;         // of a response body with a length
  uint64_t bytes_sent = 0;        // of this attempt
  bool response_started = false;  // a byte of the response has come
  uint8_t interim = 0;            // 1xx responses seen
  uint32_t receive_room = 0;      // bytes received at once; attach() sets it to the whole scratch
  http1::Framing framing = http1::Framing::none;

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
