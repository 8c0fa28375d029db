// Who a session's client is, and what is written down when it has ended.
#include <algorithm>
#include <cstring>

#include "lb/net/tls_session.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/proxy_side.hpp"
#include "lb/proxy/tcp_listener.hpp"
#include "lb/proxy/tcp_session.hpp"

namespace weir::proxy {

void TcpSession::set_peer(const Endpoint& peer) {
  const std::string text = peer.is_unix() ? "unix:" : peer.host();
  peer_length_ = static_cast<uint8_t>(std::min(text.size(), sizeof peer_text_));
  std::memcpy(peer_text_, text.data(), peer_length_);
}

/// The client, as a pool with proxy_protocol tells its backends.
std::string_view TcpSession::proxy_header(ProxyVersion version, net::ProxyBytes& room) const {
  net::ProxyHeader header;
  header.version = version;
  if (proxy_ && proxy_->source.length) {
    header.source = proxy_->source;
    header.destination = proxy_->destination;
  } else {
    header.source = peer_address(client_.stream.fd());
    // A client that has just gone must not become one of our own connections, which backends may trust.
    if (const auto address = AddressBlock::parse_address(peer_text()); !header.source.length && address)
      header.source = *address;
    header.destination = own_address(client_.stream.fd());
    if (!header.destination.length) header.destination = header.source;
  }
  if (!server_name_.empty())
    header.authority = server_name_;
  else if (proxy_)
    header.authority = proxy_->authority;
  if (const auto* tls = client_.stream.tls())
    header.alpn = tls->alpn();
  else if (proxy_)
    header.alpn = proxy_->alpn;
  return net::write_proxy_header(header, room);
}

void TcpSession::record(Cause cause) {
  state_->cells[worker_.index].ends[static_cast<size_t>(cause)].add();
  AccessLog* const log = worker_.shared.access_log.load(std::memory_order_acquire);
  // A client that breaks off is most often another balancer's check: that would push out what is worth a look.
  const bool notable = attempts_ > 1 || (cause != Cause::none && cause != Cause::client_gone);
  if (!log && !notable) return;
  const auto us = static_cast<uint64_t>((monotonic_now() - started_).count() / 1000);
  const int64_t wall_ns = wall_now_ns() - static_cast<int64_t>(us) * 1000;
  if (notable) remember(cause, wall_ns, us);
  if (!log) return;
  AccessRecord entry;
  entry.wall_ns = wall_ns;
  entry.duration_us = us;
  entry.upstream_us = connect_us_;
  entry.bytes_received = up_.taken();
  entry.bytes_sent = down_.given();
  entry.attempts = attempts_;
  entry.minor = AccessRecord::kTcp;
  entry.cause = cause;
  entry.client = peer_text();
  entry.host = server_name_;
  entry.listener = listener_->name;
  if (pool_state_) entry.pool = pool_state_->name;
  if (set_) entry.backend = set_->backend->name;
  if (!log->write(worker_.index, entry)) worker_.cells.log_dropped.add();
}

void TcpSession::remember(Cause cause, int64_t wall_ns, uint64_t duration_us) const {
  RequestRecord& record = worker_.recent.next(RecentKind::session);
  record.slow = false;
  record.wall_ns = wall_ns;
  record.duration_us = static_cast<uint32_t>(std::min<uint64_t>(duration_us, ~uint32_t{0}));
  record.status = 0;
  record.cause = cause;
  record.attempts = attempts_;
  record.client = peer_text();
  record.host = server_name_;
  record.listener = listener_->name;
  record.pool = pool_state_ ? std::string_view(pool_state_->name) : std::string_view();
  record.id = "";
  record.trace_id = "";
  record.method = "";
  record.target = "";
  record.route = "";
  record.detail = "";
  record.kept = 0;
  for (const auto& failed : failed_)
    record.add_try(*failed.backend, failed.start_us, failed.took_us, 0, failed.cause, false);
  if (set_ && attempts_ > failed_.size())
    record.add_try(*set_->backend, microseconds_of(attempt_began_ - started_), static_cast<uint32_t>(connect_us_), 0,
                   cause, false);
}

}  // namespace weir::proxy
