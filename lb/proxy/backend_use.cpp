#include "lb/proxy/backend_use.hpp"

#include <algorithm>
#include <cerrno>

#include "lb/balance/policy.hpp"
#include "lb/proxy/admission.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/http2_upstream.hpp"

namespace weir::proxy {

namespace {

Cause cause_of_handshake(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::certificate_refused:
    case TlsFailure::certificate_missing: return Cause::upstream_tls_certificate;
    case TlsFailure::alert: return Cause::upstream_tls_alert;
    case TlsFailure::alpn: return Cause::upstream_not_http2;
    default: return Cause::upstream_tls_protocol;
  }
}

}  // namespace

bool take_backend(Worker& worker, WorkerPool& pool, uint64_t key_hash, Tried& tried, uint32_t& backend) {
  std::array<uint32_t, Tried::kMax> places;  // of the tried ones in the table, as the picker wants them
  const auto candidates = pool.table->candidates();
  size_t tried_here = 0;
  if (tried.count)
    for (uint32_t i = 0; i < candidates.size() && tried_here < places.size(); ++i)
      if (tried.has(candidates[i].backend)) places[tried_here++] = i;
  balance::PickContext context{key_hash, {places.data(), tried_here}, worker.now, worker.rng};
  for (;;) {
    const uint32_t picked = pool.picker->pick(context);
    if (picked == balance::kNone) return false;
    const balance::Candidate& candidate = candidates[picked];
    if (!hold_place(pool, candidate.backend, candidate.limit, tried))
      continue;  // another worker was faster: it is full now, the picker passes it over
    if (context.spilled) pool.cells->spilled.add();
    backend = candidate.backend;
    return true;
  }
}

bool hold_place(const WorkerPool& pool, uint32_t backend, uint32_t limit, Tried& tried) {
  auto& inflight = pool.pool->backends[backend]->inflight.value;
  uint32_t now = inflight.load(std::memory_order_relaxed);
  if (!limit)
    inflight.fetch_add(1, std::memory_order_relaxed);
  else
    while (now < limit && !inflight.compare_exchange_weak(now, now + 1)) {
    }
  if (limit && now >= limit) return false;
  tried.backends[tried.count++] = backend;
  return true;
}

bool others_full(const WorkerPool& pool, const Tried& tried) {
  for (const auto& candidate : pool.table->candidates())
    if (candidate.limit && !tried.has(candidate.backend)) return true;
  return false;
}

bool another_is_free(const WorkerPool& pool, const Tried& tried) {
  for (const auto& candidate : pool.table->candidates())
    if (!candidate.full() && !tried.has(candidate.backend)) return true;
  return false;
}

bool local_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == ENOSPC ||
         error == EADDRNOTAVAIL;
}

Cause cause_of_connect(int error) {
  if (error < 0) return cause_of_handshake(static_cast<TlsFailure>(-error));
  switch (error) {
    case ECONNREFUSED:
    case ENOENT: return Cause::connect_refused;
    case ETIMEDOUT: return Cause::connect_timeout;
    default: return Cause::connect_failed;
  }
}

Connection open_connection(Worker& worker, const WorkerPool& pool, UpstreamSet& set, bool fresh, Duration max_idle,
                           UpstreamUser& user, DownstreamConnection& client) {
  if (set.speaks_http2) [[unlikely]] {
    Connection opened;
    opened.upstream = &Http2UpstreamStream::open(worker, set, user, opened.error);
    return opened;
  }
  const bool own = set.proxy != ProxyVersion::none;
  UpstreamConnection* idle = fresh ? nullptr
                             : own ? client.take_upstream(set, max_idle)
                                   : UpstreamConnection::take_idle(set, worker.now, max_idle);
  if (idle) {
    set.cells->reused.add();
    idle->attach(user);
    return {idle, 0};
  }
  auto* made = new UpstreamConnection(worker, set);
  if (own) [[unlikely]] {
    net::ProxyBytes room;
    made->begin_with(client.proxy_header(set.proxy, room), client);
  }
  int error = made->connect(pool.pool->user_timeout);
  if (local_shortage(error) && worker.shed_idle_upstream()) error = made->connect(pool.pool->user_timeout);
  made->attach(user);
  return {made, error};
}

void give_back(Upstream& connection, bool reusable, const WorkerPool& pool, uint32_t announced) {
  if (!reusable) return connection.close();
  Duration keep = pool.pool->config->timeout.keep_alive;
  if (announced > 0) keep = std::min<Duration>(keep, std::chrono::seconds(announced - 1));
  connection.keep(keep);
}

void report_failure(Worker& worker, const WorkerPool& pool, UpstreamSet& set) {
  BackendState& backend = *set.backend;
  set.cells->failures.add();
  if (const Duration median = pool.median_latency; median > Duration::zero()) worker.add_phantom(set.backend, median);
  const auto& eject = pool.pool->config->eject;
  if (!eject.enabled) return;
  if (backend.consecutive_failures.fetch_add(1, std::memory_order_relaxed) + 1 == eject.after)
    worker.shared.monitor.report_failures(set.backend);
}

void report_success(UpstreamSet& set) {
  auto& failures = set.backend->consecutive_failures;
  if (failures.load(std::memory_order_relaxed)) failures.store(0, std::memory_order_relaxed);
}

}  // namespace weir::proxy
