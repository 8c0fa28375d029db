// The operator's HTTP listener, on the control thread.
#pragma once
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lb/admin/api.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/net/handed.hpp"
#include "lb/net/handover.hpp"

namespace weir::admin {

class Server {
 public:
  static constexpr size_t kConnections = 64;           // a listener; above them the longest idle one makes room
  static constexpr uint32_t kHeadBytes = 8 << 10;      // else 431
  static constexpr uint64_t kBodyBytes = 4 << 10;      // of a request, which is ignored; else 413
  static constexpr std::chrono::seconds kTimeout{10};  // for a request, for an answer, between two requests

  Server(boost::asio::io_context& control, Sources sources);
  /// Ends as stop() does.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// From now on listen() first looks for the socket there, and nothing is accepted before accept(). `handed` must live
  /// until then.
  void take_over(net::HandedSockets& handed);

  /// On the control thread, or before it runs. Returns the address with its real port. A unix socket gets mode 0660 and
  /// the group weir. Throws std::system_error with a sentence for people.
  Endpoint listen(const Endpoint& where, Surface surface);

  /// Writes the event `listening` of each listener: once nothing can fail any more, a start that fails has none.
  void announce();

  /// On the control thread. Accepts on what take_over() has kept waiting, or again after hand_over().
  void accept();
  /// Adds its sockets to what a successor gets.
  void offer(net::Handover& handover) const;
  /// On the control thread. Another process accepts in our place, but on the sockets with these keys: they close. Ends
  /// every connection that doesn't just wait for its answer, and those after it.
  void hand_over(const std::vector<std::string>& closing);

  /// The command line's socket (admin.socket), and its folder if that is missing. Traffic matters more than it does: if
  /// it can't be had, the event `admin_socket_failed` says why, and that is all. True: it listens.
  bool listen_on_socket(const std::string& path);

  /// On the control thread. Closes listeners and connections; no handler touches what the sources refer to afterwards.
  /// May be called twice.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::admin
