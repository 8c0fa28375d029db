// The PROXY protocol on both sides of a client's connection: its header is read before anything else, and what was in
// it, or the connection's own addresses, is what a pool with proxy_protocol tells its backends.
#include "lb/proxy/proxy_side.hpp"

#include <sys/socket.h>

#include "lb/base/log.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {

Endpoint address_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (ask(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length);
}

}  // namespace

void tell_proxy_refusal(Worker& worker, const ListenerInfo& listener, std::string peer, ProxyFailure failure,
                        const char* detail) {
  worker.cells.proxy_failures[static_cast<size_t>(failure)].add();
  uint64_t left_out = 0;
  if (worker.proxy_failures.take(worker.now, left_out))
    log::info("proxy_protocol_refused", {{"listener", listener.name},
                                         {"peer", std::move(peer)},
                                         {"reason", std::string(to_string(failure))},
                                         {"detail", detail},
                                         {"not_told", std::to_string(left_out)}});
}

const char* what_came_instead(std::string_view bytes) {
  if (bytes.starts_with("\x16\x03")) return "TLS without a PROXY header before it";
  return "no PROXY header came first";
}

Endpoint peer_address(int fd) { return address_of(fd, ::getpeername); }
Endpoint own_address(int fd) { return address_of(fd, ::getsockname); }

bool may_send_proxy_header(Worker& worker, const ListenerInfo& listener, const Endpoint& peer) {
  if (trusted(worker.runtime->config().trusted_proxies, peer)) return true;
  tell_proxy_refusal(worker, listener, peer.is_unix() ? "unix:" : peer.host(), ProxyFailure::stranger,
                     "the peer is none of trusted_proxies");
  return false;
}

// ---- receiving ----

void DownstreamConnection::begin_proxy_header() {
  proxy_ = std::make_unique<ProxySide>();
  state_ = State::proxy_header;
}

/// One step. True: go on. What stands behind the header stays in the socket: it may be TLS'.
bool DownstreamConnection::receive_proxy_header() {
  char* into = worker_.receive_scratch.get();
  const auto peeked = stream_.peek(into, net::kMaxProxyHeader);
  readable_ = false;
  if (peeked.status == net::IoStatus::would_block) return false;
  if (peeked.status != net::IoStatus::ok) {
    end_proxy_header(ProxyFailure::closed, "the peer has gone");
    return false;
  }
  proxy_->heard = true;
  net::ProxyHeader header;
  const auto result = net::parse_proxy_header({into, peeked.bytes}, header);
  switch (result.status) {
    case net::ProxyParse::Status::ok: return take_proxy_header(header);
    case net::ProxyParse::Status::need_more:
      if (peer_fin_) end_proxy_header(ProxyFailure::closed, "the peer has ended within the header");
      return false;
    case net::ProxyParse::Status::error: break;
  }
  const bool missing = result.failure == ProxyFailure::missing;
  end_proxy_header(result.failure, missing ? what_came_instead({into, peeked.bytes}) : result.detail);
  return false;
}

/// True: go on.
bool DownstreamConnection::take_proxy_header(const net::ProxyHeader& header) {
  worker_.cells.proxy_headers[header.local ? 2 : header.version == ProxyVersion::v2].add();
  worker_.cells.bytes_received.add(header.size);
  if (!header.local) {
    proxy_->source = header.source;
    proxy_->destination = header.destination;
    proxy_->authority = header.authority;
    proxy_->alpn = header.alpn;
    set_peer(header.source);
  }
  stream_.receive(worker_.receive_scratch.get(), header.size);
  readable_ = true;
  state_ = State::head;
  arm_for_head();
  if (!listener_->tls || begin_tls()) return true;
  close();
  return false;
}

void DownstreamConnection::end_proxy_header(ProxyFailure failure, const char* detail) {
  // A connection that says nothing is a probe of who sits in front.
  if (proxy_->heard)
    tell_proxy_refusal(worker_, *listener_, std::string(peer_text()), failure, detail);
  else
    worker_.cells.proxy_failures[static_cast<size_t>(failure)].add();
  state_ = State::waiting;
  close();
}

// ---- sending ----

std::string_view DownstreamConnection::proxy_header(ProxyVersion version, net::ProxyBytes& room) const {
  net::ProxyHeader header;
  header.version = version;
  if (proxy_ && proxy_->source.length) {
    header.source = proxy_->source;
    header.destination = proxy_->destination;
  } else {
    header.source = peer_address(stream_.fd());
    // A client that has just gone must not become one of our own connections, which backends may trust.
    if (!header.source.length) header.source = peer();
    header.destination = own_address(stream_.fd());
    if (!header.destination.length) header.destination = header.source;
  }
  if (const auto* own = tls()) {
    header.authority = own->server_name();
    header.alpn = own->alpn();
  } else if (proxy_) {
    header.authority = proxy_->authority;
    header.alpn = proxy_->alpn;
  }
  return net::write_proxy_header(header, room);
}

UpstreamConnection* DownstreamConnection::take_upstream(const UpstreamSet& set, Duration max_idle) {
  if (!proxy_ || !proxy_->upstream) return nullptr;
  UpstreamConnection& kept = *proxy_->upstream;
  if (&kept.set() != &set || kept.idle_for(worker_.now) > max_idle) return nullptr;
  proxy_->upstream = nullptr;
  return &kept;
}

bool DownstreamConnection::keep_upstream(UpstreamConnection& connection) {
  if (state_ == State::closed) return false;
  if (!proxy_) proxy_ = std::make_unique<ProxySide>();
  close_upstream();
  proxy_->upstream = &connection;
  return true;
}

void DownstreamConnection::forget_upstream(const UpstreamConnection& connection) {
  if (proxy_ && proxy_->upstream == &connection) proxy_->upstream = nullptr;
}

void DownstreamConnection::close_upstream() {
  if (proxy_->upstream) proxy_->upstream->close();
}

void UpstreamSet::use_proxy_protocol(ProxyVersion version) {
  if (version != proxy) UpstreamConnection::close_all_idle(*this);
  proxy = version;
}

void UpstreamConnection::begin_with(std::string_view header, DownstreamConnection& client) {
  out_.append(worker_.buffers, header);
  client_ = &client;
}

/// The socket is connected, and fresh: it has room for the header. False: it has not.
bool UpstreamConnection::send_header() {
  flush();
  bytes_sent = 0;  // of a request nothing
  return out_.empty();
}

}  // namespace weir::proxy
