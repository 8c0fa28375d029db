// A client's connection: receives, parses heads, frames request bodies, sends answers, and keeps the client's
// time-outs. What a request means is the exchange's business. An idle one holds no buffer.
#pragma once
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "lb/base/endpoint.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/base/tls_failure.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/poller.hpp"
#include "lb/net/proxy_protocol.hpp"
#include "lb/net/stream.hpp"
#include "lb/net/tls_server.hpp"
#include "lb/net/tls_session.hpp"
#include "lb/proxy/message_sides.hpp"

namespace weir::proxy {

class Acceptor;
class Exchange;
class Http2Session;
struct ProxySide;
struct UpstreamSet;
class UpstreamConnection;
class Worker;

/// What a connection needs of its listener; lives as long as any connection of it.
struct ListenerInfo {
  uint32_t index = 0;     // in Config::listeners of the newest configuration that has it
  std::string port_text;  // empty: a unix socket
  Duration header_timeout{}, keep_alive_timeout{}, send_stall{};
  bool defer_accept = true;
  bool proxy_protocol = false;                // of new connections
  bool tcp = false;                           // mode: tcp
  bool http2 = false;                         // without TLS, by prior knowledge
  std::string key, name;                      // see listener_key()
  std::shared_ptr<const net::TlsServer> tls;  // of new connections; null: plain
  std::string hsts;                           // see hsts_line()
};

class DownstreamConnection final : public Downstream, public Timer {
 public:
  DownstreamConnection(Worker& worker, std::shared_ptr<const ListenerInfo> listener, net::Stream stream,
                       const Endpoint& peer);
  ~DownstreamConnection();
  /// Arms the first time-out and reads what has come with the connection. May close it.
  void start();
  void refuse_requests() { refuse_ = true; }
  bool refuses_requests() const { return refuse_; }
  /// Before start(): the client is expected to begin with TLS. False: out of memory.
  bool begin_tls();
  /// Before start(), in place of begin_tls(): the header of the PROXY protocol comes first, whatever comes then.
  void begin_proxy_header();

  // To the exchange.
  Sent send(const iovec* parts, int count) override;
  bool blocked() const override { return !out_.empty(); }
  void resume() override {
    restart_body_clock();
    pump();
  }
  void exchange_done(bool keep_alive) override;
  void enter_tunnel() override;
  void shutdown_send_after_flush() override;
  void reset() override;
  bool body_complete() const override { return body_ == Body::none; }
  void stop_reading_body() override { body_abandoned_ = true; }
  void restart_body_clock() override;

  const ListenerInfo& listener() const { return *listener_; }
  /// Null: a plain connection.
  const net::TlsSession* tls() const { return stream_.tls(); }
  std::string_view peer_text() const { return {peer_text_, peer_length_}; }
  Endpoint peer() const;
  /// The client, as a pool with proxy_protocol tells its backends. Points into `room`.
  std::string_view proxy_header(ProxyVersion version, net::ProxyBytes& room) const;
  /// The connection to a backend that no other client may use, while nobody uses it: taken, if it is one of `set` that
  /// was idle no longer than `max_idle`; null: there is none.
  UpstreamConnection* take_upstream(const UpstreamSet& set, Duration max_idle);
  /// … kept, in place of the one before. False: the client is gone.
  bool keep_upstream(UpstreamConnection& connection);
  /// … is closed.
  void forget_upstream(const UpstreamConnection& connection);
  bool idle() const;
  bool served_requests() const { return requests_ > 0; }
  /// Tells a client of HTTP/2 to open no more streams here; they go on to their ends.
  void begin_drain();
  /// Breaks off what is under way, at the end of a drain.
  void abort_for_drain();
  void close();
  /// Registers with the poller, which at once tells of what has come meanwhile. Until then the connection is served
  /// without it: one that ends with its first answer never needs it (bench/RESULTS.md: close).
  void watch();
  /// At a drain: closes an idle connection so that a client which is just sending sees an orderly end.
  bool close_if_idle();

 private:
  friend class Worker;
  friend class Http2Session;
  enum class State : uint8_t { proxy_header, handshake, head, body, waiting, tunnel, http2, linger, closed };
  enum class Body : uint8_t { none, length, chunked };

  void on_events(uint32_t events) override;
  void on_timer(TimePoint now) override;
  void pump();
  bool pump_once();
  void on_tls_events(uint32_t events);
  bool shake_hands();
  bool receive_proxy_header();
  bool take_proxy_header(const net::ProxyHeader& header);
  void end_proxy_header(ProxyFailure failure, const char* detail);
  void close_upstream();
  void set_peer(const Endpoint& peer);
  void end_handshake(TlsFailure failure, const char* detail);
  void refuse_plain_http();
  bool begins_http2(const http1::ParseResult& result, const Exchange& exchange) const;
  void begin_http2(std::string_view bytes);
  void receive_head();
  void receive_body();
  void receive_tunnel();
  void discard();
  /// Parses one head at the start of `bytes`; returns how much of `bytes` is done with.
  size_t take_request(char* bytes, size_t size);
  size_t take_body(char* bytes, size_t size, std::string_view& data, bool& failed);
  void refuse(Exchange& exchange, Cause cause, const char* detail);
  void lost(Cause cause);
  bool flush();
  void begin_linger();
  void arm_for_head();
  void arm_for_body();

  Worker& worker_;
  std::shared_ptr<const ListenerInfo> listener_;
  net::Stream stream_;
  net::Buffer in_, out_;
  Exchange* exchange_ = nullptr;
  std::unique_ptr<ProxySide> proxy_;  // with the PROXY protocol on one of the two sides
  std::unique_ptr<Http2Session> http2_;
  DownstreamConnection* next_ = nullptr;
  DownstreamConnection* previous_ = nullptr;
  std::list<DownstreamConnection*>::iterator handshake_{};  // with State::handshake
  TimePoint head_started_{};
  uint64_t body_remaining_ = 0;
  http1::ChunkDecoder chunks_;
  uint64_t clocked_bytes_ = 0;
  TimePoint clock_started_{};
  uint32_t discarded_ = 0;
  uint32_t requests_ = 0;
  uint32_t unwatched_at_ = 0;  // the place in Worker's list of those that wait to be watched, plus 1
  State state_ = State::head;
  Body body_ = Body::none;
  bool readable_ = true, peer_fin_ = false, pumping_ = false, shutdown_pending_ = false, close_after_flush_ = false;
  bool body_abandoned_ = false, refuse_ = false, linger_after_flush_ = false, watched_ = false;
  uint8_t peer_length_ = 0;
  char peer_text_[46];
};

}  // namespace weir::proxy
