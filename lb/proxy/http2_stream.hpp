// A stream of a client's connection of HTTP/2: one request and its answer, for an exchange that knows only HTTP/1. Kept
// by the worker for the next ones.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "lb/base/clock.hpp"
#include "lb/net/buffer.hpp"
#include "lb/net/http2_request.hpp"
#include "lb/net/http2_server.hpp"
#include "lb/proxy/message_sides.hpp"

namespace weir::proxy {

class Exchange;
class Http2Session;
class Worker;

class Http2Stream final : public Downstream, public http2::ServerStream {
 public:
  /// Of an answer's body, held at most before the backend is read no further; one receive more may come.
  static constexpr uint32_t kBlocked = 16 << 10, kReceive = 48 << 10;

  explicit Http2Stream(Worker& worker) : worker_(worker) {}
  ~Http2Stream();
  void begin(Http2Session& session);
  bool named_by_poller() const { return queued_again_; }

  // To the exchange.
  Sent send(const iovec* parts, int count) override;
  bool blocked() const override { return out_.size() >= kBlocked; }
  void send_trailers(std::span<char> lines) override;
  void resume() override;
  void exchange_done(bool keep_alive) override;
  void enter_tunnel() override;
  void shutdown_send_after_flush() override { end_answer(); }
  void reset() override;
  bool body_complete() const override { return websocket_ || (heard_all() && in_.empty()); }
  void stop_reading_body() override;
  void restart_body_clock() override;

 private:
  friend class Http2Session;
  void on_events(uint32_t events) override;

  /// The head is whole: the request begins. Or it is broken(): that is counted and logged as of one of HTTP/1.1.
  void start();
  /// Hands on what has come, as far as it is wanted.
  void deliver();
  void deliver_tunnel();
  bool take_trailer(std::string_view name, std::string_view value);
  void give_trailers();
  void drop_input();
  void end_stalled();
  /// The client has broken the protocol, and got a reset for it. Who only cuts its body short has gone.
  bool broken() const { return closed() && !closed_by_client_ && !cut_short() && is_clients_fault(closed_for_); }
  std::string_view take_head(std::string_view bytes, bool more);
  void end_answer();

  Worker& worker_;
  Http2Session* session_ = nullptr;
  Exchange* exchange_ = nullptr;
  Http2Stream* next_ = nullptr;  // in the session's list of open ones
  Http2Stream* previous_ = nullptr;
  http2::RequestText text_;
  net::Buffer in_, out_;                     // bodies
  net::Buffer request_trailers_, trailers_;  // lines that follow them
  TimePoint began_{}, progressed_{}, clock_started_{}, whole_since_{};
  uint64_t clocked_bytes_ = 0;
  uint32_t trailer_count_ = 0;
  Http2Error closed_for_ = Http2Error::no_error;
  bool closed_by_client_ = false;
  bool head_whole_ = false, too_large_ = false, started_ = false, websocket_ = false, tunnel_ = false;
  bool head_sent_ = false, bodyless_ = false, ended_ = false, was_blocked_ = false;
  bool delivering_ = false, abandoned_ = false, told_end_ = false, queued_ = false;
};

}  // namespace weir::proxy
