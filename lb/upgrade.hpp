// The old process's part of an upgrade: starts the new one, waits until it serves, and keeps an eye on it as long as it
// lives itself. docs/upgrade.md, docs/adr/0005; lb/predecessor.hpp is the other part.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "lb/admin/control.hpp"
#include "lb/net/handover.hpp"
#include "lb/net/process_handle.hpp"

namespace weir {

/// Control thread only.
class Upgrade {
 public:
  struct Hooks {
    /// What the new process gets, our own handle excepted.
    std::function<net::Handover()> offer;
    /// True right before this process is copied, false right after: net::spawn.
    std::function<void(bool copied)> copied;
    /// At the last moment.
    std::function<net::Go()> go;
    /// The new process serves; `outcome` wants connections and finishes_for.
    std::function<void(admin::UpgradeOutcome& outcome, const std::vector<std::string>& unused_keys)> hand_over;
    /// It did, and is gone, not in order. What it accepted is lost; what waits is not.
    std::function<void(const std::string& reason)> take_back;
    /// The operator's, to a backend, through whoever serves now.
    std::function<void(const net::HandedOrder& order)> obey;
    /// By backend, without those that have nothing.
    std::function<std::vector<net::Inflight::OfBackend>()> inflight;
  };
  using Done = std::function<void(const admin::UpgradeOutcome&)>;

  /// `arguments`: of this process.
  Upgrade(boost::asio::io_context& control, std::vector<std::string> arguments, Hooks hooks);

  /// `done` is called once, at once if it is refused.
  void begin(std::chrono::milliseconds timeout, Done done);
  bool under_way() const { return stage_ == Stage::starts || stage_ == Stage::begins_to_serve; }
  /// This process ends: so does a new one that doesn't serve yet.
  void cancel();
  const std::string& program() const { return program_; }

 private:
  enum class Stage { idle, starts, begins_to_serve, serves };
  using Socket = boost::asio::local::stream_protocol::socket;

  std::string refusal() const;
  void start();
  void send(const net::Message& message);
  void read();
  void on_closed();
  void on_message(const net::Message& message);
  void on_word_of_successor(const net::Message& message);
  void on_timeout(std::chrono::milliseconds timeout);
  void fail(std::string reason);
  void finish();
  std::string reap(bool patient);
  void watch_end(int looks);

  boost::asio::io_context& control_;
  const std::vector<std::string> arguments_;
  const std::string program_;
  const Hooks hooks_;
  const net::ProcessHandle self_ = net::ProcessHandle::of_this_process();
  Stage stage_ = Stage::idle;
  pid_t pid_ = 0;
  std::chrono::steady_clock::time_point started_{};
  Socket channel_{control_};
  boost::asio::steady_timer timer_{control_};
  std::string received_;
  char buffer_[4096];
  std::vector<std::string> unused_;
  admin::UpgradeOutcome outcome_;
  Done done_;
  bool successor_ends_ = false;
  bool answering_ = false;  // a count is being written
};

}  // namespace weir
