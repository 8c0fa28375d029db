#include "lb/predecessor.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>

#include "lb/base/environment_number.hpp"
#include "lb/base/log.hpp"

namespace weir {

namespace {

constexpr int kPatienceMs = 10'000;  // for the first message, which is on its way when we start

net::Message first_message(int channel) {
  std::string received;
  size_t known = 0;
  char buffer[64 << 10];  // what is known of many names may be megabytes
  while (true) {
    if (auto message = net::take_message(received, known)) return *message;
    known = received.size();
    pollfd readable{channel, POLLIN, 0};
    if (::poll(&readable, 1, kPatienceMs) == 0) throw std::runtime_error("the old process says nothing");
    const ssize_t n = ::recv(channel, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) throw std::runtime_error("the old process is gone");
    received.append(buffer, static_cast<size_t>(n));
  }
}

}  // namespace

std::unique_ptr<Predecessor> Predecessor::from_environment() {
  if (!std::getenv(kUpgradeVariable)) return nullptr;
  const auto fd = static_cast<int>(environment_number(kUpgradeVariable));
  ::unsetenv(kUpgradeVariable);
  try {
    if (fd < 3 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
      throw std::runtime_error("it names no open descriptor; only an upgrade sets it");
    UniqueFd channel(fd);
    auto handover = net::Handover::from(first_message(fd));
    return std::unique_ptr<Predecessor>(new Predecessor(std::move(channel), std::move(handover)));
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{}: {}", kUpgradeVariable, error.what()));
  }
}

Predecessor::Predecessor(UniqueFd channel, net::Handover handover)
    : channel_(std::move(channel)), handover_(std::move(handover)) {
  for (const auto& socket : handover_.sockets) sockets.add(socket.key, socket.fds);
  for (const auto& one : handover_.passed) passed.adopt(one.fd, one.name);
  for (const auto& process : handover_.processes) {
    UniqueFd to_it;
    for (const int fd : {process.fd, process.channel})
      if (fd >= 0) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (process.channel >= 0) to_it = UniqueFd(process.channel);
    processes.push_back({net::ProcessHandle(static_cast<pid_t>(process.pid), UniqueFd(process.fd)), std::move(to_it)});
  }
}

void Predecessor::failed(int code, const std::string& reason, const std::vector<std::string>& details) {
  net::Message message{"failed", {{"code", std::to_string(code)}, {"reason", reason}}};
  for (const auto& detail : details) message.lines.push_back({"detail", detail});
  const std::string text = net::encode(message);
  const int fd = socket_ ? socket_->native_handle() : channel_.get();
  if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) log::warn("predecessor_gone");
}

void Predecessor::attend(boost::asio::io_context& control, std::function<void(const net::Go&)> go,
                         std::function<void()> lost) {
  go_ = std::move(go);
  lost_ = std::move(lost);
  socket_.emplace(control, boost::asio::local::stream_protocol(), channel_.get());
  channel_.release();
  read();
}

void Predecessor::send(const net::Message& message) {
  const auto text = std::make_shared<const std::string>(net::encode(message));
  boost::asio::async_write(*socket_, boost::asio::buffer(*text), [text](boost::system::error_code, size_t) {});
}

void Predecessor::ready(const std::vector<std::string>& forgotten) {
  if (ready_) return;
  ready_ = true;
  net::Message message{"ready", {{"version", WEIR_VERSION}}};
  for (const auto& key : sockets.unused()) message.lines.push_back({"unused", key});
  for (const auto& line : forgotten) message.lines.push_back({"forgotten", line});
  send(message);
}

UniqueFd Predecessor::release() {
  UniqueFd channel(socket_->release());
  socket_.reset();
  return channel;
}

void Predecessor::read() {
  socket_->async_read_some(boost::asio::buffer(buffer_), [this](boost::system::error_code error, size_t n) {
    if (error == boost::asio::error::operation_aborted || !socket_) return;
    if (error) return lost_();
    size_t known = received_.size();
    received_.append(buffer_, n);
    try {
      while (const auto message = net::take_message(received_, std::exchange(known, 0))) {
        if (message->word != "go" || !ready_ || went_) continue;
        const auto go = net::Go::from(*message);
        went_ = true;
        return go_(go);  // which takes the channel
      }
    } catch (const std::exception& wrong) {
      log::error("handover_unreadable", {{"reason", wrong.what()}});
      return lost_();
    }
    read();
  });
}

}  // namespace weir
