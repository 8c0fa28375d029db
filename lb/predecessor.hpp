// The new process's part of an upgrade: takes what the old one hands over, says when it could serve, and is told to.
// lb/upgrade.hpp is the other part.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lb/base/unique_fd.hpp"
#include "lb/net/handed.hpp"
#include "lb/net/handover.hpp"
#include "lb/net/inherited.hpp"
#include "lb/net/older_processes.hpp"

namespace weir {

/// Names the descriptor of the channel to the old process.
inline constexpr const char* kUpgradeVariable = "WEIR_UPGRADE";

class Predecessor {
 public:
  /// Null if this process is not started by an upgrade. Removes the variable. Throws std::runtime_error when what it
  /// names is no handover.
  static std::unique_ptr<Predecessor> from_environment();

  net::HandedSockets sockets;
  net::InheritedSockets passed;
  std::vector<net::OlderProcess> processes;  // that drain or will, the old one last
  const net::Handover& handover() const { return handover_; }

  /// Before the process ends because it can't start; `code`: that it ends with.
  void failed(int code, const std::string& reason, const std::vector<std::string>& details);

  /// Begins to listen to it, on the control thread. `go`: we are to serve; `lost`: it is gone, or has cancelled, before
  /// that.
  void attend(boost::asio::io_context& control, std::function<void(const net::Go&)> go, std::function<void()> lost);
  /// We could serve. Once; later calls do nothing. `forgotten`: what no longer fits of what was handed over.
  void ready(const std::vector<std::string>& forgotten);
  /// The channel, once told to go: nothing more is read from it here.
  UniqueFd release();
  /// No handler runs any more, and the control thread's context may go.
  void leave() { socket_.reset(); }
  /// Has it told us to?
  bool told_to_go() const { return went_; }

 private:
  Predecessor(UniqueFd channel, net::Handover handover);
  void read();
  void send(const net::Message& message);

  UniqueFd channel_;  // until attend()
  std::optional<boost::asio::local::stream_protocol::socket> socket_;
  net::Handover handover_;
  std::function<void(const net::Go&)> go_;
  std::function<void()> lost_;
  std::string received_;
  char buffer_[64 << 10];  // go may be megabytes
  bool ready_ = false, went_ = false;
};

}  // namespace weir
