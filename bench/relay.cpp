// The floor of bench/RESULTS.md: bytes both ways between a client's connection and one to a backend, one thread, no
// HTTP. What a proxy costs above it is its own work; what it costs in all is mostly the kernel's TCP.
//
//   relay PORT HOST:PORT,HOST:PORT…
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Side {
  int fd = -1;
  Side* other = nullptr;
  std::string unsent;  // of what the other side received
  bool ended = false;
};

char scratch[256 << 10];
int epoll = -1;

sockaddr_in address_of(const std::string& text) {
  sockaddr_in address{};
  const size_t colon = text.find(':');
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(text.c_str() + colon + 1)));
  ::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr);
  return address;
}

void watch(Side& side) {
  const int on = 1;
  ::setsockopt(side.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &side;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, side.fd, &event);
}

/// Ends both; the memory goes when the batch that may still name it is over.
void end(Side& side, std::vector<Side*>& ended) {
  for (Side* one : {&side, side.other}) {
    if (one->ended) continue;
    one->ended = true;
    ::close(one->fd);
    ended.push_back(one);
  }
}

/// False: the connection is over.
bool push(Side& to, const char* data, size_t size) {
  if (to.unsent.empty()) {
    const ssize_t n = ::send(to.fd, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    const size_t sent = n < 0 ? 0 : static_cast<size_t>(n);
    data += sent;
    size -= sent;
  }
  to.unsent.append(data, size);
  return true;
}

bool pull(Side& from) {
  while (from.other->unsent.empty()) {
    const ssize_t n = ::recv(from.fd, scratch, sizeof scratch, 0);
    if (n < 0) return errno == EAGAIN;
    if (n == 0 || !push(*from.other, scratch, static_cast<size_t>(n))) return false;
    if (static_cast<size_t>(n) < sizeof scratch) return true;
  }
  return true;
}

bool handle(Side& side, uint32_t events) {
  if (events & EPOLLERR) return false;
  if ((events & EPOLLOUT) && !side.unsent.empty()) {
    const std::string rest = std::exchange(side.unsent, {});
    if (!push(side, rest.data(), rest.size())) return false;
    if (side.unsent.empty() && !pull(*side.other)) return false;
  }
  return !(events & (EPOLLIN | EPOLLRDHUP)) || pull(side);
}

void accept_all(int listener, const std::vector<sockaddr_in>& backends) {
  static size_t turn = 0;
  for (;;) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd < 0) return;
    auto* client = new Side;
    client->fd = fd;
    auto* backend = new Side;
    backend->fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    client->other = backend;
    backend->other = client;
    const sockaddr_in& to = backends[turn++ % backends.size()];
    ::connect(backend->fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    watch(*backend);
    watch(*client);
  }
}

int listen_on(const char* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in where = address_of(std::string("127.0.0.1:") + port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 || ::listen(fd, 4096) != 0) {
    std::perror("relay");
    std::exit(1);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  return fd;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: relay PORT HOST:PORT,HOST:PORT...\n"), 2;
  std::vector<sockaddr_in> backends;
  const std::string list = argv[2];
  for (size_t at = 0; at < list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    backends.push_back(address_of(list.substr(at, comma - at)));
    at = comma + 1;
  }
  epoll = ::epoll_create1(0);
  const int listener = listen_on(argv[1]);
  std::vector<Side*> ended;
  for (;;) {
    epoll_event events[256];
    const int count = ::epoll_wait(epoll, events, 256, -1);
    for (int i = 0; i < count; ++i) {
      auto* side = static_cast<Side*>(events[i].data.ptr);
      if (!side)
        accept_all(listener, backends);
      else if (!side->ended && !handle(*side, events[i].events))
        end(*side, ended);
    }
    for (Side* side : ended) delete side;
    ended.clear();
  }
}
