#include "lb/admin/client.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "lb/base/endpoint.hpp"

namespace weir::admin {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

constexpr size_t kMaxAnswer = 256 << 20;  // 10,000 backends are about 6 MiB

/// The connection ended before an answer began: a kept one may just have been closed.
struct Closed {};

void set_timeouts(int fd, std::chrono::seconds seconds = Client::kTimeout) {
  const timeval limit{seconds.count(), 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

[[noreturn]] void nobody(const Target& target, int error) {
  const std::string where = target.shown();
  switch (error) {
    case ENOENT:
      throw ClientError(fmt::format(
          "no weir listens at {} (there is no such socket); is it running? --admin names another place", where));
    case ECONNREFUSED:
      throw ClientError(
          fmt::format("no weir listens at {} (connection refused); is it running? --admin names another place", where));
    case EACCES:
      throw ClientError(
          fmt::format("{} is not for you (permission denied); become root, or a member of the group weir", where));
    case EAGAIN:
    case EINPROGRESS:
    case ETIMEDOUT: throw ClientError(fmt::format("{} doesn't answer (timed out)", where));
    default: throw ClientError(fmt::format("{} can't be reached: {}", where, std::strerror(error)));
  }
}

int connect_unix(const Target& target) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  target.path.copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) nobody(target, errno);
  set_timeouts(fd);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  const int error = errno;
  ::close(fd);
  nobody(target, error);
}

int connect_tcp(const Target& target) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found); error != 0)
    throw ClientError(fmt::format("{} can't be reached: {}", target.shown(), ::gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  int error = ECONNREFUSED;
  for (const addrinfo* one = list.get(); one; one = one->ai_next) {
    const int fd = ::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      error = errno;
      continue;
    }
    set_timeouts(fd);
    if (::connect(fd, one->ai_addr, one->ai_addrlen) == 0) return fd;
    error = errno;
    ::close(fd);
  }
  nobody(target, error);
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

std::string Target::shown() const {
  if (is_unix) return path;
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("http://[{}]:{}", host, port) : fmt::format("http://{}:{}", host, port);
}

Target parse_target(std::string_view text) {
  const auto wrong = [&]() -> ClientError {
    return ClientError(fmt::format("--admin {}: write a socket's path like {}, or http://HOST:PORT",
                                   text.substr(0, 128), kDefaultSocket));
  };
  Target target;
  std::string_view rest = text;
  if (rest.starts_with("unix:")) rest.remove_prefix(5);
  if (rest.starts_with('/') || rest.size() < text.size()) {
    if (!rest.starts_with('/') || rest.size() >= sizeof sockaddr_un{}.sun_path) throw wrong();
    target.path = rest;
    return target;
  }
  target.is_unix = false;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || !is_port(rest.substr(colon + 1))) throw wrong();
  target.port = rest.substr(colon + 1);
  rest = rest.substr(0, colon);
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  if (rest.empty() || rest.find_first_of("/@[] ") != std::string_view::npos) throw wrong();
  target.host = rest;
  return target;
}

std::string read_token(const std::string& path) {
  std::ifstream file(path);
  std::string token{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw ClientError(fmt::format("{} can't be read: {}", path, std::strerror(errno)));
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!token.empty() && blank(token.back())) token.pop_back();
  if (token.empty() || token.find_first_of(" \r\n\t") != std::string::npos)
    throw ClientError(fmt::format("{} holds no token: one line is wanted", path));
  return token;
}

Client::~Client() { close(); }

void Client::connect() {
  fd_ = target_.is_unix ? connect_unix(target_) : connect_tcp(target_);
  host_ = "localhost";
  sockaddr_storage peer{};
  socklen_t length = sizeof peer;
  if (!target_.is_unix && ::getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &length) == 0)
    host_ = Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&peer), length).to_string();
}

void Client::wait_for_answers(std::chrono::seconds limit) {
  if (fd_ < 0) connect();
  set_timeouts(fd_, limit);
}

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

ClientReply Client::request(std::string_view method, std::string_view path) {
  const bool kept = fd_ >= 0;
  try {
    return exchange(method, path);
  } catch (const Closed&) {
    close();
    // The daemon closes connections that were idle for 10 s: the request has had no effect.
    if (!kept) throw ClientError(fmt::format("{} closed the connection without an answer", target_.shown()));
  }
  try {
    return exchange(method, path);
  } catch (const Closed&) {
    throw ClientError(fmt::format("{} closed the connection without an answer", target_.shown()));
  }
}

ClientReply Client::exchange(std::string_view method, std::string_view path) {
  if (fd_ < 0) connect();
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", method, path, host_);
  if (!target_.token.empty()) head += fmt::format("Authorization: Bearer {}\r\n", target_.token);
  if (method != "GET") head += "Content-Length: 0\r\n";
  head += "\r\n";
  for (size_t sent = 0; sent < head.size();) {
    const ssize_t n = ::send(fd_, head.data() + sent, head.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) throw Closed();
    if (n < 0) nobody(target_, errno);
    sent += static_cast<size_t>(n);
  }
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMaxAnswer);
  parser.eager(true);
  std::string pending;
  char buffer[64 << 10];
  while (!parser.is_done()) {
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != ECONNRESET) nobody(target_, errno);
    if (n <= 0 && pending.empty() && !parser.got_some()) throw Closed();
    if (n <= 0) throw ClientError(fmt::format("{} closed the connection within its answer", target_.shown()));
    pending.append(buffer, static_cast<size_t>(n));
    error_code error;
    while (!pending.empty() && !parser.is_done()) {
      const size_t used = parser.put(boost::asio::buffer(pending), error);
      pending.erase(0, used);
      if (error || used == 0) break;
    }
    if (error && error != http::error::need_more)
      throw ClientError(fmt::format("{} speaks no HTTP that we know: {}", target_.shown(), error.message()));
  }
  const auto& answer = parser.get();
  const auto type = answer[http::field::content_type];
  ClientReply reply{static_cast<uint16_t>(answer.result_int()), std::string(type.data(), type.size()), answer.body()};
  if (!answer.keep_alive()) close();
  return reply;
}

}  // namespace weir::admin
