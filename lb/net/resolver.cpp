#include "lb/net/resolver.hpp"

#include <ares.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <map>

#include "lb/base/log.hpp"

namespace weir::net {

namespace {

using boost::asio::posix::stream_descriptor;

constexpr uint32_t kHostsTtl = 30;  // seconds; what the hosts file says is looked up again after it
constexpr int kUdpPayload = 1232;   // fits the smallest IPv6 path; what is longer comes over TCP
constexpr int kNoName = 3;          // RFC 1035 §4.1.1
constexpr int kInternetClass = 1;

/// Changes when the file does.
std::string stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "none";
  return fmt::format("{}:{}:{}:{}.{}", info.st_dev, info.st_ino, info.st_size, info.st_mtim.tv_sec,
                     info.st_mtim.tv_nsec);
}

std::string in_words(int status) {
  switch (status) {
    case ARES_ETIMEOUT: return "no answer in time";
    case ARES_ECONNREFUSED: return "no DNS server gave an answer: none can be reached, or they refuse or fail";
    case ARES_ESERVFAIL: return "the DNS server failed (SERVFAIL)";
    case ARES_EREFUSED: return "the DNS server refused (REFUSED)";
    case ARES_ENOTFOUND: return "there is no such name (NXDOMAIN)";
    case ARES_ENODATA: return "the name has no such record";
    default: return ares_strerror(status);
  }
}

DnsOutcome outcome_of(int status, const unsigned char* bytes, int size, DnsType type) {
  using Kind = DnsOutcome::Kind;
  std::optional<DnsAnswer> answer;
  if (bytes && size > 0) answer = parse_dns({bytes, static_cast<size_t>(size)}, type);
  if (status == ARES_ENOTFOUND || status == ARES_ENODATA)
    return {Kind::missing, in_words(status), answer.value_or(DnsAnswer{})};
  if (status != ARES_SUCCESS) return {Kind::failed, in_words(status), {}};
  if (!answer) return {Kind::failed, "the answer is malformed", {}};
  if (answer->addresses.empty() && answer->services.empty())
    return {Kind::missing, in_words(answer->rcode == kNoName ? ARES_ENOTFOUND : ARES_ENODATA), std::move(*answer)};
  return {Kind::found, {}, std::move(*answer)};
}

/// /etc/hosts; its own addresses need no DNS server.
std::optional<DnsAnswer> from_hosts_file(ares_channel channel, const std::string& name, DnsType type) {
  if (type == DnsType::srv) return {};
  hostent* host = nullptr;
  const int family = type == DnsType::a ? AF_INET : AF_INET6;
  if (ares_gethostbyname_file(channel, name.c_str(), family, &host) != ARES_SUCCESS || !host) return {};
  const std::unique_ptr<hostent, decltype(&ares_free_hostent)> owner(host, ares_free_hostent);
  DnsAnswer answer;
  answer.ttl = kHostsTtl;
  for (char** address = host->h_addr_list; host->h_addrtype == family && address && *address; ++address) {
    sockaddr_storage storage{};
    storage.ss_family = static_cast<sa_family_t>(family);
    if (family == AF_INET)
      std::memcpy(&reinterpret_cast<sockaddr_in&>(storage).sin_addr, *address, 4);
    else
      std::memcpy(&reinterpret_cast<sockaddr_in6&>(storage).sin6_addr, *address, 16);
    answer.addresses.push_back(Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage),
                                                       family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
  }
  if (answer.addresses.empty()) return {};
  return answer;
}

}  // namespace

/// A c-ares channel, its sockets in the loop, and its timer.
struct Resolver::Channel : std::enable_shared_from_this<Channel> {
  struct Socket {
    explicit Socket(boost::asio::io_context& io, int fd) : descriptor(io, fd) {}
    stream_descriptor descriptor;  // c-ares closes it
    bool wants_read = false, wants_write = false, reading = false, writing = false;
  };

  explicit Channel(boost::asio::io_context& loop) : io(loop), timer(loop) {}
  ~Channel() {
    if (ares) ares_destroy(ares);
    for (auto& [fd, socket] : sockets) socket->descriptor.release();
  }

  /// Empty, or why it can't be used.
  std::string open(const ResolverSettings& settings) {
    ares_options options{};
    options.flags = ARES_FLAG_EDNS;
    options.ednspsz = kUdpPayload;
    options.timeout = static_cast<int>(settings.timeout.count());
    options.tries = static_cast<int>(settings.tries);
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<Channel*>(self)->on_state(fd, readable, writable);
    };
    options.sock_state_cb_data = this;
    options.udp_port = options.tcp_port = settings.port;
    std::string path = settings.resolv_conf;
    options.resolvconf_path = path.data();
    const int mask = ARES_OPT_FLAGS | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS |
                     ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
    if (const int status = ares_init_options(&ares, &options, mask); status != ARES_SUCCESS) {
      ares = nullptr;
      return ares_strerror(status);
    }
    if (settings.servers.empty()) return {};
    std::string list;
    for (const auto& server : settings.servers) list += (list.empty() ? "" : ",") + server.to_string();
    const int status = ares_set_servers_ports_csv(ares, list.c_str());
    return status == ARES_SUCCESS ? std::string() : ares_strerror(status);
  }

  void on_state(int fd, bool readable, bool writable) {
    auto& socket = sockets[fd];
    if (!readable && !writable) {
      if (socket) socket->descriptor.release();
      sockets.erase(fd);
      return;
    }
    if (!socket) socket = std::make_shared<Socket>(io, fd);
    socket->wants_read = readable;
    socket->wants_write = writable;
    arm(fd, socket);
  }

  void arm(int fd, const std::shared_ptr<Socket>& socket) {
    if (socket->wants_read && !std::exchange(socket->reading, true)) wait(fd, socket, stream_descriptor::wait_read);
    if (socket->wants_write && !std::exchange(socket->writing, true)) wait(fd, socket, stream_descriptor::wait_write);
  }

  void wait(int fd, const std::shared_ptr<Socket>& socket, stream_descriptor::wait_type what) {
    socket->descriptor.async_wait(what, [weak = weak_from_this(), fd, socket, what](boost::system::error_code error) {
      const bool reads = what == stream_descriptor::wait_read;
      (reads ? socket->reading : socket->writing) = false;
      const auto self = weak.lock();
      if (error || !self) return;
      ares_process_fd(self->ares, reads ? fd : ARES_SOCKET_BAD, reads ? ARES_SOCKET_BAD : fd);
      if (const auto still = self->sockets.find(fd); still != self->sockets.end() && still->second == socket)
        self->arm(fd, socket);
      self->set_timer();
    });
  }

  void set_timer() {
    timeval left{};
    if (!ares_timeout(ares, nullptr, &left)) return void(timer.cancel());
    timer.expires_after(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
    timer.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (error || !self) return;
      ares_process_fd(self->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      self->set_timer();
    });
  }

  boost::asio::io_context& io;
  boost::asio::steady_timer timer;
  ares_channel ares = nullptr;
  std::map<int, std::shared_ptr<Socket>> sockets;
};

/// Owned by c-ares from ares_search() to its callback.
struct Resolver::Query {
  std::shared_ptr<Channel> channel;
  std::shared_ptr<bool> stopped;
  DnsType type;
  std::function<void(DnsOutcome)> done;

  static void finish(void* argument, int status, int, unsigned char* bytes, int size) {
    std::unique_ptr<Query> query(static_cast<Query*>(argument));
    if (*query->stopped) return;
    auto& io = query->channel->io;
    auto outcome = outcome_of(status, bytes, size, query->type);
    // Not here: `done` may ask again, and the last one to hold the channel must not be inside it.
    boost::asio::post(io, [query = std::shared_ptr(std::move(query)), outcome = std::move(outcome)]() mutable {
      if (!*query->stopped) query->done(std::move(outcome));
    });
  }
};

Resolver::Resolver(boost::asio::io_context& io, ResolverSettings settings) : io_(io), settings_(std::move(settings)) {
  static const int once = ares_library_init(ARES_LIB_INIT_ALL);
  (void)once;
}

Resolver::~Resolver() { stop(); }

void Resolver::configure(ResolverSettings settings) {
  if (settings == settings_) return;
  settings_ = std::move(settings);
  if (channel_) former_.push_back(std::exchange(channel_, nullptr));
}

std::shared_ptr<Resolver::Channel> Resolver::channel() {
  const std::string stamp = settings_.servers.empty() ? stamp_of(settings_.resolv_conf) : std::string();
  if (channel_ && stamp != stamp_) {
    log::info("resolver_reloaded", {{"file", settings_.resolv_conf}});
    former_.push_back(std::exchange(channel_, nullptr));
  }
  std::erase_if(former_, [](const auto& channel) { return channel.expired(); });
  if (channel_) return channel_;
  auto made = std::make_shared<Channel>(io_);
  if (const std::string problem = made->open(settings_); !problem.empty()) {
    log::error("resolver_failed", {{"reason", problem}});
    return nullptr;
  }
  stamp_ = stamp;
  return channel_ = made;
}

void Resolver::ask(const std::string& name, DnsType type, std::function<void(DnsOutcome)> done) {
  const auto asked = channel();
  const auto known = asked ? from_hosts_file(asked->ares, name, type) : std::nullopt;
  if (!asked || known) {
    DnsOutcome outcome{DnsOutcome::Kind::failed, "the resolver can't be set up", {}};
    if (known) outcome = {DnsOutcome::Kind::found, {}, *known};
    boost::asio::post(io_, [stopped = stopped_, done = std::move(done), outcome = std::move(outcome)] {
      if (!*stopped) done(outcome);
    });
    return;
  }
  auto query = std::make_unique<Query>(Query{asked, stopped_, type, std::move(done)});
  ares_search(asked->ares, name.c_str(), kInternetClass, static_cast<int>(type), &Query::finish, query.release());
  asked->set_timer();
}

void Resolver::stop() {
  if (std::exchange(*stopped_, true)) return;
  auto channels = std::exchange(former_, {});
  if (channel_) channels.push_back(channel_);
  const auto own = std::exchange(channel_, nullptr);
  for (const auto& weak : channels)
    if (const auto held = weak.lock()) {
      held->timer.cancel();
      ares_cancel(held->ares);  // each question lets go of it
    }
}

}  // namespace weir::net
