#include "lb/listeners.hpp"

#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "config/addresses.hpp"
#include "lb/base/log.hpp"
#include "lb/net/socket.hpp"

namespace weir {

using proxy::NewListener;

namespace {

bool all_expired(const Listeners::Listening& listener) {
  return std::all_of(listener.sockets.begin(), listener.sockets.end(), [](const auto& fd) { return fd.expired(); });
}

void remove_file(const Listeners::Listening& listener) {
  if (!listener.configured.is_unix() || listener.inherited) return;
  const auto* address = reinterpret_cast<const sockaddr_un*>(listener.configured.address());
  if (address->sun_path[0] != '\0') ::unlink(address->sun_path);  // else an abstract name
}

void tell(const Listeners::Listening& listener) {
  if (listener.inherited)
    log::info("listening",
              {{"listener", listener.name}, {"address", listener.address.to_string()}, {"socket", "inherited"}});
  else
    log::info("listening", {{"listener", listener.name}, {"address", listener.address.to_string()}});
}

}  // namespace

/// Does this process itself listen, or has it just listened, on an address that `where` overlaps?
bool Listeners::ours(const Endpoint& where) const {
  const auto overlaps = [&](const auto& entry) {
    return config::collide(entry.second.configured, where) && !all_expired(entry.second);
  };
  return std::any_of(open_.begin(), open_.end(), overlaps) || std::any_of(closing_.begin(), closing_.end(), overlaps);
}

/// The worker's old socket if it is still open, so that no connection on its way is lost; else another beside those of
/// the other workers.
NewListener Listeners::take_back(const Listening& closing, size_t worker, const std::string& key) const {
  auto fd = closing.sockets[worker].lock();
  if (!fd) fd = std::make_shared<UniqueFd>(std::move(net::open_listener_beside(closing.address, 1).fds.front()));
  return {key, closing.address, std::move(fd), false};
}

/// One for each worker.
std::vector<NewListener> Listeners::open_sockets(const Endpoint& bind, const std::string& key) {
  std::vector<NewListener> added;
  auto passed = inherited_.take(bind, workers_);
  const auto closing = closing_.find(key);
  if (!passed && closing != closing_.end() && !bind.is_unix() && !all_expired(closing->second)) {
    for (size_t i = 0; i < workers_; ++i) added.push_back(take_back(closing->second, i, key));
    return added;
  }
  auto sockets = passed       ? std::move(*passed)
                 : ours(bind) ? net::open_listener_beside(bind, workers_)
                              : net::open_listener(bind, workers_);
  for (auto& fd : sockets.fds)
    added.push_back({key, sockets.address, std::make_shared<UniqueFd>(std::move(fd)), sockets.inherited});
  return added;
}

Listeners::Change Listeners::prepare(const config::Config& config) {
  Change change;
  change.added.resize(workers_);
  for (const auto& listener : config.listeners)
    for (const auto& bind : listener.binds) {
      const std::string key = proxy::listener_key(listener.name, bind);
      Listening& entry = change.open[key];
      if (const auto old = open_.find(key); old != open_.end()) {
        entry = old->second;
        entry.name = listener.name;
        continue;
      }
      auto added = open_sockets(bind, key);
      entry = {listener.name, bind, added.front().address, {}, added.front().inherited};
      for (size_t i = 0; i < workers_; ++i) {
        entry.sockets.push_back(added[i].fd);
        change.added[i].push_back(std::move(added[i]));
      }
    }
  for (const auto& [key, listener] : open_)
    if (!change.open.contains(key)) change.removed.push_back(key);
  return change;
}

void Listeners::commit(Change change) {
  std::erase_if(closing_, [&](const auto& entry) { return all_expired(entry.second); });
  for (const auto& [key, listener] : change.open) {
    closing_.erase(key);
    const auto old = open_.find(key);
    if (announced_ && (old == open_.end() || old->second.name != listener.name)) tell(listener);
  }
  for (const auto& key : change.removed) {
    Listening& gone = open_.at(key);
    remove_file(gone);
    log::info("listener_closed", {{"listener", gone.name}, {"address", gone.address.to_string()}});
    closing_.insert_or_assign(key, std::move(gone));
  }
  open_ = std::move(change.open);
}

void Listeners::announce() {
  announced_ = true;
  for (const auto& [key, listener] : open_) tell(listener);
  inherited_.report_unused();
}

bool Listeners::all_closed() const {
  const auto closed = [](const auto& entry) { return all_expired(entry.second); };
  if (!std::all_of(open_.begin(), open_.end(), closed)) return false;
  if (!std::all_of(closing_.begin(), closing_.end(), closed)) return false;
  std::atomic_thread_fence(std::memory_order_acquire);  // what they accepted last is counted
  return true;
}

void Listeners::remove_unix_files() const {
  for (const auto& [key, listener] : open_) remove_file(listener);
}

}  // namespace weir
