// The time-outs of a client's connection.
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/refused_head.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
constexpr auto kBodyClock = std::chrono::seconds(5);  // limits.body_min_rate is judged over so long
}  // namespace

void DownstreamConnection::arm_for_head() {
  const TimePoint from = head_started_ == TimePoint{} ? worker_.now : head_started_;
  const bool between = head_started_ == TimePoint{} && requests_ > 0;
  worker_.wheel.arm(*this, from + (between ? listener_->keep_alive_timeout : listener_->header_timeout));
}

void DownstreamConnection::arm_for_body() {
  if (!worker_.runtime->config().limits.body_min_rate) return cancel();
  clock_started_ = worker_.now;
  clocked_bytes_ = 0;
  worker_.wheel.arm(*this, worker_.now + kBodyClock);
}

void DownstreamConnection::on_timer(TimePoint now) {
  if (!out_.empty()) return lost(Cause::client_too_slow);
  switch (state_) {
    case State::proxy_header: return end_proxy_header(ProxyFailure::timeout, "timeout.header");
    case State::handshake: return end_handshake(TlsFailure::timeout, "timeout.header");
    case State::head: {
      if (head_started_ == TimePoint{}) return close();
      Exchange* exchange = worker_.take_exchange();
      exchange_ = exchange;
      // What has come says who is so slow.
      const size_t skip = http1::skip_empty_lines(in_.view());
      http1::parse_request(in_.view().substr(skip), request_rules(worker_.runtime->config()), exchange->head);
      keep_for_the_record(exchange->head);
      exchange->head.base = in_.data() + skip;
      state_ = State::waiting;
      exchange->begin(*this, *this, head_started_);
      head_started_ = {};
      return exchange->refuse(Cause::header_timeout, "");
    }
    case State::body: {
      // Counts only while the proxy is willing to read, and until an answer has begun.
      if (now - clock_started_ < kBodyClock) return worker_.wheel.arm(*this, clock_started_ + kBodyClock);
      const auto needed = std::chrono::duration_cast<std::chrono::seconds>(now - clock_started_).count() *
                          int64_t{worker_.runtime->config().limits.body_min_rate};
      const bool slow = static_cast<int64_t>(clocked_bytes_) < needed;
      if (slow && exchange_->wants_body() && !exchange_->response_started())
        return exchange_->on_downstream_failed(Cause::body_too_slow);
      return arm_for_body();
    }
    case State::linger: return close();
    case State::http2: return http2_->on_timer(now);
    case State::waiting:
    case State::tunnel:
    case State::closed: return;
  }
}

void DownstreamConnection::restart_body_clock() {
  clock_started_ = worker_.now;
  clocked_bytes_ = 0;
}

}  // namespace weir::proxy
