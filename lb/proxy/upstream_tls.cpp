// TLS of a connection to a backend.
#include <cerrno>

#include "lb/base/log.hpp"
#include "lb/proxy/upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

void UpstreamSet::use_tls(std::shared_ptr<const net::TlsClient> client, const std::string& name) {
  if (client == tls && name == tls_name) return;
  UpstreamConnection::close_all_idle(*this);
  tls_memory.forget();  // what was verified under other rules
  tls = std::move(client);
  tls_name = name;
}

void tell_backend_tls_failure(Worker& worker, const UpstreamSet& set, const net::TlsSession& session) {
  uint64_t left_out = 0;
  if (worker.tls.backend_failures.take(worker.now, left_out))
    log::warn("backend_tls_failed", {{"pool", set.backend->pool},
                                     {"backend", set.backend->name},
                                     {"reason", std::string(to_string(session.failure()))},
                                     {"detail", session.failure_detail()},
                                     {"server_name", set.tls_name},
                                     {"not_told", std::to_string(left_out)}});
}

/// The socket is connected.
void UpstreamConnection::begin_tls() {
  auto session = tls_->connect(worker_.tls.scratch, stream_.fd(), set_.tls_name, &set_.tls_memory);
  if (!session) {
    state_ = State::busy;
    if (user_) user_->on_connect_failed(ENOMEM);
    return;
  }
  stream_.start_tls(std::move(session));
  shake_hands();
}

/// One step, after each event. True: the connection may be used, and its user has sent something.
bool UpstreamConnection::shake_hands() {
  net::TlsSession& tls = *stream_.tls();
  const auto result = tls.handshake();
  if (result.status == net::IoStatus::would_block) return false;
  state_ = State::busy;
  if (result.status == net::IoStatus::ok) {
    readable_ = true;  // tickets may have come along, and no event tells of them
    if (user_) user_->on_connected();
    return true;
  }
  tell_backend_tls_failure(worker_, set_, tls);
  if (user_) user_->on_connect_failed(-static_cast<int>(tls.failure()));
  return false;
}

/// What has come on an idle connection may be TLS' own, tickets above all.
bool UpstreamConnection::still_idle() {
  if (peer_fin_) return false;
  if (stream_.receive(worker_.receive_scratch.get(), Worker::kReceiveScratch).status != net::IoStatus::would_block)
    return false;
  readable_ = false;
  return true;
}

}  // namespace weir::proxy
