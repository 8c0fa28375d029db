// One request and its answer: the state that every step shares. The steps themselves stand in pipeline.cpp (what is
// decided, top-down), attempt.cpp (a try at a backend), forward.cpp (bytes both ways), tunnel.cpp and
// local_response.cpp (answers of our own).
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/cause.hpp"
#include "lb/base/forwarded_address.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/encoder.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/trace_context.hpp"
#include "lb/net/websocket.hpp"
#include "lb/proxy/auth_question.hpp"
#include "lb/proxy/backend_use.hpp"
#include "lb/proxy/head_writer.hpp"
#include "lb/proxy/logged_fields.hpp"
#include "lb/proxy/worker.hpp"
#include "lb/route/affinity.hpp"
#include "lb/route/grpc.hpp"
#include "lb/route/retry.hpp"

namespace weir::proxy {

struct BelievedFields;
class BodyEncoder;
class DownstreamConnection;

/// The trace of a request. With `on` unset nothing else is.
struct TraceState {
  bool on = false;
  bool sampled = false;
  bool inherited = false;   // it came with the request
  bool with_state = false;  // … and its tracestate is passed on
  uint64_t span = 0;        // our own, if it is sampled
  /// The line of traceparent for the backend that is being asked.
  std::array<char, sizeof "traceparent: \r\n" - 1 + trace::kTraceParentBytes> line;
};

class Exchange final : public Timer, public UpstreamUser {
 public:
  /// Of a request's body, kept for another try at most.
  static constexpr uint32_t kReplayBytes = 64 << 10;
  static constexpr uint32_t kInlineHead = 2048;

  explicit Exchange(Worker& worker) : worker_(worker) {}

  // From the downstream connection.
  /// Makes the parsed head (in `head`, at head.base) its own.
  void begin(Downstream& downstream, DownstreamConnection& connection, TimePoint first_byte);
  /// The whole policy of a request, top-down. `body`: what came with the head, decoded.
  void handle_request(std::string_view body, bool body_complete);
  void on_request_body(std::string_view data, bool complete);
  /// Fields that follow the request's body: whole lines "Name: value\r\n", kMostTrailers and kMostTrailerBytes at most,
  /// which may be changed where they stand. After begin(), and before the call that says that the body is complete.
  void on_request_trailers(std::span<char> lines);
  /// May the next piece of the body be read?
  bool wants_body() const;
  void on_downstream_drained();
  /// The client is gone, too slow, or its body is broken.
  void on_downstream_failed(Cause cause, const char* detail = "");
  void on_tunnel_data(std::string_view data);
  void on_downstream_end();
  /// Answers, then ends the connection: what can't be parsed, or must not be trusted.
  void refuse(Cause why, const char* detail);

  // From the upstream connection.
  void on_connected() override;
  void on_connect_failed(int error) override;
  bool sends_body() const override { return head.framing != http1::Framing::none || head.connection_upgrade; }
  bool wants_response() const override;
  void on_upstream_bytes(char* data, size_t size) override;
  void on_upstream_trailers(std::span<char> lines) override;
  void on_upstream_end(bool reset) override;
  void on_upstream_drained() override;

  // From the encoder of its response's body.
  void flush_encoded();
  void resume_encoding();

  // From the pool's queue, and from the checker of passwords.
  bool on_granted();
  void on_password_checked(bool right);
  // From the question of forward-auth.
  void on_auth_granted();
  void on_auth_refused(uint16_t status);
  void on_auth_failed(const char* detail);
  void set_auth_timer(TimePoint at);
  DownstreamConnection& connection() const { return *connection_; }
  uint64_t serial() const { return serial_; }
  bool waiting() const { return phase_ == Phase::queued; }
  bool authenticating() const { return phase_ == Phase::authenticating; }

  http1::RequestHead head;
  uint64_t bytes_received = 0;
  /// At the end of a drain.
  void abort_for_drain();
  bool tunnel() const { return phase_ == Phase::tunnel; }
  bool response_started() const { return head_sent_; }
  /// By its content-type.
  bool is_grpc() const;
  /// And its pool speaks it: such a request may be slow (limits.body_min_rate is not for it).
  bool proxies_grpc() const { return grpc_; }
  uint64_t bytes_sent() const { return bytes_sent_; }  // downstream

 private:
  friend class Worker;
  enum class Phase : uint8_t {
    idle,
    deciding,
    authenticating,
    queued,
    connecting,
    requesting,
    responding,
    tunnel,
    finishing
  };

  static constexpr uint32_t kNoMaxForwards = ~uint32_t{0};

  /// An attempt that has failed, kept until it is known whether the request was worth remembering.
  struct FailedAttempt {
    const BackendState* backend;  // the pinned runtime holds it
    uint32_t start_us, took_us;
    uint16_t status;
    Cause cause;
    bool reused;
  };

  // pipeline.cpp: the steps of handle_request, in order; false: the request is answered, or waits.
  bool normalize_target();
  bool misdirected();
  void identify_client();
  bool answers_options();
  bool find_route();
  void serve();
  bool answered_by_route();
  bool refused_by_overload();
  bool admit();
  bool wait_in_queue(bool holds_place);
  void leave_queue();
  Ticket ticket() { return {&worker_, this, serial_}; }
  uint64_t key_hash(const WorkerPool& pool);
  std::string_view key_value(const config::KeySpec& key) const;
  BelievedFields fields() const;

  // guards.cpp
  bool pass_guards();
  bool refused_by_address();
  bool refused_by_rate();
  bool authenticate();
  bool check_password();
  void ask_service();
  void drop_identity(bool authorization);
  void ask_for_credentials(Cause why);

  // attempt.cpp
  void begin_attempt();
  bool choose_backend();
  bool take_backend();
  void connect_upstream(bool fresh);
  void stash_body();
  void send_request();
  RequestContext request_context() const;
  void attempt_failed(Cause why, route::FailureKind kind);
  void bad_response(Cause why);
  void upstream_broken(Cause why);
  route::Attempt describe_attempt(route::FailureKind kind) const;
  bool may_retry(route::Verdict verdict);
  void end_retry();
  void next_attempt(route::Verdict verdict);
  void release_upstream(bool reusable);
  void release_backend();
  bool drop_backend();
  void release_places();
  void report_failure();
  void note_attempt(Cause why, uint16_t status);
  void arm_phase(Duration how_long);
  void arm_phase_until(TimePoint deadline);
  void on_timer(TimePoint now) override;
  void requesting_timed_out(TimePoint now);
  void request_timed_out();

  // affinity.cpp
  void look_for_home();
  bool take_home();
  void give_affinity(ResponseContext& context, char* room);
  void note_session();

  // forward.cpp
  void forward_request_start(std::string_view request_head);
  void keep_body(std::string_view data);
  void take_body_back();
  bool forward_interim();
  bool retry_status(uint16_t status);
  void note_response(uint16_t status);
  void note_tls(http1::ResponseHead& response, ResponseContext& context) const;
  void forward_head(http1::ResponseHead& response, char* data, size_t size);
  void forward_body(char* data, size_t size, std::string_view response_head);
  void response_complete();
  void response_broken(Cause why, std::string_view unsent_head = {});
  void expect_no_longer();
  void resume_downstream_later();

  // trailers.cpp
  bool chunks_request() const;
  void announce_body(std::string_view data);
  void end_request_body();
  Sent send_response_end();

  // grpc.cpp
  void take_grpc_deadline();
  void note_grpc_head(const http1::ResponseHead& response);
  void note_grpc_status(std::string_view value);
  void answer_grpc_error(grpc::Status status, std::string_view why, std::string_view fields);

  // compression.cpp
  void consider_compression(http1::ResponseHead& response, ResponseContext& context);
  void consider_validator(http1::ResponseHead& response, ResponseContext& context, std::string_view etag, bool add);
  void add_vary(http1::ResponseHead& response, ResponseContext& context);
  void skip_compression(CompressionSkip reason);
  void forward_encoded(std::string_view body, bool complete, std::string_view response_head);
  bool send_encoded(std::string_view body, net::Encoder::Flush flush, std::string_view response_head);
  void end_encoding();

  // tunnel.cpp
  void enter_tunnel(http1::ResponseHead& response, std::string_view rest);
  void on_upstream_tunnel_data(std::string_view data);
  void on_upstream_tunnel_end(bool reset);
  void end_tunnel_if_done();
  void tunnel_timed_out();
  void end_tunnel();
  void say_going_away();

  // local_response.cpp
  void answer_error(Cause why, const char* detail = "", std::string_view extra_fields = {});
  void answer_redirect();
  void answer_fixed();
  void answer_local(uint16_t status, std::string_view content_type, std::string_view body,
                    std::string_view extra_fields);

  // exchange.cpp
  void reset_head();
  void fail(Cause why, const char* detail = "");
  void finish();
  void record();
  void write_log(AccessLog& log, int64_t wall_ns, uint64_t duration_us, uint16_t status);
  void remember(RecentKind kind, bool slow, int64_t wall_ns, uint64_t duration_us, uint16_t status);
  std::span<const FailedAttempt> list_attempts(uint64_t duration_us, bool to_the_end);

  // tracing.cpp
  void begin_trace(const Tracer& tracer);
  std::string_view traceparent(uint32_t attempt);
  std::string_view trace_id() const;
  std::string_view span_id(std::array<char, trace::kSpanIdDigits>& room) const;
  void export_trace(int64_t wall_ns, uint64_t duration_us, uint16_t status, bool answered);

  Worker& worker_;
  Downstream* downstream_ = nullptr;
  DownstreamConnection* connection_ = nullptr;  // that carries it
  Upstream* upstream_ = nullptr;
  WorkerRuntime* runtime_ = nullptr;
  const Route* route_ = nullptr;
  WorkerPool* pool_ = nullptr;
  UpstreamSet* set_ = nullptr;      // of the current attempt
  BodyEncoder* encoder_ = nullptr;  // of the response's body; null: it goes on as it comes
  std::array<char, kInlineHead> inline_head_;
  net::Buffer long_head_;                   // a head that does not fit inline_head_
  std::unique_ptr<AuthQuestion> question_;  // made when it is needed first
  net::Buffer body_;                        // what is not yet sent, or kept for another try
  net::Buffer request_trailers_;            // lines that follow body_
  std::span<char> response_trailers_;       // within one event
  std::string path_storage_;
  http1::NormalizedPath path_;
  AddressText client_text_;        // of an address that X-Forwarded-For names
  std::string_view client_;        // the address that is believed
  std::string_view user_;          // who it is; in the route's configuration, as the next
  std::string_view claimed_user_;  // who it says it is
  std::string_view granted_;       // field lines for the backend; in question_
  bool trusted_peer_ = false;
  bool client_tls_ = false;  // the client came by TLS, to us or to the trusted peer
  std::array<char, 32> request_id_storage_;
  std::string_view request_id_;
  TimePoint started_{}, attempt_began_{}, attempt_started_{};
  TimePoint total_deadline_{}, phase_deadline_{}, try_deadline_{}, queue_deadline_{};
  Turn turn_;  // in the pool's queue
  uint64_t serial_ = 0;
  std::string_view first_body_;  // came with the head; in the receive scratch
  uint64_t bytes_sent_ = 0, body_received_ = 0, upstream_us_ = 0;
  Tried tried_;                               // backends, in this request
  uint32_t backend_index_ = 0;                // of the current attempt, in the pool
  uint32_t home_ = route::Affinity::kNobody;  // the backend that the cookie names
  route::Affinity::Verdict home_verdict_ = route::Affinity::Verdict::absent;
  route::Affinity::Session session_{};
  bool home_renew_ = false, home_full_ = false, hide_cookie_ = false;
  uint32_t max_forwards_ = kNoMaxForwards;  // to be sent on
  uint32_t upstream_keep_alive_ = 0;        // seconds the backend announced, 0: none
  uint8_t attempts_ = 0;
  uint8_t failed_count_ = 0;  // attempts that have failed; the first of them are in failed_
  std::array<FailedAttempt, RequestRecord::kAttempts> failed_;
  TraceState trace_;
  std::unique_ptr<LoggedFields> logged_;  // of the backend's answer, for the access log; made when it is needed first
  uint16_t status_ = 0, upstream_status_ = 0;  // sent to the client; of the backend's answer that was forwarded
  Cause cause_ = Cause::none, last_cause_ = Cause::none;
  std::string_view detail_;  // of cause_, static: what exactly was wrong with the request; empty: no more is known
  Phase phase_ = Phase::idle;
  bool admitted_ = false, backend_held_ = false, retrying_ = false, idempotent_ = false;
  bool body_complete_ = false, body_kept_ = false, body_lost_ = false;
  bool head_sent_ = false, keep_alive_ = true, chunk_response_ = false, expecting_ = false, upgrade_ = false;
  bool grpc_ = false;              // a request of gRPC to a pool that can carry it
  bool clients_deadline_ = false;  // total_deadline_ is the client's own
  uint8_t grpc_status_ = AccessRecord::kNoGrpc;
  bool attempt_reused_ = false;  // it goes over a connection that was kept
  bool raced_ = false;           // the keep-alive race was met once
  bool asked_again_ = false;     // this attempt is what followed at the same backend
  bool upstream_reusable_ = false;
  bool upstream_end_ = false, downstream_end_ = false;  // tunnel
  bool websocket_ = false;
  net::WebSocketFrames frames_;  // that a WebSocket's client is sent
};

}  // namespace weir::proxy
