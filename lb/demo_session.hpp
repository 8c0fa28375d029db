// One demo backend and the connections to it. Everything runs on one thread.
#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "lb/base/endpoint.hpp"
#include "lb/base/rng.hpp"
#include "lb/demo_backend.hpp"

namespace weir::demo {

using Protocol = boost::asio::generic::stream_protocol;
using Socket = Protocol::socket;

/// Kept alive by its coroutines, which may outlive run() until the context is destroyed.
class Backend : public std::enable_shared_from_this<Backend> {
 public:
  /// `on_death` is called when the backend was told to die for good.
  Backend(boost::asio::io_context& context, const Options& options, std::string name, const Endpoint& where,
          std::function<void()> on_death);
  /// Throws std::system_error with a sentence for people.
  void listen();

  // What it was told, for all its connections.
  const Options& options;
  std::string name;
  std::chrono::milliseconds delay;
  bool failing = false, unhealthy = false;
  uint16_t fail_status = 503;
  uint64_t requests = 0;
  Rng rng;

  boost::asio::io_context& context() { return context_; }
  const Endpoint& address() const { return address_; }
  std::unordered_set<Socket*>& sockets() { return sockets_; }

  /// A WebSocket that is open: `goodbye` has it closed with 1001 (going away). Taken back with forget_websocket().
  void remember_websocket(const void* websocket, std::function<void()> goodbye) {
    websockets_[websocket] = std::move(goodbye);
  }
  void forget_websocket(const void* websocket);
  /// Stops listening and says goodbye to every WebSocket. `left` is called once none is open, but not after stay().
  void leave(std::function<void()> left);
  void stay() { left_ = {}; }

  /// Resets every connection and stops listening; listens again after `revive_after`, never if that is zero.
  void die(std::chrono::milliseconds revive_after);

 private:
  boost::asio::awaitable<void> accept_all(std::shared_ptr<Backend> self);
  boost::asio::awaitable<void> revive(std::shared_ptr<Backend> self, std::chrono::milliseconds after);

  boost::asio::io_context& context_;
  Endpoint address_;
  std::function<void()> on_death_;
  boost::asio::basic_socket_acceptor<Protocol> acceptor_;
  std::unordered_set<Socket*> sockets_;
  std::unordered_map<const void*, std::function<void()>> websockets_;
  std::function<void()> left_;
};

/// Serves one connection until it ends.
boost::asio::awaitable<void> serve(Socket socket, std::shared_ptr<Backend> backend);

/// "200ms", "2s", "1m", "1h" or "0"; false if it is none of these or more than an hour.
bool parse_duration(std::string_view text, std::chrono::milliseconds& out);
/// "20%"; at most 100.
bool parse_percent(std::string_view text, uint32_t& out);
/// The value of `name` in a query string, not decoded; empty if it isn't there.
std::string_view query_value(std::string_view query, std::string_view name);
/// The first parameter of a query string that is not among the known ones; empty if there is none.
std::string_view unknown_parameter(std::string_view query, std::initializer_list<std::string_view> known);

}  // namespace weir::demo
