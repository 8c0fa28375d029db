// The TCP sessions of one worker, and what they share.
#pragma once
#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "lb/net/flow.hpp"
#include "lb/net/pipe.hpp"

namespace weir::proxy {

class TcpSession;
class Worker;
struct Grant;
struct Ticket;
struct UpstreamSet;

class TcpWorker {
 public:
  explicit TcpWorker(Worker& worker) : worker_(worker) {}

  void add(TcpSession& session);
  /// It has ended; it is deleted after the current batch of events.
  void remove(TcpSession& session);
  void delete_retired();

  /// Ends sessions of backends that have been taken out, where the pool says so.
  void tick();
  /// Ends all of them.
  void finish();

  /// A name for a session that waits in a pool's queue: a grant that comes too late finds nobody.
  Ticket queue(TcpSession& session);
  void leave_queue(const Ticket& ticket);
  void grant(const Grant& grant);

  /// A session has found its backend, or has left it.
  void attach(TcpSession& session, UpstreamSet& set);
  void detach(TcpSession& session, UpstreamSet& set);

  net::FlowMeans means();
  std::list<TcpSession*> handshakes;  // under way with clients, the oldest first

 private:
  Worker& worker_;
  net::PipePool pipes_;
  TcpSession* first_ = nullptr;  // intrusive list
  std::vector<TcpSession*> retired_;
  std::unordered_map<uint64_t, TcpSession*> queued_;  // by the serial of their tickets
  uint64_t last_serial_ = 0;
};

}  // namespace weir::proxy
