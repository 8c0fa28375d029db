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
  if (!log) return;
  const auto us = static_cast<uint64_t>((monotonic_now() - started_).count() / 1000);
  AccessRecord entry;
  entry.wall_ns = wall_now_ns() - static_cast<int64_t>(us) * 1000;
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

}  // namespace weir::proxy
