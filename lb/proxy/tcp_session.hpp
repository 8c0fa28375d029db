// One TCP session: a client's connection, the backend that was chosen for it, and the bytes both ways. What it carries
// is not looked at, but for what comes before a backend is chosen: a PROXY header, a TLS handshake, a ClientHello.
#pragma once
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "lb/base/cause.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/base/tls_failure.hpp"
#include "lb/net/flow.hpp"
#include "lb/net/poller.hpp"
#include "lb/net/proxy_protocol.hpp"
#include "lb/net/stream.hpp"
#include "lb/proxy/admission.hpp"
#include "lb/proxy/backend_use.hpp"

namespace weir::proxy {

struct ListenerInfo;
struct ProxySide;
struct TcpListener;

class TcpSession final : public Timer {
 public:
  TcpSession(Worker& worker, std::shared_ptr<const ListenerInfo> listener, net::Stream client, const Endpoint& peer);
  ~TcpSession() override;

  /// Begins. May end it.
  void start();
  /// In place of start(): the client is cut off at once.
  void refuse(Cause cause);

  // From the pool's queue. False: no backend was found, or none is wanted any more.
  bool on_granted();
  bool waiting() const { return phase_ == Phase::queued; }

  /// The client sees a reset: what it has is not complete.
  void cut(Cause cause);
  /// Its backend is not to be used any more.
  void backend_taken_out();

 private:
  friend class TcpWorker;
  enum class Phase : uint8_t {
    proxy_header,
    handshake,
    hello,
    deciding,
    queued,
    connecting,
    upstream_handshake,
    relay,
    last_words,
    ended
  };
  enum class How : uint8_t { orderly, reset };

  /// One of the two connections.
  struct Side final : net::Pollable {
    explicit Side(TcpSession& owner) : session(owner) {}
    void on_events(uint32_t events) override { session.on_events(*this, events); }
    TcpSession& session;
    net::Stream stream;
    bool readable = false;
    bool peer_fin = false;   // the peer's end, or an error, is on its way
    bool has_ended = false;  // in order: its end came before any error
  };

  void on_events(Side& side, uint32_t events);
  void on_timer(TimePoint now) override;

  // tcp_open.cpp: until both connections stand.
  void go_on();
  bool receive_proxy_header();
  bool begin_tls();
  bool shake_hands();
  void end_handshake(TlsFailure failure, const char* detail);
  bool read_hello();
  void choose_pool();
  uint64_t key_hash() const;
  bool wait_in_queue(bool holds_place);
  void leave_queue();
  bool choose_backend();
  void connect();
  void on_connect_event(uint32_t events);
  void on_connected();
  bool send_proxy_header();
  bool begin_upstream_tls();
  void shake_upstream_hands();
  void connect_failed(int error);
  void try_another(Cause cause);
  void begin_relay();

  // tcp_session.cpp
  void begin();
  void move(Side& from);
  net::Flow& flow_from(const Side& side) { return &side == &client_ ? up_ : down_; }
  void count(Side& from, uint64_t taken, uint64_t given);
  void side_failed(Side& side, int error);
  void say_last_words();
  void arm_relay();
  void relay_timed_out(TimePoint now);
  void end(Cause cause, How how);
  void close_streams(How how);
  void drop_upstream();
  void release_places();
  void let_go_of_runtime();
  bool drop_backend();

  // tcp_record.cpp
  void record(Cause cause);
  void remember(Cause cause, int64_t wall_ns, uint64_t duration_us) const;
  std::string_view peer_text() const { return {peer_text_, peer_length_}; }
  void set_peer(const Endpoint& peer);
  std::string_view proxy_header(ProxyVersion version, net::ProxyBytes& room) const;

  Worker& worker_;
  std::shared_ptr<const ListenerInfo> listener_;
  WorkerRuntime* runtime_;  // until the session only relays: it may outlive many reloads
  const TcpListener* tcp_;  // of the pinned runtime; null: the listener has just been taken away
  Side client_{*this}, server_{*this};
  net::Flow up_, down_;               // from the client, to the client
  std::unique_ptr<ProxySide> proxy_;  // what a PROXY header said
  std::string server_name_;
  WorkerPool* pool_ = nullptr;  // of the pinned runtime; what stays of both is the following
  std::shared_ptr<ListenerState> state_;
  std::shared_ptr<PoolState> pool_state_;
  std::shared_ptr<Admission> admission_;
  config::PoolLimits limits_;
  UpstreamSet* set_ = nullptr;                        // of the current attempt
  TcpSession *next_ = nullptr, *previous_ = nullptr;  // of the worker's
  TcpSession *next_of_backend_ = nullptr, *previous_of_backend_ = nullptr;
  std::list<TcpSession*>::iterator handshake_{};  // with Phase::handshake
  TimePoint started_, attempt_began_{}, queue_deadline_{};
  TimePoint stalled_since_[2]{TimePoint::max(), TimePoint::max()};  // up_, down_: the other side takes nothing
  Duration idle_{};                                                 // timeout.tunnel; zero: none
  // With Phase::last_words: who has broken off, what is on its way to the other side, and since when it stays so much.
  Side* broken_ = nullptr;
  uint64_t left_ = 0;
  TimePoint left_since_{};
  Duration look_{};
  Ticket ticket_;
  Turn turn_;
  Tried tried_;
  struct FailedConnect {
    std::shared_ptr<const BackendState> backend;
    uint32_t start_us, took_us;  // from the session's beginning; from the attempt's
    Cause cause;
  };
  std::vector<FailedConnect> failed_;
  uint64_t connect_us_ = 0;
  uint32_t backend_index_ = 0;
  uint8_t attempts_ = 0;
  uint8_t peer_length_ = 0;
  Phase phase_ = Phase::deciding;
  Cause last_cause_ = Cause::none;
  bool counted_ = false;  // among the listener's sessions
  bool admitted_ = false, backend_held_ = false, attached_ = false;
  bool begun_ = false;  // see begin(): what comes before a session is there, or has begun to come
  char peer_text_[46];
};

}  // namespace weir::proxy
