// Backends that behave in one chosen way, on the io_context of the test, and a way to wait for a condition.
#pragma once
#include <sys/socket.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "lb/base/endpoint.hpp"

namespace weir::health::test {

namespace asio = boost::asio;
using Stream = asio::generic::stream_protocol;

/// Runs `io` until `condition` holds; false if it doesn't within a minute (which only a broken program needs).
template <class Condition>
bool run_until(asio::io_context& io, Condition condition, std::chrono::seconds bound = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + bound;
  io.restart();
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    io.run_one_for(std::chrono::milliseconds(10));
    if (io.stopped()) io.restart();
  }
  return true;
}

/// One accepted connection.
struct Peer : std::enable_shared_from_this<Peer> {
  explicit Peer(Stream::socket accepted) : socket(std::move(accepted)), timer(socket.get_executor()) {}
  Stream::socket socket;
  asio::steady_timer timer;
  std::string request, response;
};
using Behaviour = std::function<void(std::shared_ptr<Peer>)>;

/// Destroyed, it accepts no more; connections that it has accepted are closed unless their behaviour has them already.
class FakeBackend {
 public:
  FakeBackend(asio::io_context& io, Behaviour behaviour, const std::string& where = "127.0.0.1:0")
      : acceptor_(io), behaviour_(std::move(behaviour)) {
    const auto wanted = Endpoint::parse(where);
    if (!wanted) throw std::runtime_error("not an address: " + where);
    const Stream protocol(wanted->family(), 0);
    acceptor_.open(protocol);
    acceptor_.bind(Stream::endpoint(wanted->address(), wanted->length));
    acceptor_.listen();
    const auto bound = acceptor_.local_endpoint();
    address = Endpoint::from_sockaddr(bound.data(), static_cast<socklen_t>(bound.size()));
    accept();
  }

  Endpoint address;
  size_t accepted = 0;
  std::string last_request;
  Behaviour& behaviour() { return behaviour_; }

 private:
  // A handler may run after this object has gone: it looks at `alive` first.
  void accept() {
    acceptor_.async_accept(
        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error, Stream::socket socket) {
          if (alive.expired() || error) return;
          ++accepted;
          serve(std::make_shared<Peer>(std::move(socket)));
          accept();
        });
  }
  void serve(const std::shared_ptr<Peer>& peer) {
    asio::async_read_until(peer->socket, asio::dynamic_buffer(peer->request), "\r\n\r\n",
                           [this, peer, alive = std::weak_ptr(alive_)](const boost::system::error_code& error, size_t) {
                             if (alive.expired() || error) return;  // a TCP check sends nothing
                             last_request = peer->request;
                             behaviour_(peer);
                           });
  }
  asio::basic_socket_acceptor<Stream> acceptor_;
  Behaviour behaviour_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

inline void send_and_close(const std::shared_ptr<Peer>& peer, std::string text) {
  peer->response = std::move(text);
  asio::async_write(peer->socket, asio::buffer(peer->response), [peer](const boost::system::error_code&, size_t) {});
}

inline Behaviour answers(std::string text) {
  return [text](const std::shared_ptr<Peer>& peer) { send_and_close(peer, text); };
}
inline Behaviour answers_status(int status, const std::string& body = "") {
  return answers("HTTP/1.1 " + std::to_string(status) + " Text\r\nContent-Length: " + std::to_string(body.size()) +
                 "\r\nConnection: close\r\n\r\n" + body);
}
/// Reads until the other side closes, and says nothing.
inline Behaviour stalls() {
  return [](const std::shared_ptr<Peer>& peer) {
    asio::async_read(peer->socket, asio::dynamic_buffer(peer->request),
                     [peer](const boost::system::error_code&, size_t) {});
  };
}
inline Behaviour resets() {
  return [](const std::shared_ptr<Peer>& peer) {
    peer->socket.set_option(asio::socket_base::linger(true, 0));
    peer->socket.close();
  };
}
/// Sends `head`, then a byte of `c` every 5 ms, for ever.
inline Behaviour trickles(std::string head, char c) {
  struct Drip {
    static void next(const std::shared_ptr<Peer>& peer, char byte) {
      asio::async_write(peer->socket, asio::buffer(peer->response),
                        [peer, byte](const boost::system::error_code& error, size_t) {
                          if (error) return;
                          peer->timer.expires_after(std::chrono::milliseconds(5));
                          peer->timer.async_wait([peer, byte](const boost::system::error_code&) {
                            peer->response.assign(1, byte);
                            next(peer, byte);
                          });
                        });
    }
  };
  return [head, c](const std::shared_ptr<Peer>& peer) {
    peer->response = head;
    Drip::next(peer, c);
  };
}
/// Sends `head`, then `c` as fast as it is taken, for ever.
inline Behaviour floods(std::string head, char c) {
  struct Flood {
    static void next(const std::shared_ptr<Peer>& peer, char byte) {
      asio::async_write(peer->socket, asio::buffer(peer->response),
                        [peer, byte](const boost::system::error_code& error, size_t) {
                          if (error) return;
                          peer->response.assign(16 << 10, byte);
                          next(peer, byte);
                        });
    }
  };
  return [head, c](const std::shared_ptr<Peer>& peer) {
    peer->response = head;
    Flood::next(peer, c);
  };
}

}  // namespace weir::health::test
