#include "lb/proxy/acceptor.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "lb/base/log.hpp"
#include "lb/net/socket.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/proxy_side.hpp"
#include "lb/proxy/tcp_session.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

namespace {
constexpr int kBatch = 64;                      // accepts, then the connections get their turn
constexpr uint32_t kBehind = 4, kPassOver = 8;  // with more sessions of HTTP/2 waiting: accepts in each eighth round
constexpr auto kPause = std::chrono::milliseconds(100);    // without descriptors or memory (security-rules D)
constexpr auto kClosing = std::chrono::milliseconds(200);  // handshakes under way when a listener closes get so long
constexpr uint32_t kRefusals = 64;  // beyond limits.connections so many get a 503, the others are closed at once

UniqueFd open_reserve() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
}  // namespace

Acceptor::Acceptor(Worker& worker, std::shared_ptr<ListenerInfo> info, const Endpoint& address,
                   std::shared_ptr<const UniqueFd> fd, bool inherited)
    : worker_(worker),
      info_(std::move(info)),
      fd_(std::move(fd)),
      tcp_(!address.is_unix()),
      reserve_(open_reserve()),
      inherited_(inherited) {
  set_options();
  worker_.poller.add_level(fd_->get(), *this);
}

Acceptor::~Acceptor() { worker_.poller.remove(fd_->get()); }

void Acceptor::set_options() {
  if (!tcp_) return;
  // Accepted sockets inherit these: no system call for each connection.
  net::prepare_downstream(fd_->get(), std::chrono::duration_cast<std::chrono::milliseconds>(info_->send_stall));
  if (info_->send_stall == Duration::zero()) net::forget_user_timeout(fd_->get());  // of another configuration
  net::defer_accept(fd_->get(), info_->defer_accept);
}

void Acceptor::on_events(uint32_t) {
  if (paused_ || closing_) return;
  if (worker_.shared.memory.load(std::memory_order_relaxed) == MemoryLevel::stop_accepting) return pause();
  if (worker_.http2().waiting > kBehind && ++passed_over_ % kPassOver) return;  // new ones wait in the socket's queue
  const uint64_t http2 = worker_.cells.http2_connections.get();
  for (int i = 0; i < kBatch && accept_one(); ++i)
    // One of HTTP/2 may bring fifty streams with it. HTTP/1 needs no look at the clock.
    if (worker_.cells.http2_connections.get() != http2 && monotonic_now() - worker_.now >= Http2Session::kTurn) break;
}

void Acceptor::drain() {
  while (!paused_ && !closing_ && accept_one()) {
  }
}

/// False: nothing more now.
bool Acceptor::accept_one() {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  UniqueFd fd(::accept4(fd_->get(), reinterpret_cast<sockaddr*>(&storage), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) {
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      if (worker_.shed_idle_upstream() || worker_.shed_idle_connection()) return true;
      // One client learns at once that it is refused; the others wait in the queue.
      reserve_.reset();
      UniqueFd(::accept4(fd_->get(), nullptr, nullptr, SOCK_CLOEXEC)).reset();
      reserve_ = open_reserve();
      worker_.cells.connections_refused.add();
      pause();
      return false;
    }
    return errno == ECONNABORTED || errno == EINTR;
  }
  worker_.cells.connections_accepted.add();
  const Endpoint peer = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length);
  if (info_->proxy_protocol && !may_send_proxy_header(worker_, *info_, peer)) {
    worker_.cells.connections_closed.add();
    return true;
  }
  const uint32_t open = worker_.shared.connections.value.load(std::memory_order_relaxed);
  const uint32_t most = worker_.shared.max_connections.load(std::memory_order_relaxed);
  const bool over = open >= most && !worker_.shed_idle_connection();
  if (over && open >= most + kRefusals) {
    worker_.cells.connections_refused.add();
    worker_.cells.connections_closed.add();
    return true;
  }
  if (info_->tcp) {
    begin_session(std::move(fd), peer, over);
    return true;
  }
  auto* connection = new DownstreamConnection(worker_, info_, net::Stream(std::move(fd)), peer);
  worker_.add(*connection);
  if (info_->proxy_protocol) {
    connection->begin_proxy_header();
  } else if (info_->tls && !connection->begin_tls()) {
    connection->close();
    return true;
  }
  if (over) {
    worker_.cells.connections_refused.add();
    connection->refuse_requests();
  }
  connection->start();
  return true;
}

void Acceptor::begin_session(UniqueFd fd, const Endpoint& peer, bool over) {
  auto* session = new TcpSession(worker_, info_, net::Stream(std::move(fd)), peer);
  worker_.tcp.add(*session);
  if (!over) return session->start();
  worker_.cells.connections_refused.add();
  session->refuse(Cause::overload_connections);
}

void Acceptor::pause() {
  if (!paused_) worker_.poller.remove(fd_->get());
  if (!paused_ && worker_.cells.accept_paused.get() % 100 == 0)
    log::warn("accept_paused",
              {{"listener", info_->name},
               {"reason", "no descriptors or memory left; raise the limit or lower limits.connections"}});
  paused_ = true;
  worker_.cells.accept_paused.add();
  worker_.wheel.arm(*this, worker_.now + kPause);
}

void Acceptor::on_timer(TimePoint) {
  paused_ = false;
  if (!closing_) worker_.poller.add_level(fd_->get(), *this);
}

void Acceptor::halt() {
  closing_ = true;
  worker_.poller.remove(fd_->get());
}

void Acceptor::resume() {
  closing_ = false;
  if (!paused_) worker_.poller.add_level(fd_->get(), *this);
}

void Acceptor::close() {
  // Else the control thread is taking it back.
  if (!inherited_ && fd_.use_count() == 1) net::close_listener(fd_->get());
}

void Acceptor::begin_closing(TimePoint now) {
  close_at_ = now + kClosing;
  if (inherited_) {
    halt();
  } else {
    net::stop_new_connections(fd_->get());
    if (tcp_) net::defer_accept(fd_->get(), false);
  }
}

}  // namespace weir::proxy
