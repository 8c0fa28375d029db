#include "lb/proxy/tcp_worker.hpp"

#include <utility>

#include "lb/proxy/tcp_session.hpp"
#include "lb/proxy/upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {

bool taken_out(BackendStatus status) {
  return status == BackendStatus::down || status == BackendStatus::ejected || status == BackendStatus::disabled;
}

bool drained_long_enough(const UpstreamSet& set, BackendStatus status, TimePoint now) {
  if (status != BackendStatus::draining || set.ends.drain <= Duration::zero()) return false;
  const TimePoint ordered{Duration(set.backend->ordered_at_ns.load(std::memory_order_relaxed))};
  return now - ordered >= set.ends.drain;
}

}  // namespace

void TcpWorker::add(TcpSession& session) {
  worker_.shared.connections.value.fetch_add(1, std::memory_order_relaxed);
  session.next_ = first_;
  if (first_) first_->previous_ = &session;
  first_ = &session;
}

void TcpWorker::remove(TcpSession& session) {
  worker_.shared.connections.value.fetch_sub(1, std::memory_order_relaxed);
  worker_.cells.connections_closed.add();
  if (session.previous_) session.previous_->next_ = session.next_;
  if (session.next_) session.next_->previous_ = session.previous_;
  if (first_ == &session) first_ = session.next_;
  retired_.push_back(&session);
}

void TcpWorker::delete_retired() {
  for (TcpSession* session : retired_) delete session;
  retired_.clear();
}

void TcpWorker::tick() {
  if (!first_) return;
  worker_.for_each_upstream([this](UpstreamSet& set) {
    if (!set.sessions) return;
    const BackendStatus status = set.backend->status.load(std::memory_order_acquire);
    // Those that came after it was taken out, for want of a better one, stay.
    const bool just_out = set.ends.close_on_eject && taken_out(status) && !taken_out(set.seen);
    set.seen = status;
    if (!just_out && !drained_long_enough(set, status, worker_.now)) return;
    // One that turns to another backend joins the front of another list.
    for (TcpSession *session = set.sessions, *next = nullptr; session; session = next) {
      next = session->next_of_backend_;
      session->backend_taken_out();
    }
  });
}

void TcpWorker::finish() {
  while (first_) first_->cut(Cause::draining);
}

Ticket TcpWorker::queue(TcpSession& session) {
  constexpr int kWorkerBits = 16;
  const uint64_t serial = ++last_serial_ << kWorkerBits | worker_.index;
  queued_.emplace(serial, &session);
  return {&worker_, nullptr, serial};
}

void TcpWorker::leave_queue(const Ticket& ticket) { queued_.erase(ticket.serial); }

void TcpWorker::grant(const Grant& grant) {
  const auto found = queued_.find(grant.ticket.serial);
  if (found == queued_.end()) return grant.release();
  if (!found->second->on_granted()) grant.pass_on();
}

void TcpWorker::attach(TcpSession& session, UpstreamSet& set) {
  ++set.connections;
  if (!set.sessions) set.seen = set.backend->status.load(std::memory_order_acquire);
  session.next_of_backend_ = set.sessions;
  session.previous_of_backend_ = nullptr;
  if (set.sessions) set.sessions->previous_of_backend_ = &session;
  set.sessions = &session;
}

void TcpWorker::detach(TcpSession& session, UpstreamSet& set) {
  --set.connections;
  if (session.previous_of_backend_) session.previous_of_backend_->next_of_backend_ = session.next_of_backend_;
  if (session.next_of_backend_) session.next_of_backend_->previous_of_backend_ = session.previous_of_backend_;
  if (set.sessions == &session) set.sessions = session.next_of_backend_;
}

net::FlowMeans TcpWorker::means() {
  return {worker_.buffers, pipes_, worker_.receive_scratch.get(), Worker::kReceiveScratch};
}

}  // namespace weir::proxy
