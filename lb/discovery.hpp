// Keeps the backends that DNS names up to date: asks, on the control thread's loop, and says which pools have changed.
// The rules are in lb/discover/.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lb/admin/inventory.hpp"
#include "lb/discover/expand.hpp"
#include "lb/net/handover.hpp"
#include "lb/net/resolver.hpp"
#include "lb/proxy/runtime.hpp"

namespace weir {

class Discovery {
 public:
  /// `changed` is called on the control thread when changes() may have something, seldom more than once in 100 ms.
  Discovery(boost::asio::io_context& control, uint64_t seed, ProcessState& process, std::function<void()> changed);

  /// What is known, for the process that takes over; and what the one before knew, before the first configure().
  void offer(net::Handover& handover, const proxy::Runtime& running) const;
  void recall(const net::Handover& handover);
  /// At start and at each reload. What is known of names that stay is kept.
  void configure(std::shared_ptr<const config::Config> config);
  /// A configured pool as it serves now. `before`: the runtime so far; may be null.
  config::Pool serving(const config::Pool& configured, const proxy::Runtime* before);
  /// The pools whose backends are no longer those of `running`, which has the configured ones in their order; each
  /// change is logged.
  std::map<std::string, config::Pool> changes(const proxy::Runtime& running);
  /// May that pool still get backends that DNS hasn't named so far?
  bool awaits(const std::string& pool) const;
  /// Runs the loop until every name has been answered or has failed, but for half a second at most.
  void wait_for_first_round();
  /// What is known of the pool's names, for people; `serving`: the pool as it runs.
  std::vector<admin::NameStatus> names_of(const config::Pool& serving) const;
  void stop();

 private:
  void ask();
  void on_answer(const discover::Question& question, net::DnsOutcome outcome);
  void tell(const std::string& name, bool services);
  void tell_nothing_new();
  void note_change();
  void arm();
  void warn_of_limit(const std::string& pool, size_t left_out);

  boost::asio::io_context& control_;
  boost::asio::steady_timer ask_timer_, change_timer_;
  ProcessState& process_;
  std::function<void()> changed_;
  discover::Names names_;
  std::unique_ptr<net::Resolver> resolver_;  // from the first name on
  std::shared_ptr<const config::Config> config_;
  std::map<std::string, config::Pool> handed_;   // how pools served in the process before; until the first round
  std::map<std::string, discover::State> told_;  // by name
  std::map<std::string, size_t> left_out_;       // by pool
  std::vector<discover::Question> waiting_;      // due, but kMaxQuestions are under way
  size_t asking_ = 0;
  bool change_pending_ = false, stopped_ = false;
};

}  // namespace weir
