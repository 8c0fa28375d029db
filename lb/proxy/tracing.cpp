// The trace of a request: W3C trace context towards the backends, and its spans for the exporter.
#include <algorithm>
#include <cstring>
#include <tuple>

#include "lb/base/hex.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

// The line of traceparent, and where its parts stand.
constexpr std::string_view kLine = "traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n";
constexpr size_t kTraceIdAt = 16, kSpanIdAt = kTraceIdAt + trace::kTraceIdDigits + 1,
                 kFlagsAt = kSpanIdAt + trace::kSpanIdDigits + 1;
static_assert(kLine.size() == std::tuple_size_v<decltype(TraceState::line)> && kLine[kFlagsAt - 1] == '-' &&
              kLine.size() == kFlagsAt + sizeof "00\r\n" - 1);
static_assert(trace::RequestSpan::kMostAttempts == RequestRecord::kAttempts);

/// The lines of tracestate, joined as one list; empty if there is no room for them.
std::string_view join_state(const http1::RequestHead& head, std::span<char> room) {
  HeadWriter out(room.data(), room.size());
  for (const auto& field : head.all())
    if (field.id == FieldId::tracestate && !head.value(field).empty())
      out.add_all(out.size() ? "," : "", head.value(field));
  return out.overflow() ? std::string_view() : out.view();
}

}  // namespace

/// A trace that begins here has the request's id for its own, if that is one of ours; its digits are random, so that
/// they decide about the sample and, where nothing is recorded, stand for the span, too.
void Exchange::begin_trace(const Tracer& tracer) {
  trace_.on = true;
  trace_.inherited = trace_.with_state = false;
  char* line = trace_.line.data();
  std::memcpy(line, kLine.data(), kLine.size());
  const auto parent =
      tracer.believes_anyone || trusted_peer_ ? trace::find_traceparent(head) : std::optional<trace::TraceParent>();
  if (parent) {
    trace_.inherited = true;
    trace_.with_state = head.has(FieldId::tracestate) && trace::valid_tracestate(head);
    trace_.sampled = parent->sampled;
    std::memcpy(line + kTraceIdAt, parent->trace_id.data(), trace::kTraceIdDigits);
    write_hex16(worker_.rng(), line + kSpanIdAt);
  } else {
    if (request_id_.data() == request_id_storage_.data()) {
      std::memcpy(line + kTraceIdAt, request_id_storage_.data(), trace::kTraceIdDigits);
    } else {
      write_hex16(worker_.rng(), line + kTraceIdAt);
      write_hex16(worker_.rng(), line + kTraceIdAt + 16);
    }
    std::memcpy(line + kSpanIdAt, line + kTraceIdAt + 16, trace::kSpanIdDigits);
    trace_.sampled = tracer.samples(line + kTraceIdAt);
  }
  if (!trace_.sampled) return;
  line[kFlagsAt + 1] = '1';
  trace_.span = worker_.rng();
  if (trace_.span == 0) trace_.span = 1;
}

/// What a backend gets at the n-th attempt; 0: a service that is asked on the way.
std::string_view Exchange::traceparent(uint32_t attempt) {
  if (trace_.sampled)
    write_hex16(attempt ? trace::attempt_span(trace_.span, attempt) : trace_.span, trace_.line.data() + kSpanIdAt);
  return {trace_.line.data(), trace_.line.size()};
}

std::string_view Exchange::trace_id() const { return {trace_.line.data() + kTraceIdAt, trace::kTraceIdDigits}; }

std::string_view Exchange::span_id(std::array<char, trace::kSpanIdDigits>& room) const {
  if (!trace_.sampled) return {trace_.line.data() + kSpanIdAt, trace::kSpanIdDigits};
  write_hex16(trace_.span, room.data());
  return {room.data(), room.size()};
}

/// Copies into the exporter's queue; nothing is allocated.
void Exchange::export_trace(int64_t wall_ns, uint64_t duration_us, uint16_t status, bool answered) {
  trace::RequestSpan request;
  request.wall_ns = wall_ns;
  request.duration_us = duration_us;
  request.span = trace_.span;
  request.attempts = attempts_;
  request.status = status;
  request.answered = answered;
  request.minor = head.minor;
  request.cause = cause_;
  request.trace_id = trace_id();
  std::array<char, trace::RequestSpan::kTextBytes> state;
  if (trace_.inherited) {
    if (const auto parent = trace::find_traceparent(head)) request.parent_id = parent->parent_id;
    if (trace_.with_state) request.trace_state = join_state(head, state);
  }
  request.method = head.method_view();
  if (head.target_length) request.path = head.path_view();
  request.host = head.host();
  request.client = client_;
  request.peer = connection_->peer_text();
  request.user_agent = head.find(FieldId::user_agent);
  request.request_id = request_id_;
  request.listener = connection_->listener().name;
  if (route_) request.route = route_->state->name;
  if (pool_) request.pool = pool_->pool->state->name;
  std::array<trace::AttemptSpan, trace::RequestSpan::kMostAttempts> tries;
  size_t count = 0;
  for (const auto& from : list_attempts(duration_us, true))
    tries[count++] = {from.backend->name, &from.backend->address, from.start_us, from.took_us, from.status, from.cause,
                      from.reused};
  request.tries = std::span(tries).first(count);
  runtime_->shared->tracer->exporter->write(worker_.index, request);
}

}  // namespace weir::proxy
