#include "lb/net/older_processes.hpp"

#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <exception>
#include <utility>

#include "lb/base/clock.hpp"
#include "lb/base/log.hpp"

namespace weir::net {

namespace {
constexpr std::chrono::milliseconds kAsk{100};
int64_t now_ns() { return monotonic_now().time_since_epoch().count(); }
}  // namespace

bool OlderCounts::ask(int64_t now_ns) {
  if (open_ && now_ns - asked_at_ns_ < kPatienceNs) return false;
  open_ = true;
  asked_at_ns_ = now_ns;
  return true;
}

void OlderCounts::take(const Message& message) {
  const auto told = inflight_of(message);
  if (!told) return;
  if (told->asked_ns == asked_at_ns_) open_ = false;
  if (told->asked_ns <= counted_for_ns_) return;
  answered_ = true;
  counted_for_ns_ = told->asked_ns;
  inflight_.clear();
  for (const auto& one : told->backends) inflight_[{one.pool, one.backend}] += one.inflight;
}

std::optional<uint64_t> OlderCounts::inflight(const std::string& pool, const std::string& backend) const {
  if (!answered_) return std::nullopt;
  const auto found = inflight_.find({pool, backend});
  return found == inflight_.end() ? 0 : found->second;
}

void OlderProcesses::hold(std::vector<OlderProcess> all) {
  for (auto& one : all) all_.push_back(std::make_shared<One>(std::move(one.process), std::move(one.channel)));
}

void OlderProcesses::begin(UniqueFd last, bool takes_orders) {
  // One that has no handle on itself is not among them; it is told that we serve all the same.
  if (all_.empty() || all_.back()->given)
    all_.push_back(std::make_shared<One>(ProcessHandle(0, UniqueFd()), UniqueFd()));
  for (const auto& one : all_)
    if (one->given) open(*one, std::move(one->given), true);
  open(*all_.back(), std::move(last), takes_orders);
  last_ = all_.back();
}

void OlderProcesses::serves() {
  if (!last_) return;
  send(*last_, {"serving", {}});
  listen(last_);
  ask();
}

void OlderProcesses::open(One& one, UniqueFd fd, bool takes_orders) {
  if (!fd) return;
  one.channel.emplace(control_, boost::asio::local::stream_protocol(), fd.get());
  fd.release();
  one.channel->non_blocking(true);
  one.takes_orders = takes_orders;
}

void OlderProcesses::pause() {
  timer_.cancel();
  last_.reset();
  for (const auto& one : all_) {
    one->heard = false;
    if (one->channel) one->channel->cancel();
  }
}

void OlderProcesses::resume() {
  last_.reset();
  for (const auto& one : all_) listen(one);
  ask();
}

void OlderProcesses::listen(const std::shared_ptr<One>& one) {
  if (!one->channel || std::exchange(one->heard, true)) return;
  read(one);
}

/// Also notices its end, of one that is only kept open.
void OlderProcesses::read(const std::shared_ptr<One>& one) {
  one->channel->async_read_some(boost::asio::buffer(one->buffer),
                                [this, one](boost::system::error_code error, size_t n) {
                                  if (error == boost::asio::error::operation_aborted || !one->channel || !one->heard)
                                    return;
                                  if (!error) {
                                    one->received.append(one->buffer, n);
                                    try {
                                      while (const auto message = take_message(one->received)) take(*one, *message);
                                      return read(one);
                                    } catch (const std::exception& wrong) {
                                      log::error("handover_unreadable", {{"reason", wrong.what()}});
                                    }
                                  }
                                  one->takes_orders = one->heard = false;
                                  one->channel.reset();
                                  if (one == last_) resume();
                                });
}

void OlderProcesses::take(One& one, const Message& message) {
  if (message.word == "handed_over" && &one == last_.get()) return resume();
  one.counts.take(message);
}

/// Never waits. A process that reads nothing for so long that its channel is full is not spoken to any more.
bool OlderProcesses::send(One& one, const Message& message) {
  const std::string text = encode(message);
  if (one.channel && ::send(one.channel->native_handle(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                         static_cast<ssize_t>(text.size()))
    return true;
  if (std::exchange(one.takes_orders, false))
    log::warn("predecessor_deaf", {{"pid", std::to_string(one.process.pid())},
                                   {"reason", "it takes no more orders; it keeps its connections until it ends"}});
  return false;
}

void OlderProcesses::end() {
  for (const auto& one : all_)
    if (one->takes_orders && one->process.alive()) send(*one, {"ending", {}});
}

void OlderProcesses::pass_on(const HandedOrder& order) {
  for (const auto& one : all_)
    if (one->takes_orders && one->process.alive() && send(*one, orders_message("order", {order})))
      one->counts.ordered(now_ns());
}

void OlderProcesses::ask() {
  bool any = false;
  for (const auto& one : all_) {
    if (!one->takes_orders || !one->heard || !one->process.alive()) continue;
    any = true;
    const int64_t now = now_ns();
    if (one->counts.ask(now)) send(*one, count_message(now));
  }
  if (!any) return;
  timer_.expires_after(kAsk);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) ask();
  });
}

std::vector<OlderShare> OlderProcesses::shares(const std::string& pool, const std::string& backend) {
  std::vector<OlderShare> shares;
  for (const auto& one : all_) {
    if (!one->process.alive()) continue;
    OlderShare share{one->process.pid(), one->takes_orders, one->takes_orders && one->counts.obeys(), std::nullopt};
    if (share.takes_orders) share.inflight = one->counts.inflight(pool, backend);
    if (!share.obeys || share.inflight != 0u) shares.push_back(share);
  }
  return shares;
}

std::vector<Handover::Process> OlderProcesses::offer() const {
  std::vector<Handover::Process> all;
  for (const auto& one : all_)
    all.push_back({one->process.pid(), one->process.fd(), one->takes_orders ? one->channel->native_handle() : -1});
  return all;
}

void OlderProcesses::prune() {
  std::erase_if(all_, [](const auto& one) { return !one->process.alive(); });
}

std::vector<int64_t> OlderProcesses::pids() const {
  std::vector<int64_t> pids;
  for (const auto& one : all_) pids.push_back(one->process.pid());
  return pids;
}

void OlderProcesses::signal(int number) const {
  for (const auto& one : all_) one->process.signal(number);
}

}  // namespace weir::net
