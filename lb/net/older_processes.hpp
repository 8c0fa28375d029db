// The processes before this one, that handed over, one to the next, and finish their connections: a bound on how many,
// and what is said to them over the channels of their upgrades: they obey the operator's orders, and tell how much they
// still have in flight with each backend. docs/upgrade.md, docs/adr/0005.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lb/base/unique_fd.hpp"
#include "lb/net/handover.hpp"
#include "lb/net/process_handle.hpp"

namespace weir::net {

/// What one older process has said of its backends. Pure; times are of CLOCK_MONOTONIC, in ns, which both have.
class OlderCounts {
 public:
  static constexpr int64_t kPatienceNs = 2'000'000'000;  // then a question is asked again
  static constexpr int64_t kSettleNs = 50'000'000;       // a worker that chose just before the order is about to send

  /// It was sent an order.
  void ordered(int64_t now_ns) { ordered_at_ns_ = now_ns; }
  /// Shall it be asked? Then it was.
  bool ask(int64_t now_ns);
  /// Messages that are no answer are passed over. Throws std::runtime_error for one that is broken.
  void take(const Message& message);
  /// Nothing: it has not answered yet.
  std::optional<uint64_t> inflight(const std::string& pool, const std::string& backend) const;
  /// What it has told was counted after it had every order, and has settled.
  bool obeys() const { return answered_ && counted_for_ns_ > ordered_at_ns_ + kSettleNs; }

 private:
  int64_t ordered_at_ns_ = 0, asked_at_ns_ = 0, counted_for_ns_ = 0;
  bool open_ = false;  // a question
  bool answered_ = false;
  std::map<std::pair<std::string, std::string>, uint64_t> inflight_;
};

/// A process as the one after it passes it on. Without `channel`: it can't be spoken to.
struct OlderProcess {
  ProcessHandle process;
  UniqueFd channel;
};

/// What an older process has of one backend.
struct OlderShare {
  int64_t pid = 0;
  bool takes_orders = false;         // false: a version that doesn't know how
  bool obeys = false;                // every order has arrived, and `inflight` was counted later
  std::optional<uint64_t> inflight;  // nothing: not known (yet)
};

/// Control thread only.
class OlderProcesses {
 public:
  static constexpr size_t kMost = 4;

  explicit OlderProcesses(boost::asio::io_context& control) : control_(control), timer_(control) {}
  /// The oldest first. Nothing is said to them before begin().
  void hold(std::vector<OlderProcess> all);
  /// This process begins to serve: orders go to them, too. `last`: the channel to the last of them, which is kept open
  /// as long as that lives; `takes_orders`: it knows how.
  void begin(UniqueFd last, bool takes_orders);
  /// It does, and says so to the last one, which speaks to the others until it has handed over.
  void serves();
  /// Another process serves now, and speaks to them; resume(): it is gone.
  void pause();
  void resume();

  /// This process ends in order: nobody shall take back from it.
  void end();

  /// An order of the operator, for all of them.
  void pass_on(const HandedOrder& order);
  /// Those that have something in flight with the backend, or may have.
  std::vector<OlderShare> shares(const std::string& pool, const std::string& backend);

  /// For the next process; the descriptors stay ours.
  std::vector<Handover::Process> offer() const;
  /// Forgets those that have ended.
  void prune();
  /// The oldest of those beyond kMost; null if there is none.
  const ProcessHandle* one_too_many() const { return all_.size() > kMost ? &all_.front()->process : nullptr; }
  void forget_oldest() { all_.erase(all_.begin()); }
  std::vector<int64_t> pids() const;
  void signal(int number) const;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;
  struct One {
    One(ProcessHandle handle, UniqueFd fd) : process(std::move(handle)), given(std::move(fd)) {}
    ProcessHandle process;
    UniqueFd given;  // until begin()
    std::optional<Socket> channel;
    bool takes_orders = false;
    bool heard = false;  // by us: what it says is read
    OlderCounts counts;
    std::string received;
    char buffer[4096];
  };
  void open(One& one, UniqueFd fd, bool takes_orders);
  void listen(const std::shared_ptr<One>& one);
  void read(const std::shared_ptr<One>& one);
  void take(One& one, const Message& message);
  static bool send(One& one, const Message& message);
  void ask();

  boost::asio::io_context& control_;
  boost::asio::steady_timer timer_;
  std::vector<std::shared_ptr<One>> all_;  // handlers share them
  std::shared_ptr<One> last_;              // until it has handed over
};

}  // namespace weir::net
